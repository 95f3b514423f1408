"""semhash's side of bench/semhash: documents as {"id", "prompt"} lines -> {"seconds", "cpu", "removed": {threshold: [[removed, kept]]}} as JSON.

The encoder is sentence-transformers with the same MiniLM weights; the search is semhash's own default. The thresholds after the first
reuse its vectors, and only the first is in the clock.
"""
import argparse, json, time

import torch
from semhash import SemHash
from sentence_transformers import SentenceTransformer


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--documents", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--thresholds", required=True)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    rows = [json.loads(line) for line in open(a.documents)]
    rows = [{"id": r["id"], "text": r["prompt"]} for r in rows]
    model = SentenceTransformer(a.model, device="cpu", model_kwargs={"torch_dtype": torch.bfloat16 if a.bf16 else torch.float32})
    model.encode(["warm"] * 32, show_progress_bar=False)
    thresholds = a.thresholds.split(",")
    start, used = time.perf_counter(), time.process_time()
    s = SemHash.from_records(rows, columns=["text"], model=model)
    found = s.self_deduplicate(float(thresholds[0]))
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    removed = {}
    for t in thresholds:
        if t != thresholds[0]:
            found = s.self_deduplicate(float(t))
        removed[t] = [[int(d.record["id"]), int(d.duplicate_of["id"])] for d in found.filtered]
    print(json.dumps({"seconds": seconds, "cpu": cpu, "removed": removed}))


if __name__ == "__main__":
    main()
