# Other characters leave a name as they are.
. "$CLI_TESTS/inputs.sh"
one a 'größe.日本語.😀'
filigree info a
filigree info --json a
