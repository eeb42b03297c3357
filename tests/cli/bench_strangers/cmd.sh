# An option of another measurement is not ignored.
filigree bench linear --heads 2; test $? = 2 || exit 1
filigree bench linear --head-dim 64; test $? = 2 || exit 1
filigree bench mass --density 0.5; test $? = 2 || exit 1
filigree bench linear --density 0.5; test $? = 2 || exit 1
filigree bench mass --mask random; test $? = 2 || exit 1
filigree bench linear --mask-file x; test $? = 2 || exit 1
filigree bench mass --tail; test $? = 2 || exit 1
filigree bench linear --sinks 1; test $? = 2 || exit 1
filigree bench attention --m 5; test $? = 2 || exit 1
filigree bench mass --k 5; test $? = 2 || exit 1
filigree bench attention --epilogue gelu; test $? = 2 || exit 1
filigree bench dit --heads 2; test $? = 2 || exit 1
filigree bench dit --kernel x; test $? = 2 || exit 1
filigree bench linear --grid 1,2,3; test $? = 2 || exit 1
filigree bench mass --layers 2; test $? = 2 || exit 1
filigree bench mass --in-place; test $? = 2 || exit 1
