# A stdout that nobody reads, or that is closed: code 5, and the files of the run are whole.
. "$CLI_TESTS/inputs.sh"
demo_model demo
st t.safetensors '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 16
python3 - <<'END'
import os, subprocess

def broken(words):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        return subprocess.run(words, stdout=out, stderr=subprocess.PIPE, check=False)

def closed(words):
    return subprocess.run(words, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), check=False)

size = "-W 32 -H 32 --frames 5 --steps 1 --threads 1".split()
runs = {
    "generate": (["generate", "-m", "demo", "-p", "x", *size, "--json", "--save-frames"], "f"),
    "generate --plan": (["generate", "-m", "demo", "-p", "x", *size, "--plan", "--save-frames", "p"], None),
    "generate --prompt-file": (["generate", "-m", "demo", "--prompt-file", "prompts", *size, "--json",
                                "--save-latents"], "l"),
    "decode": (["decode", "-m", "demo", "-i", "l-001", "--threads", "1", "--json", "-o"], "d.y4m"),
    "encode": (["encode", "-m", "demo", "-i", "f", "--threads", "1", "--json", "-o"], "e"),
    "convert": (["convert", "t.safetensors", "--type", "bf16", "--json", "-o"], "c.safetensors"),
    "info": (["info", "l-001"], None),
    "info --json": (["info", "l-001", "--json"], None),
    "info of a folder": (["info", "demo"], None),
}
with open("prompts", "w") as f:
    f.write("x\n")
for name, (words, output) in runs.items():
    end = [output] if output else []
    good = subprocess.run(["filigree", *words, *end], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=True)
    made = "l-001" if output == "l" else output
    want = open(made, "rb").read() if made else b""
    for how in broken, closed:
        if made:
            os.remove(made)
        before = set(os.listdir("."))
        run = how(["filigree", *words, *end])
        have = open(made, "rb").read() if made else b""
        said = run.stderr.decode().splitlines()[-1]
        print(name, "--", run.returncode, said.removeprefix("filigree: "))
        assert have == want, "other bytes"
        assert set(os.listdir(".")) - before == ({made} if made else set()), os.listdir(".")
END
