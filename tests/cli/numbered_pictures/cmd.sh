# Pictures of somebody else are not written over by --resume, and a number that is no file is no end of
# the sequence.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 64 -H 64 --frames 5 --steps 1 --save-latents l -q || exit 1
mkdir a
echo mine >a/2.png
filigree decode -m demo -i l -o a/%d.png --resume -q
echo "exit $?"
cat a/2.png
ls a
filigree decode -m demo -i l -o b/%d.png --resume -q || exit 1
ls b
rm b/3.png
mkdir b/3.png
filigree encode -m demo -i b/%d.png -o k -q
echo "exit $?"
