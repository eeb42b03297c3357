# What a run cannot do without, asked for one by one.
filigree generate; test $? = 2 || exit 1
filigree generate -p x; test $? = 2 || exit 1
filigree generate -p x -o a.mp4; test $? = 2 || exit 1
filigree generate -p x -o a.mp4 extra; test $? = 2 || exit 1
