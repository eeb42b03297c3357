#!/usr/bin/env python3
"""make_gguf.py FILE: a GGUF file in the manner of Wan's, with four tensors and all kinds of metadata.

`make_gguf.py --version N FILE`: that version. `--type N`: the ggml type of the matrix. `--cut N`:
without its last N bytes. Standard library alone.
"""
import argparse
import struct

U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
SIZES = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144), 23: (256, 136)}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--version", type=int, default=3)
    options.add_argument("--type", type=int, default=12)
    options.add_argument("--cut", type=int, default=0)
    options.add_argument("file")
    o = options.parse_args()
    pairs = [pair("general.architecture", STRING, text("wan")),
             pair("general.file_type", U32, struct.pack("<I", 15)),
             pair("general.scale", F32, struct.pack("<f", 0.5)),
             pair("general.flag", BOOL, b"\1"),
             pair("general.sizes", ARRAY, struct.pack("<IQ3i", 5, 3, 1, -2, 3)),
             pair("general.words", ARRAY, struct.pack("<IQ", STRING, 2) + text("a") + text("b")),
             pair("comfy.gguf.orig_shape.flat", ARRAY, struct.pack("<IQ2i", 5, 2, 3, 2))]
    # Name, type, dimensions as the file has them: the fastest first.
    tensors = [("blocks.0.w", o.type, (256, 2)), ("blocks.0.b", 0, (2,)), ("flat", 0, (6,)),
               ("patch_embedding.weight", 1, (2, 2, 1, 4, 3))]
    infos, data = b"", b""
    for name, kind, dims in tensors:
        infos += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        count = 1
        for size in dims:
            count *= size
        run, size = SIZES.get(kind, (1, 1))
        data += bytes(count // run * size)
        data += bytes(-len(data) % 32)
    header = b"GGUF" + struct.pack("<IQQ", o.version, len(tensors), len(pairs))
    whole = header + b"".join(pairs) + infos
    whole += bytes(-len(whole) % 32) + data
    with open(o.file, "wb") as out:
        out.write(whole[:len(whole) - o.cut])


main()
