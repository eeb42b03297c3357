filigree decode -m demo; test $? = 2 || exit 1
filigree decode -m demo -i x; test $? = 2 || exit 1
filigree decode -i x -o a.mp4; test $? = 2 || exit 1
filigree encode -m demo; test $? = 2 || exit 1
filigree encode -m demo -i x; test $? = 2 || exit 1
filigree encode -i x -o y; test $? = 2 || exit 1
