"""One backward pass of TRL's losses on one batch: the loss and the gradient of every adapter tensor."""

import torch.nn.functional as F

import data
from trainers import tokenised, trainer
from common import *

ROWS = [0, 1, 2, 5, 9, 12]
BETA, SMOOTHING = 0.3, 0.15

# name -> (models, kind, options)
_both, _all = ["llama", "gpt2"], ["llama", "llama3", "qwen2", "gpt2"]
LOSSES = {
    "reward": (_both, "reward", {}),
    "reward_margin": (_both, "reward", dict(center_rewards_coefficient=0.05)),
    "sft": (_all, "sft", {}),
    "sigmoid": (_all, "dpo", {}),
    "ipo": (_both, "dpo", {}),
    "hinge": (_both, "dpo", {}),
    "robust": (_both, "dpo", dict(label_smoothing=SMOOTHING)),
    "cdpo": (_both, "dpo", {}),
}
# Their values only; the gradients follow from those above with a derivative that is easily checked by differences.
_smoothed = dict(label_smoothing=SMOOTHING)
VALUES = {
    "exo_pair": _smoothed, "nca_pair": {}, "bco_pair": {}, "sppo_hard": {}, "aot": _smoothed, "aot_unpaired": _smoothed, "apo_zero": {}, "apo_down": {},
    "discopop": {}, "sft": {}, "sigmoid_norm": {},
}


def rows(name, kind):
    if kind == "sft":
        return [data.completions()[i] for i in ROWS]
    if name == "reward_margin":
        return [{**data.texts()[i], "margin": data.MARGINS[i]} for i in ROWS]
    return [data.texts()[i] for i in ROWS]


def build(model, name, kind, options):
    extra = dict(beta=BETA, loss_type=name) if kind == "dpo" else {}
    if name == "cdpo":
        extra["loss_type"] = "sigmoid"
    t = trainer(kind, model, "reward" if kind == "reward" else "lora", rows(name, kind),
                {**extra, **options, "per_device_train_batch_size": len(ROWS)}, bare_reference=kind == "dpo")
    t.model.train()
    return t, next(iter(t.get_train_dataloader()))


def logps(model, batch):
    """Sum of the completion tokens' log-probabilities, row by row: chosen first, then rejected."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    each = logits.log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    return (each * batch["completion_mask"][:, 1:]).sum(1)


def cdpo(policy, reference):
    c, r = (policy - reference).chunk(2)
    d = BETA * (c - r)
    return (-(1 - SMOOTHING) * F.logsigmoid(d) - SMOOTHING * F.logsigmoid(-d)).mean()


def main():
    for model in _all:
        folder, record = fresh("losses", model), {"losses": {}, "metrics": {}, "values": {}, "beta": BETA, "label_smoothing": SMOOTHING}
        for name, (models, kind, options) in LOSSES.items():
            if model not in models:
                continue
            t, batch = build(model, name, kind, options)
            if name == "cdpo":
                with torch.no_grad():
                    reference = logps(t.ref_model, batch)
                loss = cdpo(logps(t.model, batch), reference)
            else:
                loss = t.compute_loss(t.model, dict(batch))
            loss.backward()
            write_tensors(folder / f"{name}.safetensors", adapter_grads(t.model))
            record["losses"][name] = float(loss.detach())
            record["metrics"][name] = {k: v[-1] for k, v in t._metrics["train"].items()}
            if name == "sigmoid":
                with torch.no_grad():
                    policy, reference = logps(t.model, batch), logps(t.ref_model, batch)
                d = policy - reference
                own = -F.logsigmoid(BETA * (d[: len(ROWS)] - d[len(ROWS):])).mean()
                assert abs(float(own) - float(loss)) < 1e-5, (own, loss)
                hinge = 1 - BETA * (d[: len(ROWS)] - d[len(ROWS):])
                assert model not in LOSSES["hinge"][0] or hinge.min() < -0.01 and hinge.max() > 0.01, hinge  # both sides of the corner occur
                record["pairs"] = [tokenised(row) for row in t.train_dataset]
                record["logps"], record["ref_logps"] = policy.tolist(), reference.tolist()
            if name == "reward_margin":
                record["reward_pairs"] = [tokenised(row) for row in t.train_dataset]
                with torch.no_grad():
                    record["scores"] = t.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()
            if name == "sft":
                record["sft_rows"] = [tokenised(row) for row in t.train_dataset]
        if model == "llama":
            for name, options in VALUES.items():
                t, batch = build(model, name, "dpo", options)
                record["values"][name] = float(t.compute_loss(t.model, dict(batch)).detach())
        compact_json(folder / "case.json", record)
        print(f"  {model}: {record['losses']}")


if __name__ == "__main__":
    main()
