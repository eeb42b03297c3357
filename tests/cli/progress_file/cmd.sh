# In a file progress is lines, and nothing but printable characters; a closed stderr changes nothing.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='filigree generate -m demo -p x -W 128 -H 128 --frames 81 --steps 1000 --threads 1 --save-frames f'
: >err
$run --checkpoint-every never 2>>err &
job=$!
n=0
until grep -q sample err || [ $n = 300 ]; do
    sleep 0.1
    n=$((n + 1))
done
kill -TERM $job
wait $job
echo "exit $?"
grep -q '^filigree: sample .*1000' err && echo said
tail -n 2 err
tr -d '[:print:]\n' <err | wc -c
filigree generate -m demo -p x -W 32 -H 32 --frames 1 --steps 2 --threads 1 --preview 1 -o a.png 2>&-
echo "exit $?"
