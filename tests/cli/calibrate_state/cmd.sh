# A stopped calibration goes on from its last whole prompt, with the same bytes in the end; another
# command is refused.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'a red fox\na blue ball\nwaves\n' >p.txt
run='-m demo -W 128 -H 128 --frames 9 --steps 3 --prompt-file p.txt'
filigree calibrate $run -o whole --threads 1 2>/dev/null || exit 1
filigree calibrate $run -o t --threads 1 --json >out 2>err &
job=$!
n=0
until [ -e t.state ] || [ $n = 600 ]; do
    sleep 0.02
    n=$((n + 1))
done
kill -TERM $job
wait $job
echo "exit $?"
ls t.state
filigree calibrate $run -o t --shift 3
echo "exit $?"
filigree calibrate $run -o t --threads 2 --json 2>/dev/null >again || exit 1
grep -c -e '"type":"prompt"' again
grep -q '"resumed":true' again || echo "nothing was resumed"
cmp whole t && ls
