"""Useful floating point operations of a training, as the goal counts them."""
import json, pathlib


def preference(work, tokens, pairs, kind):
    """Each token of the tree (prompt once, chosen, rejected) once through each linear forward and once for its input's gradient; the
    vocabulary for scored tokens, likewise; adapters forward, input and weight gradients; the reference's forward pass, which DPO
    cannot do without. Recomputation and attention are not counted."""
    c = json.loads((pathlib.Path(work) / "smollm2" / "config.json").read_text())
    h, kv, inter = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"], c["intermediate_size"]
    shapes = [(h, h), (h, kv), (h, kv), (h, h), (h, inter), (h, inter), (inter, h)]
    linear = c["num_hidden_layers"] * sum(i * o for i, o in shapes)
    adapter = c["num_hidden_layers"] * sum(8 * (i + o) for i, o in shapes)
    vocabulary = h * c["vocab_size"]
    rows = sum(tokens.values())
    if kind == "reward":  # both whole texts end with EOS; no vocabulary
        return (rows + 2 * pairs) * (4 * linear + 6 * adapter)
    scored = tokens["chosen"] + tokens["rejected"] + 2 * pairs
    return rows * (4 * linear + 6 * adapter + 2 * linear) + scored * 6 * vocabulary


def tokens(work):
    """Those of the benchmark's pairs by side, and how many pairs they are."""
    from tokenizers import Tokenizer

    work = pathlib.Path(work)
    t = Tokenizer.from_file(str(work / "smollm2" / "tokenizer.json"))
    pairs = [json.loads(line) for line in open(work / "pairs.jsonl")]
    return {k: sum(len(t.encode(p[k]).ids) for p in pairs) for k in ("prompt", "chosen", "rejected")}, len(pairs)
