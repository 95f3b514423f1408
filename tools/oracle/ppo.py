"""Updates of TRL 1.12's PPOTrainer on recorded rollouts. Its own train() runs; only sampling is replaced, so that responses
mix an early EOS, EOS as the first token and none. Intermediate tensors are read from train()'s frame: nothing is computed again here.

Run with TRL 1.12.0 before any newer TRL on the path; regenerate.py sees to that."""

import logging
import sys
import tempfile
import warnings

import trl
from datasets import Dataset
from transformers import AutoTokenizer

assert trl.__version__ == "1.12.0", trl.__version__

from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

import data
from adapters import attach, base
from common import *

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

UPDATES = 3
_common = dict(
    temperature=0.7, stop_token="eos", num_ppo_epochs=2, learning_rate=2e-3, seed=42, num_sample_generations=0, bf16=False, fp16=False,
    gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no", eval_strategy="no", disable_tqdm=True, logging_steps=1,
)
# `sampling` seeds the responses. It is chosen so that no gradient is so near 0 that rounding decides its sign: Adam's first step moves a
# weight by the whole learning rate in the direction of that sign, and two correct programs would part there.
RUNS = {
    "llama": dict(
        model="llama", reward="gpt2", sampling=900,
        options=dict(per_device_train_batch_size=4, gradient_accumulation_steps=2, num_mini_batches=1, response_length=10, kl_estimator="k1",
                     kl_coef=0.05, missing_eos_penalty=1.0, gamma=1.0, lam=0.95),
    ),
    "gpt2": dict(
        model="gpt2", reward="llama", sampling=1000,
        options=dict(per_device_train_batch_size=16, gradient_accumulation_steps=1, num_mini_batches=2, response_length=8, kl_estimator="k3",
                     kl_coef=0.1, gamma=0.97, lam=0.9, vf_coef=0.5, cliprange=0.1, cliprange_value=0.3, whiten_rewards=True),
    ),
}


def ends(n, length, update):
    """Where each response ends: the index of its EOS, or None. Every batch has an EOS at once, one at the end, and none."""
    g = np.random.default_rng(100 + update)
    out = [int(x) for x in g.integers(1, length - 1, n)]
    out[0], out[1], out[2] = 0, None, length - 1
    out[-1] = None
    return out


class Recorder:
    def __init__(self, trainer, length, sampling):
        self.trainer, self.length, self.sampling, self.updates, self.tensors, self.grads = trainer, length, sampling, [], {}, {}
        self.accelerator_backward = trainer.accelerator.backward
        trainer.accelerator.backward = self.backward
        ppo_trainer.batch_generation = self.generate
        self.whiten = ppo_trainer.masked_whiten
        ppo_trainer.masked_whiten = self.whitened
        trainer.log = self.log

    @torch.no_grad()
    def generate(self, model, queries, batch, pad, config):
        """Samples token by token from the policy, then ends each response where `ends` says; the logits returned are those of
        the finished responses at the sampling temperature, as generate()'s scores are."""
        update = len(self.updates)
        g = torch.Generator().manual_seed(self.sampling + update)
        ids = queries
        for _ in range(self.length):
            logits = ppo_trainer.forward(model, ids, pad).logits[:, -1] / config.temperature
            logits[:, 256:] = -float("inf")  # where a response ends is decided below
            ids = torch.cat((ids, torch.multinomial(logits.softmax(-1), 1, generator=g)), 1)
        context = queries.shape[1]
        for row, end in zip(ids, ends(len(ids), self.length, update)):
            if end is not None:
                row[context + end] = EOS
                row[context + end + 1:] = PAD
        logits = ppo_trainer.forward(model, ids, pad).logits[:, context - 1: -1] / config.temperature
        strip = lambda rows: [[t for t in row if t != PAD] for row in rows.tolist()]
        self.updates.append({"queries": strip(queries), "responses": strip(ids[:, context:]), "steps": []})
        return ids, logits

    def whitened(self, values, mask, shift_mean=True):
        out = self.whiten(values, mask, shift_mean)
        if shift_mean:  # the advantages; rewards are whitened without
            frame, u = sys._getframe(1).f_locals, len(self.updates) - 1
            for name in ("scores", "values", "logprobs", "ref_logprobs", "kl", "rewards", "returns"):
                self.tensors[f"{u}.{name}"] = frame[name]
            self.tensors[f"{u}.advantages_raw"] = values
            self.tensors[f"{u}.advantages"] = torch.masked_fill(out, ~mask, 0)
            self.updates[u]["sequence_lengths"] = frame["sequence_lengths"].tolist()
        return out

    def backward(self, loss, **kwargs):
        frame, u = sys._getframe(1).f_locals, len(self.updates) - 1
        self.accelerator_backward(loss, **kwargs)
        real = ~frame["padding_mask"][frame["micro_batch_inds"]]
        logits = frame["logits"].detach()
        entropy = torch.logsumexp(logits, -1) - (logits.softmax(-1) * logits).sum(-1)
        step = {
            "epoch": frame["ppo_epoch_idx"], "mini_batch": frame["minibatch_idx"], "micro_batch": frame["gradient_accumulation_idx"],
            "indices": frame["micro_batch_inds"].tolist(), "updated": bool(self.trainer.accelerator.sync_gradients),
            "entropy_real": float(entropy[real].mean()), "entropy_all": float(entropy.mean()),
        }
        for name in ("loss", "pg_loss", "vf_loss", "vf_clipfrac"):
            step[name] = float(frame[name].detach())
        with torch.no_grad():
            step["approxkl"] = float(0.5 * (frame["logprobs_diff"] ** 2).mean())
            step["ratio"] = float(frame["ratio"].mean())
            step["pg_clipfrac"] = float(((frame["pg_losses2"] > frame["pg_losses"]) & real).sum() / real.sum())
        key = f"{u}.{len(self.updates[u]['steps'])}"
        self.updates[u]["steps"].append(step)
        if key in self.wanted:
            for name, p in self.named():
                self.grads[f"{key}.{name}"] = p.grad.clone()

    # The first and the last micro-batch of the first update: at ratio 1, and after a step, accumulated where there is accumulation.
    wanted = ("0.0", "0.3")

    def named(self):
        for prefix, module in (("policy", self.trainer.policy_model), ("value", self.trainer.value_model)):
            for name, p in module.named_parameters():
                if p.requires_grad:
                    name = name.replace(".default.", ".").replace(".modules_to_save", "")
                    name = name if name.startswith("base_model.model.") else "base_model.model." + name
                    yield f"{prefix}.{name}", p

    def log(self, metrics, *_):
        self.updates[-1]["metrics"] = {k: v for k, v in metrics.items() if k != "eps"}


def run(case, model, reward, sampling, options):
    seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(OUT / model / "model"), padding_side="left")
    policy = attach(base(model), model, "lora")
    value = attach(base(model, "reward"), model, "reward").base_model.model
    scorer = attach(base(reward, "reward"), reward, "reward", trainable=False).base_model.model
    rows = [{"input_ids": tokenizer(p)["input_ids"]} for p, _, _ in data.PAIRS]
    options = {**_common, **options}
    batch = options["per_device_train_batch_size"] * options["gradient_accumulation_steps"]
    trainer = PPOTrainer(
        args=PPOConfig(output_dir=tempfile.mkdtemp(prefix="oracle-"), total_episodes=batch * UPDATES, **options), processing_class=tokenizer,
        model=policy, ref_model=None, reward_model=scorer, value_model=value, train_dataset=Dataset.from_list(rows), eval_dataset=Dataset.from_list(rows),
    )
    recorder = Recorder(trainer, options["response_length"], sampling)
    trainer.train()
    folder = fresh("ppo", case)
    assert len(recorder.updates) == UPDATES and all(len(u["steps"]) == 4 for u in recorder.updates)
    assert any(s["pg_clipfrac"] > 0 for u in recorder.updates for s in u["steps"]) and any(s["vf_clipfrac"] > 0 for u in recorder.updates for s in u["steps"])
    shown = {k: v for k, v in options.items() if k not in ("use_cpu", "report_to", "save_strategy", "eval_strategy", "disable_tqdm", "num_sample_generations")}
    args = trainer.args
    for k in ("adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "vf_coef", "cliprange", "cliprange_value", "whiten_rewards", "missing_eos_penalty"):
        shown[k] = getattr(args, k)
    shown["lr_scheduler_type"] = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    compact_json(folder / "case.json", {
        "model": model, "adapter": "lora", "value_adapter": "reward", "reward_model": reward, "reward_adapter": "reward", "options": shown,
        "updates": recorder.updates,
    })
    write_tensors(folder / "rollouts.safetensors", recorder.tensors)
    write_tensors(folder / "grads.safetensors", recorder.grads)
    write_tensors(folder / "final.safetensors", {n: p for n, p in recorder.named()})
    for u in recorder.updates:
        print(" ", case, {k: round(v, 4) for k, v in u["metrics"].items()})


def main():
    original = ppo_trainer.batch_generation, ppo_trainer.masked_whiten
    for case, spec in RUNS.items():
        ppo_trainer.batch_generation, ppo_trainer.masked_whiten = original
        run(case, **spec)


if __name__ == "__main__":
    main()
