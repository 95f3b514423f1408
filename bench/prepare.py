"""Makes what the benchmarks share: SmolLM2-135M-Instruct as a bf16 Hugging Face folder, and HH-RLHF pairs.

    python bench/prepare.py --gguf DIR_OR_FILE --hh harmless-base-1700.jsonl.gz --out bench/work

The pairs are the first N whose two sides are both at most 512 tokens, as prompt/chosen/rejected text. The first 1,000 chosen
conversations, whole, are what encoders embed.
"""
import argparse, gzip, itertools, json, pathlib

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, AddedToken
import gguf


def tokenizer(path):
    """SmolLM2's real tokenizer: transformers' GGUF loader forgets that digits stand alone."""
    r = gguf.GGUFReader(path)
    field = lambda k: r.fields[k].contents()
    tokens, merges, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.merges"), field("tokenizer.ggml.token_type")
    t = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True) for s, k in zip(tokens, types) if k == 3])
    eos = tokens[field("tokenizer.ggml.eos_token_id")]
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token=eos, pad_token="<|endoftext|>", bos_token="<|im_start|>",
                                   chat_template=field("tokenizer.chat_template"))


def pairs(path, tok, limit):
    out = []
    for line in gzip.open(path, "rt"):
        row = json.loads(line)
        cut = row["chosen"].rindex("\n\nAssistant:") + len("\n\nAssistant:")
        prompt = row["chosen"][:cut]
        if not row["rejected"].startswith(prompt) or row["chosen"] == row["rejected"]:
            continue
        if max(len(tok(row[k]).input_ids) for k in ("chosen", "rejected")) >= 512:
            continue
        out.append({"prompt": prompt, "chosen": row["chosen"][cut:], "rejected": row["rejected"][cut:]})
        if len(out) == limit:
            break
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--gguf", required=True)
    p.add_argument("--hh", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--pairs", type=int, default=32)
    a = p.parse_args()
    out = pathlib.Path(a.out)
    file = pathlib.Path(a.gguf)
    if file.is_dir():
        file = next(file.rglob("*.gguf"))
    tok = tokenizer(file)
    if not (out / "smollm2" / "model.safetensors").exists():
        q = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        config = q.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        m = AutoModelForCausalLM.from_config(config)
        m.load_state_dict(q.state_dict())
        m.to(torch.bfloat16).save_pretrained(out / "smollm2")
        tok.save_pretrained(out / "smollm2")
    rows = pairs(a.hh, tok, a.pairs)
    with open(out / "pairs.jsonl", "w") as f:
        for r in rows:
            f.write(json.dumps(r) + "\n")
    with open(out / "conversations.jsonl", "w") as f:
        for line in itertools.islice(gzip.open(a.hh, "rt"), 1000):
            f.write(json.dumps(json.loads(line)["chosen"]) + "\n")
    n = lambda k: sum(len(tok(r[k]).input_ids) for r in rows) / len(rows)
    print(f"{len(rows)} pairs, means {n('prompt'):.0f} prompt, {n('chosen'):.0f} chosen, {n('rejected'):.0f} rejected tokens")


if __name__ == "__main__":
    main()
