# --threads 1024 is the most; 1025 is refused.
. "$CLI_TESTS/inputs.sh"
two a
filigree info --threads 1024 a >/dev/null && filigree info --threads 1025 a
