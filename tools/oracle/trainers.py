"""Twenty optimiser steps of TRL's trainers from adapters with B not zero: every logged number, the ids each step saw, the
adapter at the end. Run before the losses: they take their batches from the same trainers."""

import logging
import tempfile
import warnings

from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

import data
from adapters import attach, base
from common import *

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

STEPS = 20
_common = dict(
    max_steps=STEPS, logging_steps=1, per_device_train_batch_size=4, gradient_accumulation_steps=1, lr_scheduler_type="linear", warmup_steps=0,
    weight_decay=0.0, max_grad_norm=1.0, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, seed=42, bf16=False, fp16=False, use_cpu=True,
    gradient_checkpointing=False, train_sampling_strategy="sequential", report_to="none", save_strategy="no", disable_tqdm=True, max_length=64,
    logging_nan_inf_filter=False, dataloader_num_workers=0,
)

# case -> trainer, model, adapter, examples, options, whether the reference is the bare base
RUNS = {
    "reward": dict(kind="reward", model="llama", adapter="reward", rows=data.texts(False), options=dict(learning_rate=3e-3)),
    "reward_margin": dict(
        kind="reward", model="gpt2", adapter="reward", rows=[{**r, "margin": m} for r, m in zip(data.texts(), data.MARGINS)],
        options=dict(learning_rate=3e-3, center_rewards_coefficient=0.05, gradient_accumulation_steps=2, per_device_train_batch_size=2,
                     warmup_steps=4, lr_scheduler_type="cosine", weight_decay=0.1, max_length=58),
    ),
    "dpo": dict(kind="dpo", model="llama", adapter="lora", rows=data.texts(False), options=dict(learning_rate=3e-3, beta=0.2)),
    "dpo_ipo": dict(
        kind="dpo", model="gpt2", adapter="lora", rows=data.chats(), bare_reference=True,
        options=dict(learning_rate=3e-3, beta=0.5, loss_type="ipo", gradient_accumulation_steps=2, per_device_train_batch_size=2, max_length=76,
                     max_grad_norm=0.5, adam_beta2=0.99),
    ),
    "sft": dict(kind="sft", model="llama", adapter="lora", rows=data.completions(), options=dict(learning_rate=3e-3)),
    "sft_text": dict(
        kind="sft", model="gpt2", adapter="lora", rows=[{"text": r["chosen"]} for r in data.texts(False)],
        options=dict(learning_rate=3e-3, gradient_accumulation_steps=2, per_device_train_batch_size=2, lr_scheduler_type="constant", max_length=24),
    ),
}

_kinds = {"reward": (RewardTrainer, RewardConfig), "dpo": (DPOTrainer, DPOConfig), "sft": (SFTTrainer, SFTConfig)}


def trainer(kind, model, adapter, rows, options, bare_reference=False):
    cls, config = _kinds[kind]
    seed(0)
    policy = attach(base(model, "reward" if kind == "reward" else "lora"), model, adapter)
    extra = dict(ref_model=base(model)) if bare_reference else {}
    # Without `eos_token` in a conversation's template TRL adds none, and the ids recorded say so.
    return cls(
        model=policy, args=config(output_dir=tempfile.mkdtemp(prefix="oracle-"), **{**_common, **options}), train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(str(OUT / model / "model")), **extra,
    )


def start(counts):
    """Index of the first token that counts; those after it all do."""
    first = len(counts) - int(counts.sum())
    assert counts[first:].all()
    return first


def batches(collated):
    """Rows of a collated batch without their padding: the ids, and where the tokens that count begin."""
    out = []
    for i, mask in enumerate(collated["attention_mask"].bool()):
        row = {"input_ids": collated["input_ids"][i][mask].tolist()}
        if "completion_mask" in collated:
            row["completion_start"] = start(collated["completion_mask"][i][mask].bool())
        if "labels" in collated:
            row["completion_start"] = start(collated["labels"][i][mask] != -100)
        out.append(row)
    return out


def record(t):
    """The distinct batches a trainer computes a loss of, and for every micro-batch which one it was and the loss itself."""
    distinct, seen, compute = [], [], t.compute_loss

    def wrapped(model, inputs, *args, **kwargs):
        rows = batches(inputs)
        if rows not in distinct:
            distinct.append(rows)
        loss = compute(model, inputs, *args, **kwargs)
        seen.append({"batch": distinct.index(rows), "loss": float((loss[0] if isinstance(loss, tuple) else loss).detach())})
        return loss

    t.compute_loss = wrapped
    return distinct, seen


def tokenised(row):
    """What the trainer made of an example: prompt_ids, chosen_ids, rejected_ids, or input_ids and completion_start."""
    out = {k: row[k] for k in ("prompt_ids", "chosen_ids", "rejected_ids", "input_ids", "margin") if k in row}
    if "labels" in row:
        out["completion_start"] = start(torch.tensor(row["labels"]) != -100)
    return out


def final(model):
    return {
        n.replace(".default.", ".").replace(".modules_to_save.default", "").replace(".modules_to_save", ""): p
        for n, p in model.named_parameters()
        if p.requires_grad
    }


def main():
    for case, spec in RUNS.items():
        t = trainer(**spec)
        folder = fresh("trainers", case)
        dataset = [tokenised(row) for row in t.train_dataset]
        distinct, seen = record(t)
        t.train()
        dropped = ("epoch", "step", "train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos")
        log = [{k: v for k, v in entry.items() if k not in dropped} for entry in t.state.log_history if "loss" in entry]
        assert len(log) == STEPS
        assert abs(log[0]["loss"] - log[-1]["loss"]) > 0.05, (case, log[0]["loss"], log[-1]["loss"])
        options = {k: v for k, v in {**_common, **spec["options"]}.items() if k not in ("use_cpu", "disable_tqdm", "report_to", "save_strategy")}
        compact_json(folder / "case.json", {
            "kind": spec["kind"], "model": spec["model"], "adapter": spec["adapter"], "reference": "base" if spec.get("bare_reference") else "adapter",
            "options": options, "examples": spec["rows"], "dataset": dataset, "batches": distinct, "micro_batches": seen, "log": log,
        })
        write_tensors(folder / "final.safetensors", final(t.model))
        print(f"  {case}: loss {log[0]['loss']:.4f} -> {log[-1]['loss']:.4f}, {len(dataset)} of {len(spec['rows'])} rows, keys {sorted(log[0])}")


if __name__ == "__main__":
    main()
