"""LoRA adapters written by PEFT over the small models, B not zero, with the logits they give."""

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from common import *
from models import DECODERS, greedy, random_ids

_lora = dict(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")

# name -> (cases, PEFT options)
ADAPTERS = {
    "lora": (list(DECODERS), _lora),
    "second": (["llama"], {**_lora, "r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj"]}),
    "rslora": (["llama"], {**_lora, "use_rslora": True}),
    "pattern": (
        ["llama"],
        {
            **_lora,
            "target_modules": ["q_proj", "o_proj", "down_proj"],
            "rank_pattern": {"q_proj": 8, "model.layers.1.mlp.down_proj": 2},
            "alpha_pattern": {"o_proj": 2, "layers.0.self_attn.q_proj": 5},
        },
    ),
    "reward": (["llama", "gpt2"], {**_lora, "task_type": "SEQ_CLS"}),
}


def base(case, kind="lora"):
    if kind == "reward":
        return load(AutoModelForSequenceClassification, case, num_labels=1)
    return load(AutoModelForCausalLM, case)


def attach(model, case, name, trainable=True):
    return PeftModel.from_pretrained(model, str(OUT / case / "adapters" / name), is_trainable=trainable)


def save_adapter(model, folder):
    """PEFT's own files. The base is named relative to the goldens: the path of one machine is of no use on another."""
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = Path(config["base_model_name_or_path"]).relative_to(OUT).as_posix()
    for key in ("target_modules", "modules_to_save"):  # sets: their order in the file changes from run to run
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def randomize(model, generator_seed):
    g = torch.Generator().manual_seed(generator_seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=g))
            elif p.requires_grad and "score" in name:
                p.copy_(0.3 * torch.randn(p.shape, generator=g))


def main():
    for case in DECODERS:
        outputs, continuations = {}, {}
        sequences = json.loads((OUT / case / "case.json").read_text())["sequences"]
        for i, (name, (cases, options)) in enumerate(ADAPTERS.items()):
            if case not in cases:
                continue
            seed(40 + i)
            model = get_peft_model(base(case, name), LoraConfig(**options))
            randomize(model, 50 + i)
            save_adapter(model, fresh(case, "adapters", name))
            model = attach(base(case, name), case, name, trainable=False).eval()
            with torch.no_grad():
                for k, ids in enumerate(sequences):
                    if k != 1 and name != "lora":
                        continue  # one short sequence is enough to tell the options apart
                    outputs[f"{name}.logits.{k}"] = model(torch.tensor([ids])).logits[0]
            if name == "lora":
                continuations[name] = greedy(model, [random_ids(9, 77)], n=32)
        write_tensors(OUT / case / "adapters.safetensors", outputs)
        compact_json(OUT / case / "adapters.json", continuations)


if __name__ == "__main__":
    main()
