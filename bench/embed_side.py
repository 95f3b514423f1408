"""Embedding by sentence-transformers; prints a line of JSON and writes the vectors as little-endian float32.

    python bench/embed_side.py --model MINILM --texts texts.jsonl --vectors out.f32 [--bf16]
"""
import argparse, json, time

import torch
from sentence_transformers import SentenceTransformer


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--texts", required=True)
    p.add_argument("--vectors", required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeat", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    texts = [json.loads(line) for line in open(a.texts)]
    m = SentenceTransformer(a.model, device="cpu", model_kwargs={"torch_dtype": torch.bfloat16 if a.bf16 else torch.float32})
    m.max_seq_length = 256
    tokens = sum(len(x) for x in m.tokenizer(texts, truncation=True, max_length=256)["input_ids"])
    m.encode(texts[:32], batch_size=a.batch)
    seconds = []
    for _ in range(a.repeat):
        start = time.perf_counter()
        v = m.encode(texts, batch_size=a.batch, normalize_embeddings=True, show_progress_bar=False)
        seconds.append(time.perf_counter() - start)
    v.astype("<f4").tofile(a.vectors)
    print(json.dumps({"work": "embed", "texts": len(texts), "tokens": tokens, "bf16": a.bf16, "batch": a.batch, "seconds": [round(s, 3) for s in seconds],
                      "rate": tokens / min(seconds)}))


if __name__ == "__main__":
    main()
