"""One training of TRL 1.16 on the benchmark's pairs; prints a line of JSON.

    python bench/trl_side.py dpo|reward --work bench/work [--bf16] [--precompute] [--threads N]
"""
import argparse, json, time

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback


class Clock(TrainerCallback):
    """Remembers when the first step began."""

    first = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.first = self.first or time.time()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["dpo", "reward"])
    p.add_argument("--work", required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--precompute", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--pairs", type=int, default=0, help="the first so many; 0: all")
    p.add_argument("--out", default="/tmp/trl-out")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = f"{a.work}/smollm2"
    tok = AutoTokenizer.from_pretrained(model)
    data = load_dataset("json", data_files=f"{a.work}/pairs.jsonl", split="train")
    if a.pairs:
        data = data.select(range(a.pairs))
    tokens = {k: sum(len(tok(r[k]).input_ids) for r in data) for k in ("prompt", "chosen", "rejected")}
    dtype = torch.bfloat16 if a.bf16 else torch.float32
    lora = dict(r=8, lora_alpha=16, target_modules="all-linear", lora_dropout=0.0)
    common = dict(output_dir=a.out, per_device_train_batch_size=a.batch, num_train_epochs=1, max_length=512, logging_steps=1,
                  report_to=[], save_strategy="no", use_cpu=True, bf16=a.bf16, gradient_checkpointing=False, learning_rate=1e-4,
                  disable_tqdm=True)
    if a.what == "dpo":
        from trl import DPOConfig, DPOTrainer
        m = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
        t = DPOTrainer(m, args=DPOConfig(precompute_ref_log_probs=a.precompute, **common), train_dataset=data, processing_class=tok,
                       peft_config=LoraConfig(task_type="CAUSAL_LM", **lora))
    else:
        from trl import RewardConfig, RewardTrainer
        m = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, dtype=dtype)
        m.config.pad_token_id = tok.pad_token_id
        t = RewardTrainer(m, args=RewardConfig(**common), train_dataset=data, processing_class=tok,
                          peft_config=LoraConfig(task_type="SEQ_CLS", **lora))
    clock = Clock()
    t.add_callback(clock)
    # With a precomputed reference TRL computes it on first use of the loader: that is part of the work.
    began, used = time.time(), time.process_time()
    t.train()
    ended, cpu = time.time(), time.process_time() - used
    losses = [round(h["loss"], 4) for h in t.state.log_history if "loss" in h]
    print(json.dumps({"work": a.what, "pairs": len(data), "training": [began, ended], "cpu": round(cpu, 2), "losses": losses,
                      "bf16": a.bf16, "precompute": a.precompute, "first_step": clock.first, "tokens": tokens,
                      "trainable": sum(x.numel() for x in t.model.parameters() if x.requires_grad)}))


if __name__ == "__main__":
    main()
