"""Loads an adapter with PEFT over a model folder and prints logits as JSON, for tests that compare them with Plumb's.

    python tools/oracle/check_adapter.py --model DIR --adapter DIR --ids '[[1,2,3],[4]]'

Prints {"task_type": ..., "unused": [...], "missing": [...], "logits": [per sequence: (T, vocabulary), or (1,) from a
reward adapter]}. `--ids -` reads the list from standard input; `--adapter ""` prints the logits of the model itself.
Missing are LoRA tensors that the file lacks, unused those the model has no place for: PEFT itself only warns of them."""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import PeftConfig, PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter", default="")
    parser.add_argument("--ids", required=True)
    args = parser.parse_args()
    ids = json.loads(sys.stdin.read() if args.ids == "-" else args.ids)
    config = PeftConfig.from_pretrained(args.adapter) if args.adapter else None
    task = str(getattr(config.task_type, "value", config.task_type)) if config else None
    options = dict(dtype=torch.float32, attn_implementation="eager")
    if task == "SEQ_CLS":
        model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=1, **options)
    else:
        model = AutoModelForCausalLM.from_pretrained(args.model, **options)
    missing, unused = [], []
    if args.adapter:
        model = PeftModel.from_pretrained(model, args.adapter)
        have = {k.replace(".default", "").replace(".modules_to_save", "") for k in model.state_dict() if "lora_" in k or ".modules_to_save." in k}
        with safe_open(str(Path(args.adapter) / "adapter_model.safetensors"), "pt") as f:
            stored = set(f.keys())
        missing, unused = sorted(have - stored), sorted(stored - have)
    model.eval()
    with torch.no_grad():
        logits = [model(torch.tensor([s])).logits[0].tolist() for s in ids]
    json.dump({"task_type": task, "missing": missing, "unused": unused, "logits": logits}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
