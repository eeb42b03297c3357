# A run that is told to stop ends in order and leaves no half file.
. "$CLI_TESTS/inputs.sh"
demo_model demo
: >err
filigree generate -m demo -p x -W 256 -H 256 --frames 81 --steps 1000 --threads 1 --save-frames f \
    2>>err &
run=$!
n=0
until grep -q sample err || [ $n = 300 ]; do
    sleep 0.1
    n=$((n + 1))
done
kill -TERM $run
wait $run
echo "exit $?"
tail -n 2 err | head -n 1
ls -A
