#!/usr/bin/env python3
"""make_mask.py FILE: writes a mask file (filigree.mask.1) in raster order.

Grid 2,5,15: 150 tokens in blocks of 64, 64 and 22. Two heads, three maps: layer 0, step 3, pass 1;
layer 0, any step and pass; layer 12, any step, pass 0. Head 0 keeps the diagonal and, with each
map, one column more; head 1 keeps everything but the first column of the last row.
"""
import json
import struct
import sys

MAPS = [(0, 3, 1), (0, -1, -1), (12, -1, 0)]
ROWS = [[0b001, 0b010, 0b100], [0b111, 0b111, 0b110]]


def words():
    for i in range(len(MAPS)):
        extra = (1 << i) - 1
        yield from (row | extra for row in ROWS[0])
        yield from ROWS[1]


def tensors():
    offsets = [0, 64, 128, 150]
    yield "map", "I32", [3, 3], "<9i", [v for key in MAPS for v in key]
    yield "order", "I32", [150], "<150i", range(150)
    yield "q_offsets", "I32", [4], "<4i", offsets
    yield "k_offsets", "I32", [4], "<4i", offsets
    yield "words", "U32", [3, 2, 3, 1], "<18I", list(words())


def main():
    header = {"__metadata__": {"format": "filigree.mask.1", "grid": "2,5,15",
                               "order_name": "raster"}}
    data = b""
    for name, dtype, shape, form, values in tensors():
        raw = struct.pack(form, *values)
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(sys.argv[1], "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main()
