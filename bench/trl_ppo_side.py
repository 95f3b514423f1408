"""PPO updates of TRL 0.23.1; prints a line of JSON. The reward model is the base with the adapter and head that plumb trained, so
that both sides ask the same one; the critic is a full model of its own, TRL has no other.

    python bench/trl_ppo_side.py --work bench/work --reward ADAPTER [--bf16] [--updates 1]
"""
import argparse, copy, json, time

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast
from trl import PPOConfig, PPOTrainer


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True)
    p.add_argument("--reward", required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--updates", type=int, default=1)
    p.add_argument("--device_batch", type=int, default=16)
    p.add_argument("--response", type=int, default=64)
    p.add_argument("--out", default="/tmp/trl-out")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = f"{a.work}/smollm2"
    dtype = torch.bfloat16 if a.bf16 else torch.float32
    # TRL 0.23.1 wants a transformers that cannot read two things in files of version 5: the tokenizer's class and where theta is.
    tok = PreTrainedTokenizerFast.from_pretrained(model, padding_side="left")
    shape = AutoConfig.from_pretrained(model)
    shape.rope_theta = json.load(open(f"{model}/config.json"))["rope_parameters"]["rope_theta"]
    shape.pad_token_id = tok.pad_token_id
    rows = [json.loads(line) for line in open(f"{a.work}/pairs.jsonl")]
    data = Dataset.from_dict({"input_ids": [tok(r["prompt"]).input_ids for r in rows]})
    policy = AutoModelForCausalLM.from_pretrained(model, config=shape, dtype=dtype)
    single = copy.deepcopy(shape)
    single.num_labels = 1
    scorer = lambda: AutoModelForSequenceClassification.from_pretrained(model, config=single, dtype=dtype)
    reward = PeftModel.from_pretrained(scorer(), a.reward).merge_and_unload()
    config = PPOConfig(output_dir=a.out, per_device_train_batch_size=a.device_batch, gradient_accumulation_steps=16 // a.device_batch, num_mini_batches=1,
                       num_ppo_epochs=4, local_rollout_forward_batch_size=16, response_length=a.response, temperature=0.7, stop_token=None,
                       total_episodes=16 * a.updates, learning_rate=1e-5, missing_eos_penalty=None, num_sample_generations=0, report_to=[],
                       save_strategy="no", use_cpu=True, bf16=a.bf16, disable_tqdm=True, logging_steps=1, gradient_checkpointing=False)
    t = PPOTrainer(args=config, processing_class=tok, model=policy, ref_model=None, reward_model=reward, value_model=scorer(), train_dataset=data,
                   eval_dataset=data.select(range(4)),
                   peft_config=LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear"))
    trainable = lambda m: sum(x.numel() for x in m.parameters() if x.requires_grad)
    began, used = time.time(), time.process_time()
    t.train()
    ended, cpu = time.time(), time.process_time() - used
    episodes = 16 * a.updates
    print(json.dumps({"work": "ppo", "episodes": episodes, "training": [began, ended], "cpu": round(cpu, 2), "bf16": a.bf16,
                      "device_batch": a.device_batch, "trainable_policy": trainable(t.model.policy), "trainable_critic": trainable(t.model.value_model),
                      "log": {k: v for k, v in t.state.log_history[-1].items() if isinstance(v, (int, float))}}))


if __name__ == "__main__":
    main()
