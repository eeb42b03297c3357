#!/usr/bin/env python3
"""Writes tests/golden/vae_tiles_golden.h: what diffusers' AutoencoderKLWan makes of fixture latents in
tiles, in float64. Needs torch, diffusers, safetensors, and the fixtures (FIL_FIXTURES).

usage: make_vae_tiles.py > tests/golden/vae_tiles_golden.h
"""
import os

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file

STEP = 307  # every so many values are kept
CASES = (("small", 32, 24), ("odd", 40, 16), ("wide", 48, 40))  # name, tile, stride in pixels


def decode(vae, raw, tile, stride):
    vae.enable_tiling(tile, tile, stride, stride)
    with torch.no_grad():
        return vae.decode(raw[None].double()).sample[0]


def main():
    root = os.environ["FIL_FIXTURES"]
    vae = AutoencoderKLWan.from_pretrained(root + "/pipeline/vae", torch_dtype=torch.float64)
    raw = load_file(root + "/vae/decode_5x6x8.safetensors")["raw"]
    print("/* tests/golden/vae_tiles_golden.h: written by make_vae_tiles.py; every %dth value of\n"
          " * [3, F, H, W]. */" % STEP)
    print("#ifndef TESTS_GOLDEN_VAE_TILES_GOLDEN_H\n#define TESTS_GOLDEN_VAE_TILES_GOLDEN_H\n")
    print("enum { TILES_STEP = %d };" % STEP)
    for name, tile, stride in CASES:
        values = decode(vae, raw, tile, stride).flatten()[::STEP].tolist()
        print("\n/* tiles of %d pixels each %d */\nstatic const float tiles_%s[] = {" % (tile, stride, name))
        for i in range(0, len(values), 5):
            print("    " + ", ".join("%.8ef" % v for v in values[i:i + 5]) + ",")
        print("};")
    print("\n#endif")


if __name__ == "__main__":
    main()
