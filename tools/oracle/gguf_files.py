"""GGUF goldens: every block type as Python's gguf dequantises it, and tiny models written as llama.cpp's converter
writes them, checked here through transformers' own GGUF loader."""

import gguf
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter, quants
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from common import *

_rows, _cols = 3, 256


def block_types(folder):
    g = np.random.default_rng(5)
    writer = GGUFWriter(str(folder / "types.gguf"), "none")
    writer.add_uint32("test.uint32", 7)
    writer.add_array("test.strings", ["a", "", "é"])
    writer.add_array("test.int32", [1, -2, 3])
    expected = {}
    for kind in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K):
        name = kind.name.lower()
        if kind in (T.Q4_K, T.Q5_K, T.Q6_K):  # Python's gguf cannot quantise these: any bytes are a valid block
            block, size = gguf.GGML_QUANT_SIZES[kind]
            raw = g.integers(0, 256, (_rows, _cols // block, size), dtype=np.uint8)
            halves = g.normal(size=(_rows, _cols // block, 2)).astype(np.float16).view(np.uint8)
            if kind == T.Q6_K:
                raw[:, :, 208:210] = halves[:, :, :2]
            else:
                raw[:, :, 0:4] = halves
            raw = raw.reshape(_rows, -1)
        else:
            raw = quants.quantize((3 * g.normal(size=(_rows, _cols))).astype(np.float32), kind)
        expected[name] = torch.from_numpy(np.array(quants.dequantize(raw, kind), dtype=np.float32))
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_tensors(folder / "types.safetensors", expected)


def _permute(w, heads):
    """llama.cpp's converter: the halves of each head interleaved."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def _write(path, arch, metadata, tensors):
    writer = GGUFWriter(str(path), arch)
    writer.add_file_type(0)
    writer.add_uint32(f"{arch}.vocab_size", 64)
    for key, value in metadata.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{arch}.{key}", value)
    for name, value in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama(folder):
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=131072, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=8192),
    )
    seed(31)
    model = spread(LlamaForCausalLM(config).float(), 0.3, 31)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    tensors = {}
    for name, w in state.items():
        if "q_proj" in name:
            w = _permute(w, 4)
        if "k_proj" in name:
            w = _permute(w, 2)
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = w
    plain = 1.0 / (500000.0 ** (np.arange(0, 8, 2, dtype=np.float64) / 8))
    tensors["rope_freqs.weight"] = (plain / model.model.rotary_emb.inv_freq.double().numpy()).astype(np.float32)
    _write(folder / "llama.gguf", "llama", {
        "block_count": 2, "context_length": 131072, "embedding_length": 32, "feed_forward_length": 48, "attention.head_count": 4,
        "attention.head_count_kv": 2, "rope.freq_base": 500000.0, "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 8,
    }, tensors)
    write_tensors(folder / "llama.safetensors", {k: torch.from_numpy(v.copy()) for k, v in state.items()})
    del tensors["rope_freqs.weight"]
    _check(folder, "llama.gguf", AutoModelForCausalLM, state)


def gpt2(folder):
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2)
    seed(32)
    model = spread(GPT2LMHeadModel(config).float(), 0.3, 32)
    state = {k: v.numpy() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, 1)
    tensors = {}
    for name, w in state.items():
        turned = w.T if w.ndim == 2 and ".h." in name else w
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = turned
    _write(folder / "gpt2.gguf", "gpt2", {
        "block_count": 1, "context_length": 128, "embedding_length": 32, "feed_forward_length": 128, "attention.head_count": 4,
        "attention.layer_norm_epsilon": 1e-5,
    }, tensors)
    write_tensors(folder / "gpt2.safetensors", {k: torch.from_numpy(v.copy()) for k, v in state.items()})
    _check(folder, "gpt2.gguf", AutoModelForCausalLM, state)


def _check(folder, name, kind, state):
    """The golden means something only if a reader not written here agrees."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with torch.device("meta"):
        dummy = (LlamaForCausalLM if name.startswith("llama") else GPT2LMHeadModel)(
            kind_config(folder / name)
        )
    loaded = load_gguf_checkpoint(str(folder / name), return_tensors=True, model_to_load=dummy)["tensors"]
    for key, value in state.items():
        got = loaded.get(key)
        if got is None and key == "lm_head.weight":
            continue
        assert got is not None, f"{name}: transformers' loader lacks {key}"
        assert np.array_equal(np.asarray(got), value), f"{name}: {key} differs in transformers' loader"


def kind_config(path):
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name)


def main():
    folder = fresh("gguf")
    block_types(folder)
    llama(folder)
    gpt2(folder)


if __name__ == "__main__":
    main()
