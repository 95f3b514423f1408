"""Small random models: Hugging Face folders, a token batch, its logits, greedy continuations."""

from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)

from common import *

_rope3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
_llama = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=EOS, pad_token_id=PAD,
)

# case -> (model, std of the weights)
DECODERS = {
    "llama": lambda: (LlamaForCausalLM(LlamaConfig(**_llama, tie_word_embeddings=True)), 0.3),
    "llama3": lambda: (
        LlamaForCausalLM(LlamaConfig(**{**_llama, "attention_bias": True, "head_dim": 16}, tie_word_embeddings=False, rope_parameters=_rope3)),
        0.3,
    ),
    "qwen2": lambda: (Qwen2ForCausalLM(Qwen2Config(**_llama, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6))), 0.3),
    "gpt2": lambda: (
        GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=192, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD,
            )
        ),
        0.3,
    ),
}


def greedy(model, prompts, n=64, **inputs):
    """Greedy continuations, each alone (no padding), never ended by EOS, and how close each choice was."""
    out = []
    for prompt in prompts:
        ids, gap = list(prompt), []
        with torch.no_grad():
            for _ in range(n):
                top = model(torch.tensor([ids]), **inputs).logits[0, -1].topk(2)
                gap.append(float(top.values[0] - top.values[1]))
                ids.append(int(top.indices[0]))
        out.append({"prompt": list(prompt), "continuation": ids[len(prompt):], "smallest_gap": min(gap)})
    return out


def random_ids(n, generator_seed, low=2, high=256):
    """low=2: RoBERTa counts positions by the tokens that are not its padding, id 1."""
    g = torch.Generator().manual_seed(generator_seed)
    return torch.randint(low, high, (n,), generator=g).tolist()


def decoder(case, std_seed):
    seed(std_seed)
    model, std = DECODERS[case]()
    spread(model.float(), std, std_seed)
    folder = fresh(case)
    model.save_pretrained(str(folder / "model"))
    byte_tokenizer(chat=True).save_pretrained(str(folder / "model"))
    (folder / "model" / "generation_config.json").unlink(missing_ok=True)
    model = load(AutoModelForCausalLM, case)
    sequences = [random_ids(n, 100 * std_seed + n) for n in (24, 9, 1)]
    logits = {}
    with torch.no_grad():
        for i, ids in enumerate(sequences):
            logits[f"logits.{i}"] = model(torch.tensor([ids])).logits[0]
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
            logits[f"hidden.{i}"] = hidden  # after the final norm
    write_tensors(folder / "logits.safetensors", logits)
    prompts = [random_ids(n, 7 + n) for n in (5, 12, 17)]
    compact_json(folder / "case.json", {"sequences": sequences, "greedy": greedy(model, prompts)})


def encoder(case, std_seed):
    seed(std_seed)
    common = dict(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_labels=1,
    )
    if case == "bert":
        config = BertConfig(**common, max_position_embeddings=64, type_vocab_size=2, pad_token_id=PAD)
        body, head = BertModel, BertForSequenceClassification
    else:
        config = RobertaConfig(**common, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1)
        body, head = RobertaModel, RobertaForSequenceClassification
    folder = fresh(case)
    model = spread(head(config).float(), 0.25, std_seed)
    model.save_pretrained(str(folder / "model"))
    model = load(head, case)
    plain = load(body, case, add_pooling_layer=False)
    sequences = [random_ids(n, 100 * std_seed + n) for n in (20, 7)]
    types = [[int(i >= len(s) // 2) if case == "bert" else 0 for i in range(len(s))] for s in sequences]
    out = {}
    with torch.no_grad():
        for i, (ids, kinds) in enumerate(zip(sequences, types)):
            ids, kinds = torch.tensor([ids]), torch.tensor([kinds])
            out[f"hidden.{i}"] = plain(ids, token_type_ids=kinds).last_hidden_state[0]
            out[f"mean.{i}"] = out[f"hidden.{i}"].mean(0)
            out[f"score.{i}"] = model(ids, token_type_ids=kinds).logits[0]
    write_tensors(folder / "outputs.safetensors", out)
    compact_json(folder / "case.json", {"sequences": sequences, "token_type_ids": types})


def main():
    for i, case in enumerate(DECODERS):
        decoder(case, 11 + i)
    encoder("bert", 21)
    encoder("roberta", 22)


if __name__ == "__main__":
    main()
