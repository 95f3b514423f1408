"""Scores and filters of qdrant-client's local mode, for the double in dedup/qdranttest: `python tools/oracle/qdrant.py`
with qdrant-client==1.19.0 installed (nothing else of requirements.txt is needed)."""

import json
import random
from pathlib import Path

from qdrant_client import QdrantClient
from qdrant_client.models import Distance, FieldCondition, Filter, MatchAny, MatchValue, PointStruct, Range, VectorParams

OUT = Path(__file__).resolve().parents[2] / "testdata" / "oracle" / "qdrant"
DIM = 12


def condition(f):
    must = []
    if f.get("splits"):
        must.append(FieldCondition(key="split", match=MatchAny(any=f["splits"])))
    if f.get("set"):
        must.append(FieldCondition(key="set", match=MatchValue(value=f["set"])))
    if f.get("min") or f.get("max"):
        must.append(FieldCondition(key="length", range=Range(gte=f.get("min") or None, lte=f.get("max") or None)))
    return Filter(must=must) if must else None


def main():
    rng = random.Random(7)
    vector = lambda: [round(rng.gauss(0, 1), 4) for _ in range(DIM)]
    points = [
        {"id": rng.getrandbits(64), "vector": vector(), "split": rng.choice(["train", "test", ""]), "length": rng.randrange(1, 400), "set": rng.choice(["", "a", "b"])}
        for _ in range(80)
    ]
    filters = [
        {},
        {"splits": ["train"]},
        {"splits": ["train", "test"], "set": "a"},
        {"min": 100},
        {"max": 200},
        {"min": 50, "max": 300, "splits": [""]},
        {"set": "nobody"},
    ]
    client = QdrantClient(":memory:")
    client.create_collection("c", vectors_config=VectorParams(size=DIM, distance=Distance.COSINE))
    client.upsert("c", [PointStruct(id=p["id"], vector=p["vector"], payload={k: p[k] for k in ("split", "length", "set")}) for p in points])
    # A point written twice holds what was written last.
    points[5]["vector"], points[5]["split"] = vector(), "test"
    client.upsert("c", [PointStruct(id=points[5]["id"], vector=points[5]["vector"], payload={k: points[5][k] for k in ("split", "length", "set")})])
    queries = []
    for n in range(28):
        f, k, v = filters[n % len(filters)], [3, 10, 100][n % 3], vector() if n % 4 else points[n]["vector"]
        hits = client.query_points("c", query=v, limit=k, query_filter=condition(f)).points
        queries.append({"vector": v, "k": k, "filter": f, "hits": [{"id": h.id, "score": h.score} for h in hits]})
    OUT.mkdir(parents=True, exist_ok=True)
    golden = {"client": "qdrant-client 1.19.0 :memory:", "dim": DIM, "points": points, "queries": queries}
    (OUT / "memory.json").write_text(json.dumps(golden, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
