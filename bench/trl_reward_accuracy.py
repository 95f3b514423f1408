"""TRL's reward model on the same pairs in the same order as Plumb's; prints its accuracy on held-out pairs.

    python bench/trl_reward_accuracy.py --work bench/work --steps 48

bench/work/hh_train.jsonl and hh_held.jsonl are the pairs of configs/hh-smollm2.yaml, written by plumb data export.
"""
import argparse, json, math, time

import torch
from datasets import load_dataset
from peft import LoraConfig
from torch.utils.data import SequentialSampler
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer


class Sequential(RewardTrainer):
    def _get_train_sampler(self, *a, **k):
        return SequentialSampler(self.train_dataset)


def wilson(k, n, z=1.96):
    p = k / n
    mid, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (mid - half) / (1 + z * z / n), (mid + half) / (1 + z * z / n)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True)
    p.add_argument("--steps", type=int, default=48)
    p.add_argument("--lr", type=float, default=2e-4)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    tok = AutoTokenizer.from_pretrained(f"{a.work}/smollm2")
    m = AutoModelForSequenceClassification.from_pretrained(f"{a.work}/smollm2", num_labels=1, dtype=torch.bfloat16)
    m.config.pad_token_id = tok.pad_token_id
    data = {k: load_dataset("json", data_files=f"{a.work}/hh_{k}.jsonl", split="train") for k in ("train", "held")}
    keep = ["prompt", "chosen", "rejected"]
    data = {k: v.remove_columns([c for c in v.column_names if c not in keep]) for k, v in data.items()}
    args = RewardConfig(output_dir="/tmp/trl-reward", per_device_train_batch_size=8, per_device_eval_batch_size=8, max_steps=a.steps, max_length=512,
                        logging_steps=1, report_to=[], save_strategy="no", use_cpu=True, bf16=True, gradient_checkpointing=False,
                        learning_rate=a.lr, disable_tqdm=True)
    t = Sequential(m, args=args, train_dataset=data["train"], eval_dataset=data["held"], processing_class=tok,
                   peft_config=LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules="all-linear"))
    start = time.perf_counter()
    t.train()
    seconds = time.perf_counter() - start
    r = t.evaluate()
    n = len(t.eval_dataset)
    k = round(r["eval_accuracy"] * n)
    print(json.dumps({"steps": a.steps, "seconds": round(seconds, 1), "held_out": n, "accuracy": round(k / n, 4), "interval": [round(x, 4) for x in wilson(k, n)],
                      "eval_loss": r["eval_loss"]}))


if __name__ == "__main__":
    main()
