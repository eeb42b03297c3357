# A run goes on with other kernels than those that it was saved by, and says that its bits differ.
. "$CLI_TESTS/inputs.sh"
FIL_ISA=avx2 filigree kernels >/dev/null 2>&1 || { echo "the reference kernels alone run here" >&2; exit 77; }
demo_model demo
FIL_ISA=ref python3 "$CLI_TESTS/held.py" --signal TERM type=saved -- filigree generate -m demo -p x \
    -W 64 -H 64 --frames 5 --steps 60 --threads 1 -o v.y4m --checkpoint-every 1 2>/dev/null
echo "exit $?"
FIL_ISA=avx2 filigree generate --resume v.y4m.resume.safetensors -q
echo "exit $?"
ls
