# A file without read permission: input, exit code 5.
. "$CLI_TESTS/inputs.sh"
two a
chmod 000 a
if cat a >/dev/null 2>&1; then
    echo "root reads everything" >&2
    exit 77
fi
filigree info a
