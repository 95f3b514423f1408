"""torch's matrix product 1024x576x1536 in f32 (MKL) and bf16 (oneDNN), in GFLOP/s; prints a line of JSON."""
import json, time

import torch

M, K, N = 1024, 576, 1536


def rate(dtype, threads):
    torch.set_num_threads(threads)
    x, w = torch.randn(M, K).to(dtype), torch.randn(N, K).to(dtype)
    best = 0.0
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(8):
                torch.nn.functional.linear(x, w)
            best = max(best, 8 * 2 * M * K * N / (time.perf_counter() - start) / 1e9)
    return round(best, 1)


print(json.dumps({f"{name}/{t}": rate(d, t) for name, d in (("f32", torch.float32), ("bf16", torch.bfloat16)) for t in (1, 2)}))
