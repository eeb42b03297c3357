# What is missing on the line is said first.
filigree calibrate -m demo -o t.safetensors
test $? = 2 || exit 1
filigree calibrate -m demo --prompt-file p.txt
test $? = 2 || exit 1
printf 'a fox\n' >p.txt
filigree calibrate --prompt-file p.txt -o t.safetensors
test $? = 2 || exit 1
filigree calibrate -m demo --prompt-file p.txt -o t.safetensors --block 96 --map mode
test $? = 2 || exit 1
ls
