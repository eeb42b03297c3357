#!/usr/bin/env python3
"""What torch's attention reaches on this GPU: the figures beside `bench_cuda attention-dense`.

Needs torch with CUDA. Prints a JSON object per backend and size: median of seven event pairs around one
call, after three calls to warm up, on random normal data in bf16.
"""
import json

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

SIZES = ((16384, 12), (32760, 12), (75600, 6))
BACKENDS = (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION))


def median_seconds(call, repeats=7):
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times)[repeats // 2]


def main():
    for n, heads in SIZES:
        q, k, v = (torch.randn(1, heads, n, 128, device="cuda").bfloat16() for _ in range(3))
        for name, backend in BACKENDS:
            with sdpa_kernel(backend):
                seconds = median_seconds(
                    lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
            print(json.dumps({
                "bench": "sdpa", "what": name, "n": n, "heads": heads, "head_dim": 128,
                "device": torch.cuda.get_device_name(0), "torch": torch.__version__,
                "seconds": seconds, "tflops": round(4 * heads * 128 * n * n / seconds / 1e12, 1)}))


if __name__ == "__main__":
    main()
