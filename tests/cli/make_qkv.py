"""make_qkv.py OUT TOKENS HEADS [GRID]: a safetensors file with q, k, v [N, H, 64] of small numbers."""
import json
import struct
import sys

out, tokens, heads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
values = tokens * heads * 64
header, data, state = {}, b"", 1
if len(sys.argv) > 4:
    header["__metadata__"] = {"grid": sys.argv[4]}
for name in "kqv":
    numbers = []
    for _ in range(values):
        state = (state * 1103515245 + 12345) % 2**31
        numbers.append(state / 2**30 - 1.0)
    piece = struct.pack("<%df" % values, *numbers)
    header[name] = {"dtype": "F32", "shape": [tokens, heads, 64],
                    "data_offsets": [len(data), len(data) + len(piece)]}
    data += piece
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(out, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
