# A picture for each frame, of several prompts: a folder for each prompt, which --continue knows.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\n' >p.txt
small='-W 32 -H 32 --frames 5 --steps 1 --threads 1'
run="filigree generate -m demo --prompt-file p.txt $small"
mkdir a
$run -q -o a/f/%02d.png || exit 1
ls a a/f-001 a/f-002
filigree generate -m demo -p two $small -q -o two/%d.png && cmp two/4.png a/f-002/04.png || exit 1
rm -r a/f-001
$run -o a/f/%02d.png --continue 2>err || exit 1
tail -n 1 err
ls a/f-001
$run -o no/such/%d.png
echo "exit $?"
mkdir -p b/c
cd b/c
run="filigree generate -m ../../demo --prompt-file ../../p.txt $small -q"
for name in %d.png ../%d.png .//.hidden//%d.png; do
    $run -o $name || exit 1
done
find .. -name 4.png | sort
cd ../..
run='filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 5 --steps 60 --threads 1 -q'
$run -o whole/%d.png || exit 1
held="python3 $CLI_TESTS/held.py type=saved path=part-002/%d.png.resume.safetensors --"
$held $run -o part/%d.png --checkpoint-every 1 2>/dev/null # 60 steps are 2 pages
echo "exit $?"
ls part-002
$run -o part/%d.png --continue || exit 1
for i in 001 002; do
    cmp whole-$i/4.png part-$i/4.png || exit 1
    ls part-$i | wc -l
done
