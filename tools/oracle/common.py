"""What every family of goldens shares: where they go, how models are drawn, how tensors are stored."""

import json
import os
import random
import shutil
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "testdata" / "oracle"

EOS, PAD, IM_START, IM_END = 256, 257, 258, 259
SPECIALS = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
VOCAB = 256 + len(SPECIALS)

torch.set_num_threads(1)


def seed(n):
    random.seed(n)
    np.random.seed(n)
    torch.manual_seed(n)


def fresh(*parts):
    """An empty folder of the goldens."""
    path = OUT.joinpath(*parts)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_json(path, value):
    """Lists of numbers stay on one line: token ids would fill pages otherwise."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True).replace(",\n   ", ",").replace("\n\n", "\n") + "\n")


def compact_json(path, value):
    lines = [f" {json.dumps(k)}: {json.dumps(value[k], sort_keys=True)}" for k in sorted(value)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write_tensors(path, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in sorted(tensors.items())}, str(path), metadata={"format": "pt"})


def spread(model, std, generator_seed):
    """Draws every weight anew: the default std of 0.02 makes logits that hardly depend on anything. Norm gains stay near
    1 and biases near 0, but none is exactly its default, so that forgetting one shows."""
    g = torch.Generator().manual_seed(generator_seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=g)
            lower = name.lower()
            if p.ndim == 1 and name.endswith("weight"):
                p.copy_(1 + 0.1 * noise)
            elif p.ndim == 1:
                p.copy_(0.1 * noise)
            elif "embed" in lower or "wte" in lower or "wpe" in lower:
                p.copy_(0.5 * noise)
            else:
                p.copy_(std * noise)
    return model


def byte_tokenizer(chat=False):
    """A byte-level tokenizer without merges: id = byte value, then the specials. PAD is not EOS."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # ByteLevel writes bytes as characters: printable Latin-1 as itself, the others from 256 up.
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    chars, extra = {}, 0
    for b in range(256):
        if b in keep:
            chars[b] = chr(b)
        else:
            chars[b] = chr(256 + extra)
            extra += 1
    tok = Tokenizer(models.BPE(vocab={chars[b]: b for b in range(256)}, merges=[]))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok, eos_token=SPECIALS[0], pad_token=SPECIALS[1], model_max_length=512, clean_up_tokenization_spaces=False
    )
    assert fast("aÿ<|pad|>")["input_ids"] == [97, 0xC3, 0xBF, PAD], fast("aÿ<|pad|>")["input_ids"]
    assert len(fast) == VOCAB
    if chat:
        fast.chat_template = (
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        )
    return fast


def load(kind, case, **kw):
    """A model of the goldens, f32, eager attention (the plainest code path), no dropout."""
    model = kind.from_pretrained(str(OUT / case / "model"), dtype=torch.float32, attn_implementation="eager", **kw)
    return model.eval()


def adapter_grads(model):
    """Gradient of every trainable tensor under its name in PEFT's adapter file."""
    grads = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            grads[name.replace(".default.", ".").replace(".modules_to_save.default", "").replace(".modules_to_save", "")] = p.grad.clone()
    return grads


__all__ = [n for n in dir() if not n.startswith("_")]
