# A file that may not grow: the verb fails with code 5, and nothing that is half written stays.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 32 -H 32 --frames 5 --steps 1 --threads 1 --save-latents l --save-frames f -q ||
    exit 1
st t.safetensors '{"w":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}' 16384
python3 - <<'END'
import os, resource, subprocess

def small():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

for line in ("decode -m demo -i l -o v.y4m", "decode -m demo -i l -o p/%d.png", "decode -m demo -i l --save-frames g",
             "encode -m demo -i f -o m", "convert t.safetensors -o c.safetensors",
             "convert demo/diffusion_pytorch_model.safetensors.index.json -o c.gguf --type q8_0",
             "generate -m demo -p x -W 32 -H 32 --frames 5 --steps 1 --text-cache off --save-latents n",
             "generate -m demo -p x -W 32 -H 32 --frames 5 --steps 1 --text-cache off --save-noise n --save-latents o"):
    before = set(os.listdir("."))
    run = subprocess.run(["filigree", *line.split(), "--threads", "1", "-q"], preexec_fn=small,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    print(run.returncode, line, sorted(set(os.listdir(".")) - before))
    print("   ", run.stderr.splitlines()[-1] if run.stderr else "")
END
