# A path that is a symbolic link itself is followed: the user named it.
. "$CLI_TESTS/inputs.sh"
two a
ln -s a b
filigree info b
