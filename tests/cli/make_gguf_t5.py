#!/usr/bin/env python3
"""make_gguf_t5.py SAFETENSORS FILE: a UMT5 encoder with the names of Hugging Face as a GGUF file with
those of llama.cpp. The values are copied as they are. Standard library alone.
"""
import json
import struct
import sys

TYPES = {"F32": 0, "F16": 1, "BF16": 30}
WORDS = (("encoder.block.", "enc.blk."), ("encoder.final_layer_norm", "enc.output_norm"),
         ("encoder.embed_tokens", "token_embd"), ("shared", "token_embd"),
         ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"),
         ("layer.0.SelfAttention.", "attn_"), ("layer.0.layer_norm", "attn_norm"),
         ("layer.1.DenseReluDense.wi_0", "ffn_gate"), ("layer.1.DenseReluDense.wi_1", "ffn_up"),
         ("layer.1.DenseReluDense.wo", "ffn_down"), ("layer.1.layer_norm", "ffn_norm"))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def renamed(name):
    for theirs, ours in WORDS:
        name = name.replace(theirs, ours)
    return name


def main():
    with open(sys.argv[1], "rb") as source:
        whole = source.read()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:8 + length])
    header.pop("__metadata__", None)
    infos, data = b"", b""
    for name, t in header.items():
        dims = t["shape"][::-1]
        infos += text(renamed(name)) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims,
                                                   TYPES[t["dtype"]], len(data))
        begin, end = t["data_offsets"]
        data += whole[8 + length + begin:8 + length + end]
        data += bytes(-len(data) % 32)
    out = b"GGUF" + struct.pack("<IQQ", 3, len(header), 1)
    out += text("general.architecture") + struct.pack("<I", 8) + text("t5encoder") + infos
    out += bytes(-len(out) % 32) + data
    with open(sys.argv[2], "wb") as file:
        file.write(out)


main()
