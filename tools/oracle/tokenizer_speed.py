"""Prints the MB/s of Hugging Face `tokenizers` on one thread, for what internal/tokenizer's BenchmarkEncode measures.

    PLUMB_MODELS=... PLUMB_SHARED=... TOKENIZERS_PARALLELISM=false python tools/oracle/tokenizer_speed.py
"""

import glob
import gzip
import json
import os
import time

from tokenizers import Tokenizer

from tokenizer import smollm2


def main():
    base, shared = os.environ["PLUMB_MODELS"], os.environ["PLUMB_SHARED"]
    with gzip.open(shared + "/hh-rlhf/harmless-base-1700.jsonl.gz", "rt") as f:
        texts = [row[k] for row in map(json.loads, f) for k in ("chosen", "rejected")]
    mini = Tokenizer.from_file(glob.glob(base + "/minilm/**/tokenizer.json", recursive=True)[0])
    mini.no_truncation()
    mini.no_padding()
    size = sum(len(s.encode()) for s in texts) / 1e6
    for name, t in {"smollm2": smollm2(glob.glob(base + "/smollm2/**/*.gguf", recursive=True)[0]), "minilm": mini}.items():
        best = {"encode": 1e9, "encode_batch_fast": 1e9}
        for _ in range(3):
            start = time.perf_counter()
            for s in texts:
                t.encode(s)
            best["encode"] = min(best["encode"], time.perf_counter() - start)
            start = time.perf_counter()
            t.encode_batch_fast(texts)
            best["encode_batch_fast"] = min(best["encode_batch_fast"], time.perf_counter() - start)
        print(name, {how: round(size / s, 2) for how, s in best.items()}, "MB/s")


if __name__ == "__main__":
    main()
