# A file that is not there, and one that is no mask file; not beside --density.
. "$CLI_TESTS/inputs.sh"
filigree bench attention --mask-file none; test $? = 5 || exit 1
two a
filigree bench attention --mask-file a; test $? = 3 || exit 1
filigree bench attention --mask-file a --density 0.5; test $? = 2
