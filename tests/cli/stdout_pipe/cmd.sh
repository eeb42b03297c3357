# A pipe that nobody reads to the end: output, exit code 5, no signal.
. "$CLI_TESTS/inputs.sh"
many a 5000
{ filigree info a; echo $? >code; } | head -c 1
echo
cat code
