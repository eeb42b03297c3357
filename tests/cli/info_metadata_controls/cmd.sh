# Escapes, line ends and hidden characters in metadata never reach the terminal.
. "$CLI_TESTS/inputs.sh"
st a '{"__metadata__":{"k\u001b[2J":"line\nend \u001b]0;title\u0007 \u202egpj.exe \u009b1m \ud83d\ude00 quote\" back\\ \u007f"},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}' 1
filigree info a
filigree info --json a
