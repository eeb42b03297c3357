# A flag given twice is harmless.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >once && filigree info --trusted --trusted a >twice && cmp once twice
