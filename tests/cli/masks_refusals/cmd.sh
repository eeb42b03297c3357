# What is there already, what the file does not have, what is no mask file, no list, no folder.
. "$CLI_TESTS/inputs.sh"
python3 "$CLI_TESTS/make_mask.py" m || exit 77
two a
mkdir d
echo old >d/layer012_stepall_pass0_head01.png
filigree masks m -o d; echo "exit $?"
ls d
filigree masks m -o d --force --layer 12 --head 1; echo "exit $?"
filigree masks m -o e --layer 13; echo "exit $?"
filigree masks m -o e --layer 0,; echo "exit $?"
filigree masks m -o e --scale 65; echo "exit $?"
filigree masks a -o e; echo "exit $?"
filigree masks none -o e; echo "exit $?"
filigree masks m; echo "exit $?"
filigree masks -o e; echo "exit $?"
filigree masks m -o no/such; echo "exit $?"
filigree masks m -o m; echo "exit $?"
filigree masks m -o e --max-memory 4000; echo "exit $?"
ls
