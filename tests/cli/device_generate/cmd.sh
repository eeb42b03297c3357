# A run on a device, which is a backend on the CPU: plan, outputs, refusals and their codes.
. "$CLI_TESTS/inputs.sh"
demo_model demo
FIL_CUDA_BACKEND="$(dirname "$PROGRAM")/../tests/libfil_fake_backend.so"
export FIL_CUDA_BACKEND
if ! [ -e "$FIL_CUDA_BACKEND" ]; then
    echo "no backend on the CPU beside $PROGRAM" >&2
    exit 77
fi
run="filigree generate -m demo -p x -W 32 -H 32 --frames 1 --steps 1 --threads 1 --device cuda"
digits='s/[0-9][0-9]*/N/g'
$run --save-latents z.safetensors --plan | grep 'on the device' | sed 's/[0-9.]* [KM]iB/N/'
$run --save-latents z.safetensors --plan --json | grep -o '"device_bytes":[0-9]*' | sed "$digits"
$run --save-latents z.safetensors -o a.png --quiet; echo "exit $?"
ls a.png z.safetensors
filigree decode -m demo -i z.safetensors -o b.png --threads 1 --device cuda --quiet; echo "exit $?"
filigree compare a.png b.png 2>/dev/null | grep -i psnr
$run --save-latents y.safetensors --max-vram 1K 2>&1 | sed "$digits"
$run --save-latents y.safetensors --max-vram 1K 2>/dev/null; echo "exit $?"
filigree decode -m demo -i z.safetensors -o c.png --device cuda --max-vram 1K 2>&1 | sed "$digits"
filigree generate -m demo -p x -o y.png --device cuda:1 2>&1; echo "exit $?"
FIL_CUDA_BACKEND=none.so $run --save-latents y.safetensors 2>/dev/null; echo "exit $?"
ls
