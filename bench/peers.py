#!/usr/bin/env python3
"""peers.py [--rounds R] [--threads T] [--types f32,bf16] PROGRAM OUT.jsonl [CASE...]

`filigree bench` beside PyTorch, diffusers and transformers, for the Python that has them. In every
round each side runs once, in turn, in an order that changes; one round before does not count. Of
R rounds (5) the medians are told, and the ratio peer / filigree. One thread: CPU seconds on both
sides, else elapsed seconds. Types are those of the peers: f32, and bf16 where the CPU multiplies it
(elsewhere torch takes ten times as long for it, hours in all). Inputs and weights are random and of
the same shapes.

One JSON line a peer is appended to OUT.jsonl, behind one that says where and when, and a table is
printed. Without CASE all of them:
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HEAD_DIM = 128
SEED = 7
TYPES = {"f32": "float32", "bf16": "bfloat16"}


# ---- what is measured ------------------------------------------------------------------------------

class Case:
    """One line of `filigree bench` and what does the same elsewhere: {name: function}."""

    def __init__(self, command, peers):
        self.command, self.peers = command, peers


def types(torch):
    """The types that were asked for, as (name, torch's own)."""
    return [(name, getattr(torch, own)) for name, own in TYPES.items()]


def rows(torch, tokens, heads, dtype):
    return [torch.randn(1, heads, tokens, HEAD_DIM).to(dtype) for _ in range(3)]


def chunked(torch, q, k, v, chunk=64):
    """Attention by a product, a softmax and a product, so many queries at a time."""
    out = torch.empty_like(q[0])
    keys = k[0].transpose(1, 2)
    for at in range(0, q.shape[2], chunk):
        logits = torch.bmm(q[0][:, at:at + chunk] * HEAD_DIM ** -0.5, keys)
        torch.bmm(torch.softmax(logits, -1), v[0], out=out[:, at:at + chunk])
    return out


def sdpa(torch, tokens, heads):
    peers = {}
    for name, dtype in types(torch):
        q, k, v = rows(torch, tokens, heads, dtype)
        peers["torch SDPA " + name] = lambda q=q, k=k, v=v: (
            torch.nn.functional.scaled_dot_product_attention(q, k, v))
        peers["torch bmm, softmax, bmm " + name] = lambda q=q, k=k, v=v: chunked(torch, q, k, v)
    return Case(["attention", "--n", tokens, "--heads", heads], peers)


def write_mask(path, keep, tokens, block):
    """keep [heads][M][M] of blocks of 2 * block tokens, as a mask file in blocks of `block`."""
    heads, m = len(keep), 2 * len(keep[0])
    n_words = (m + 31) // 32
    words = []
    for head in keep:
        for i in range(m):
            row = sum(1 << j for j in range(m) if head[i // 2][j // 2])
            words += [row >> 32 * w & 0xffffffff for w in range(n_words)]
    offsets = [i * block for i in range(m)] + [tokens]
    tensors = [("map", "I32", [1, 3], struct.pack("<3i", -1, -1, -1)),
               ("order", "I32", [tokens], struct.pack(f"<{tokens}i", *range(tokens))),
               ("q_offsets", "I32", [m + 1], struct.pack(f"<{m + 1}i", *offsets)),
               ("k_offsets", "I32", [m + 1], struct.pack(f"<{m + 1}i", *offsets)),
               ("words", "U32", [1, heads, m, n_words], struct.pack(f"<{len(words)}I", *words))]
    header = {"__metadata__": {"format": "filigree.mask.1", "grid": f"1,1,{tokens}",
                               "order_name": "raster"}}
    data = b""
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def flex(torch, tokens, heads, density, folder):
    """FlexAttention takes blocks of 128; the mask file says the same in blocks of 64."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention
    side, m = 128, tokens // 128
    keep = torch.zeros(1, heads, m, m, dtype=torch.bool)
    for h in range(heads):
        for i in range(m):
            keep[0, h, i, torch.randperm(m)[:max(1, round(density * m))]] = True
    count = keep.sum(-1).int()
    index = torch.argsort((~keep).int(), dim=-1, stable=True).int()
    mask = BlockMask.from_kv_blocks(torch.zeros_like(count), torch.zeros_like(index), count, index,
                                    BLOCK_SIZE=(side, side))
    compiled = torch.compile(flex_attention, dynamic=False)
    path = folder / "mask.safetensors"
    write_mask(path, keep[0].tolist(), tokens, 64)
    peers = {}
    for name, dtype in types(torch):
        q, k, v = rows(torch, tokens, heads, dtype)
        peers["torch FlexAttention " + name] = lambda q=q, k=k, v=v: (
            compiled(q, k, v, block_mask=mask))
    return Case(["attention", "--mask-file", path, "--heads", heads], peers)


def linear(torch, m, k, n, gelu):
    functional = torch.nn.functional
    peers = {}
    for name, dtype in types(torch):
        x, w, b = (t.to(dtype) for t in (torch.randn(m, k), torch.randn(n, k) * k ** -0.5,
                                         torch.randn(n)))
        if gelu:
            peers["torch linear, gelu " + name] = lambda x=x, w=w, b=b: (
                functional.gelu(functional.linear(x, w, b), approximate="tanh"))
        else:
            peers["torch linear " + name] = lambda x=x, w=w, b=b: functional.linear(x, w, b)
    end = ["--epilogue", "gelu"] if gelu else []
    return Case(["linear", "--m", m, "--k", k, "--n", n, *end], peers)


def dit(torch, grid, layers, options=()):
    from diffusers import WanTransformer3DModel
    f, h, w = grid
    peers = {}
    for name, dtype in types(torch):
        torch.set_default_dtype(dtype)
        model = WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=HEAD_DIM, ffn_dim=8960, num_layers=layers,
            text_dim=4096, in_channels=16, out_channels=16).eval()
        torch.set_default_dtype(torch.float32)
        x = torch.randn(1, 16, f, 2 * h, 2 * w).to(dtype)
        text = torch.randn(1, 512, 4096).to(dtype)
        peers["diffusers WanTransformer3DModel " + name] = lambda model=model, x=x, text=text: (
            model(hidden_states=x, timestep=torch.tensor([500]), encoder_hidden_states=text,
                  return_dict=False))
    return Case(["dit", "--grid", f"{f},{h},{w}", "--layers", layers, *options], peers)


def vae(torch, grid):
    from diffusers import AutoencoderKLWan
    model = AutoencoderKLWan().eval()
    latent = torch.randn(1, 16, *grid)
    return Case(["vae", "--grid", ",".join(map(str, grid))],
                {"diffusers AutoencoderKLWan f32": lambda: model.decode(latent).sample})


def text(torch, tokens, layers):
    from transformers import UMT5Config, UMT5EncoderModel
    peers = {}
    for name, dtype in types(torch):
        torch.set_default_dtype(dtype)
        model = UMT5EncoderModel(UMT5Config(
            vocab_size=1024, d_model=4096, d_kv=64, d_ff=10240, num_layers=layers, num_heads=64,
            feed_forward_proj="gated-gelu", dropout_rate=0.0)).eval()
        torch.set_default_dtype(torch.float32)
        ids = torch.randint(2, 1000, (1, tokens))
        peers["transformers UMT5EncoderModel " + name] = lambda model=model, ids=ids: (
            model(input_ids=ids))
    return Case(["t5", "--tokens", tokens, "--layers", layers], peers)


CASES = {
    "attention": lambda t, _: sdpa(t, 8192, 2),
    "flex": lambda t, folder: flex(t, 8192, 2, 0.2, folder),
    "linear": lambda t, _: linear(t, 4096, 1536, 1536, False),
    "linear-gelu": lambda t, _: linear(t, 4096, 1536, 8960, True),
    "dit-2080": lambda t, _: dit(t, (5, 16, 26), 1),
    "dit-7800": lambda t, _: dit(t, (5, 30, 52), 1),
    "dit-7800-dfs": lambda t, _: dit(t, (5, 30, 52), 1, ["--attn", "dfs", "--density", "0.2"]),
    "vae": lambda t, _: vae(t, (2, 8, 8)),
    "t5": lambda t, _: text(t, 512, 1),
}


# ---- rounds ----------------------------------------------------------------------------------------

def ours(program, case, threads):
    words = [str(w) for w in (program, "bench", *case.command, "--threads", threads,
                              "--repetitions", 1, "--json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("peers.py: " + " ".join(words) + ": " + done.stderr.strip())
    return json.loads(done.stdout.splitlines()[-1])


def seconds_of(function, threads):
    clock = time.process_time if threads == 1 else time.perf_counter
    begun = clock()
    function()
    return clock() - begun


def measure(torch, program, name, case, rounds, threads):
    """A round more than is counted: the first one compiles, and fills caches."""
    sides = ["filigree", *case.peers]
    times = {side: [] for side in sides}
    result = {}
    with torch.inference_mode():
        for r in range(rounds + 1):
            for side in (sides if r % 2 == 0 else reversed(sides)):
                if side == "filigree":
                    result = ours(program, case, threads)
                    times[side].append(result["seconds"])
                else:
                    times[side].append(seconds_of(case.peers[side], threads))
    middle = {side: statistics.median(t[1:]) for side, t in times.items()}
    words = [pathlib.Path(w).name if isinstance(w, pathlib.Path) else str(w) for w in case.command]
    for peer in case.peers:
        yield {"bench": "peer", "case": name,
               "command": f"filigree bench {' '.join(words)} --threads {threads}",
               "kernel": result.get("kernel") or result.get("linear_kernel"),
               "peer": peer, "rounds": rounds, "threads": threads,
               "seconds": middle["filigree"], "peer_seconds": middle[peer],
               "ratio": middle[peer] / middle["filigree"],
               "seconds_range": [min(times["filigree"][1:]), max(times["filigree"][1:])],
               "peer_seconds_range": [min(times[peer][1:]), max(times[peer][1:])]}


def cpu_name():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def header(torch):
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True,
                            text=True, check=False).stdout.strip()
    versions = {"torch": torch.__version__}
    for package in ("diffusers", "transformers"):
        with contextlib.suppress(ImportError):
            versions[package] = __import__(package).__version__
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit or "unknown", "cpu": cpu_name(), "cpus": os.cpu_count(),
            "torch_capability": torch.backends.cpu.get_cpu_capability(), **versions}


def multiplies_bf16():
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def main():
    parser = argparse.ArgumentParser(
        description=__doc__ + "  " + ", ".join(CASES),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--types", default="f32,bf16" if multiplies_bf16() else "f32")
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("case", nargs="*")
    a = parser.parse_args()
    for name in a.case:
        if name not in CASES:
            parser.error(f"no case '{name}'; there are {', '.join(CASES)}")
    for name in set(TYPES) - set(a.types.split(",")):
        del TYPES[name]
    import torch
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as scratch, open(a.out, "a", encoding="utf-8") as out:
        out.write(json.dumps(header(torch)) + "\n")
        for name in a.case or CASES:
            torch.manual_seed(SEED)
            case = CASES[name](torch, pathlib.Path(scratch))
            for line in measure(torch, a.program, name, case, a.rounds, a.threads):
                print(f"{name:14s} {line['peer']:38s} {line['seconds']:9.3f} s against "
                      f"{line['peer_seconds']:9.3f} s: {line['ratio']:6.2f} x", flush=True)
                out.write(json.dumps(line) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
