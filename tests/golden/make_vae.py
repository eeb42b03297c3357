#!/usr/bin/env python3
"""Writes tests/golden/vae_golden.h: what a small video autoencoder of Wan2.1's architecture makes of a
small clip, in float64, over the whole clip at once (no streaming, no transforms), with numpy alone.

usage: make_vae.py > tests/golden/vae_golden.h

Weights come from a formula that the test repeats (splitmix64 of a name's FNV-1a hash plus the index).
"""
import numpy as np

BASE, MULT, BLOCKS, Z, TEMPORAL = 8, (1, 2, 2), 1, 4, (0, 1)
T, H, W = 3, 3, 2
MEAN = np.array([0.25, -0.5, 0.125, 0.75])
STD = np.array([1.5, 0.75, 2.0, 1.25])
STEP = 5  # every fifth value is kept
M64 = (1 << 64) - 1


def draw(name, n):
    """n numbers in [-0.5, 0.5)."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    out = np.empty(n)
    for i in range(n):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & M64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        out[i] = ((z ^ (z >> 31)) >> 40) / 16777216.0 - 0.5
    return out


def tensor(name, *shape):
    u = draw(name, int(np.prod(shape)))
    if name.endswith(".gamma"):
        u = 1.0 + 0.5 * u
    elif name.endswith(".bias"):
        u = 0.5 * u
    else:
        u = u * np.sqrt(12.0 / np.prod(shape[1:]))
    return u.astype(np.float32).astype(np.float64).reshape(shape)


def conv(x, name, out, k, stride=(1, 1, 1), pad=((0, 0), (0, 0), (0, 0)), split=None):
    """x [C, T, H, W]; k (kt, kh, kw); a 2-D tensor in the file where kt is None."""
    shape = (out, x.shape[0]) + tuple(n for n in k if n is not None)
    w = tensor(name + ".weight", *shape).reshape(out, x.shape[0], k[0] or 1, k[1], k[2])
    b = tensor(name + ".bias", out)
    x = np.pad(x, ((0, 0),) + tuple(pad))
    v = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(1, 2, 3))
    v = v[:, :: stride[0], :: stride[1], :: stride[2]]
    return np.einsum("ctyxijk,ocijk->otyx", v, w) + b[:, None, None, None]


def cube(x, name, out):
    return conv(x, name, out, (3, 3, 3), pad=((2, 0), (1, 1), (1, 1)))


def norm(x, name, *ones):
    g = tensor(name, x.shape[0], *ones).reshape(-1, 1, 1, 1)
    length = np.sqrt((x * x).sum(0, keepdims=True))
    return x / np.maximum(length, 1e-12) * np.sqrt(x.shape[0]) * g


def silu(x):
    return x / (1.0 + np.exp(-x))


def res(x, name, out):
    y = cube(silu(norm(x, name + ".residual.0.gamma", 1, 1, 1)), name + ".residual.2", out)
    y = cube(silu(norm(y, name + ".residual.3.gamma", 1, 1, 1)), name + ".residual.6", out)
    return y + (x if x.shape[0] == out else conv(x, name + ".shortcut", out, (1, 1, 1)))


def attention(x, name):
    c, t, h, w = x.shape
    qkv = conv(norm(x, name + ".norm.gamma", 1, 1), name + ".to_qkv", 3 * c, (None, 1, 1))
    q, k, v = qkv.reshape(3, c, t, h * w)
    s = np.einsum("ctn,ctm->tnm", q, k) / np.sqrt(c)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    y = np.einsum("tnm,ctm->ctn", p, v).reshape(c, t, h, w)
    return x + conv(y, name + ".proj", c, (None, 1, 1))


def middle(x, name):
    x = res(x, name + ".0", x.shape[0])
    x = attention(x, name + ".1")
    return res(x, name + ".2", x.shape[0])


def up(x, name, temporal):
    c = x.shape[0]
    if temporal and x.shape[1] > 1:
        u = conv(x[:, 1:], name + ".time_conv", 2 * c, (3, 1, 1), pad=((2, 0), (0, 0), (0, 0)))
        pairs = np.stack([u[:c], u[c:]], 2).reshape(c, -1, *x.shape[2:])
        x = np.concatenate([x[:, :1], pairs], 1)
    x = x.repeat(2, 2).repeat(2, 3)
    return conv(x, name + ".resample.1", c // 2, (None, 3, 3), pad=((0, 0), (1, 1), (1, 1)))


def down(x, name, temporal):
    c = x.shape[0]
    x = conv(x, name + ".resample.1", c, (None, 3, 3), (1, 2, 2), ((0, 0), (0, 1), (0, 1)))
    if temporal and x.shape[1] > 1:
        x = np.concatenate([x[:, :1], conv(x, name + ".time_conv", c, (3, 1, 1), (2, 1, 1))], 1)
    return x


def decode(z):
    x = z * STD[:, None, None, None] + MEAN[:, None, None, None]
    x = conv(x, "conv2", Z, (1, 1, 1))
    x = cube(x, "decoder.conv1", BASE * MULT[-1])
    x = middle(x, "decoder.middle")
    at = 0
    for level in reversed(range(len(MULT))):
        for _ in range(BLOCKS + 1):
            x = res(x, "decoder.upsamples.%d" % at, BASE * MULT[level])
            at += 1
        if level > 0:
            x = up(x, "decoder.upsamples.%d" % at, TEMPORAL[level - 1])
            at += 1
    x = silu(norm(x, "decoder.head.0.gamma", 1, 1, 1))
    return np.clip(cube(x, "decoder.head.2", 3), -1.0, 1.0)


def encode(x):
    x = cube(x, "encoder.conv1", BASE)
    at = 0
    for level in range(len(MULT)):
        for _ in range(BLOCKS):
            x = res(x, "encoder.downsamples.%d" % at, BASE * MULT[level])
            at += 1
        if level < len(MULT) - 1:
            x = down(x, "encoder.downsamples.%d" % at, TEMPORAL[level])
            at += 1
    x = middle(x, "encoder.middle")
    x = silu(norm(x, "encoder.head.0.gamma", 1, 1, 1))
    x = conv(cube(x, "encoder.head.2", 2 * Z), "conv1", 2 * Z, (1, 1, 1))
    return (x[:Z] - MEAN[:, None, None, None]) / STD[:, None, None, None]


def show(name, values):
    numbers = ["%.8ef" % v for v in values.reshape(-1)[::STEP]]
    print("static const float %s[] = {" % name)
    for i in range(0, len(numbers), 5):
        print("    " + ", ".join(numbers[i : i + 5]) + ",")
    print("};\n")


def main():
    scale = 2 ** (len(MULT) - 1)
    z = 2.0 * tensor("golden.latent.bias", Z, T, H, W)
    rgb = 2.0 * tensor("golden.video.bias", 3, 2 * (T - 1) + 1, scale * H, scale * W)
    print("/* tests/golden/vae_golden.h: written by make_vae.py; every %dth value. */" % STEP)
    print("#ifndef TESTS_GOLDEN_VAE_GOLDEN_H\n#define TESTS_GOLDEN_VAE_GOLDEN_H\n")
    print("enum { GOLDEN_STEP = %d, GOLDEN_T = %d, GOLDEN_H = %d, GOLDEN_W = %d };\n" % (STEP, T, H, W))
    show("golden_video", decode(z))
    show("golden_latent", encode(rgb))
    print("#endif")


if __name__ == "__main__":
    main()
