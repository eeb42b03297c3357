# A checkpoint that would run a command is refused, and nothing runs.
python3 "$CLI_TESTS/make_pth.py" --evil a.pth || exit
filigree info a.pth
echo $?
ls
