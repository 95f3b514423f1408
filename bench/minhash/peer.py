"""datasketch's side of bench/minhash: texts.jsonl shingle size hashes threshold -> {"seconds", "pairs"} as JSON."""

import json
import sys
import time

from datasketch import MinHash, MinHashLSH


def shingles(text, kind, size):
    text = text.lower()
    if kind == "word":
        words = text.split()
        return {" ".join(words[i : i + size]).encode() for i in range(len(words) - size + 1)}
    return {text[i : i + size].encode() for i in range(len(text) - size + 1)}


def main():
    path, kind, size, hashes, threshold = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    texts = [json.loads(line) for line in open(path)]
    start, used = time.perf_counter(), time.process_time()
    # bulk: one set of permutations for all, batch updates: the fastest way datasketch offers in one process.
    signatures = MinHash.bulk([shingles(t, kind, size) for t in texts], num_perm=hashes)
    lsh = MinHashLSH(threshold=threshold, num_perm=hashes)
    pairs = []
    for i, m in enumerate(signatures):
        pairs += [[j, i] for j in lsh.query(m)]
        lsh.insert(i, m, check_duplication=False)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    json.dump({"seconds": seconds, "cpu": cpu, "pairs": pairs}, sys.stdout)


if __name__ == "__main__":
    main()
