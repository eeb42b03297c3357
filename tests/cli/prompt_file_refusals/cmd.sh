# What is wrong with any of the prompts is found before any work.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='filigree generate -m demo -W 32 -H 32 --frames 1 --steps 1 --threads 1'
refused() {
    "$@"
    echo "exit $?"
}
printf 'a fox\nanother\n' >p.txt
printf '# nothing\n\n' >empty.txt
printf 'a fox\nbad \377 byte\n' >bytes.txt
refused $run --prompt-file missing.txt -o a.png
refused $run --prompt-file empty.txt -o a.png
refused $run --prompt-file bytes.txt -o a.png
refused $run --prompt-file p.txt -p x -o a.png
refused $run --prompt-file p.txt --resume x
refused $run --prompt-file p.txt --recipe x -o a.png
refused $run --prompt-file p.txt
refused $run -p x --continue -o a.png
: >a-002.png
refused $run --prompt-file p.txt -o a.png
refused $run --prompt-file p.txt -o a.png --continue
refused $run --prompt-file p.txt -o no/a.png
refused $run --prompt-file p.txt -o b.png --max-memory 3M
ls
