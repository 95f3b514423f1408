package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// metaInt is an integer of the metadata, whatever its width; def when the key is absent. A list whose members are all the
// same, as newer converters write per-layer values, counts as its member.
func metaInt(meta map[string]any, key string, def int) (int, error) {
	v, ok := meta[key]
	if !ok {
		return def, nil
	}
	bad := fmt.Errorf("metadata %s is %v, want a whole number below 2^31", key, v)
	var n int64
	switch v := v.(type) {
	case uint8:
		n = int64(v)
	case int8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case int16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint64:
		n = int64(min(v, math.MaxInt64))
	case []int32:
		return uniform(v, bad)
	case []uint32:
		return uniform(v, bad)
	default:
		return 0, bad
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, bad
	}
	return int(n), nil
}

func uniform[T int32 | uint32](v []T, bad error) (int, error) {
	for _, x := range v {
		if x != v[0] || int64(x) < 0 || int64(x) > math.MaxInt32 {
			return 0, bad
		}
	}
	if len(v) == 0 {
		return 0, bad
	}
	return int(v[0]), nil
}

// ConfigJSON is a Hugging Face config.json made from a GGUF file's metadata and tensors. For weights that are not GGUF, or
// of an architecture without known names, it is an error.
func (s *Set) ConfigJSON() ([]byte, error) {
	if s.gguf == nil {
		return nil, fmt.Errorf("%s: not GGUF: its configuration is in config.json", s.path)
	}
	c := ggufConfig{set: s, arch: s.gguf.arch, out: map[string]any{}}
	switch s.gguf.arch {
	case "llama", "qwen2", "qwen3":
		c.decoder()
	case "gpt2":
		c.gpt2()
	default:
		return nil, fmt.Errorf("%s: unknown architecture %q; known are gpt2, llama, qwen2, qwen3", s.path, clip(s.gguf.arch))
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return json.MarshalIndent(c.out, "", "  ")
}

type ggufConfig struct {
	set  *Set
	arch string
	out  map[string]any
	errs []error
}

// integer copies a number; without a default (def < 0) it must be there.
func (c *ggufConfig) integer(to, key string, def int) int {
	n, err := metaInt(c.set.meta, c.arch+"."+key, def)
	if err == nil && n < 0 {
		err = fmt.Errorf("metadata %s.%s is missing", c.arch, key)
	}
	if err != nil {
		c.errs = append(c.errs, err)
		return 0
	}
	if to != "" {
		c.out[to] = n
	}
	return n
}

// float copies a number. The file holds f32: its shortest decimal form is what the author wrote (1e-05).
func (c *ggufConfig) float(to, key string, def float32) float32 {
	v := def
	if m, ok := c.set.meta[c.arch+"."+key]; ok {
		f, isF32 := m.(float32)
		if !isF32 || math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			c.errs = append(c.errs, fmt.Errorf("metadata %s.%s is %v, want a finite f32", c.arch, key, m))
			return def
		}
		v = f
	}
	c.out[to] = v
	return v
}

func (c *ggufConfig) common(embedding string) {
	if tokens, ok := c.set.meta["tokenizer.ggml.tokens"].([]string); ok && c.set.meta[c.arch+".vocab_size"] == nil {
		c.out["vocab_size"] = len(tokens)
	} else {
		c.integer("vocab_size", "vocab_size", -1)
	}
	// A converter may pad the embedding beyond the vocabulary: the tensor decides, as it must load.
	if shape := c.set.Shape(embedding); len(shape) == 2 {
		c.out["vocab_size"] = shape[0]
	}
	c.out["tie_word_embeddings"] = !c.set.Has("lm_head.weight")
	for to, key := range map[string]string{"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"} {
		key = "tokenizer.ggml." + key + "_token_id"
		if _, ok := c.set.meta[key]; !ok {
			continue
		}
		n, err := metaInt(c.set.meta, key, 0)
		if err != nil {
			c.errs = append(c.errs, err)
		}
		c.out[to] = n
	}
}

func (c *ggufConfig) decoder() {
	class := map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[c.arch]
	c.out["model_type"], c.out["architectures"] = c.arch, []string{class}
	c.out["hidden_act"] = "silu"
	hidden := c.integer("hidden_size", "embedding_length", -1)
	c.integer("intermediate_size", "feed_forward_length", -1)
	c.integer("num_hidden_layers", "block_count", -1)
	heads := c.integer("num_attention_heads", "attention.head_count", -1)
	c.integer("num_key_value_heads", "attention.head_count_kv", heads)
	c.integer("max_position_embeddings", "context_length", 2048)
	c.float("rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6)
	theta := c.float("rope_theta", "rope.freq_base", 10000)
	if heads <= 0 || hidden%heads != 0 && c.set.meta[c.arch+".attention.key_length"] == nil {
		c.errs = append(c.errs, fmt.Errorf("embedding_length %d does not divide into %d heads", hidden, heads))
		return
	}
	dim := c.integer("head_dim", "attention.key_length", hidden/heads)
	if rotary := c.integer("", "rope.dimension_count", dim); rotary != dim {
		c.errs = append(c.errs, fmt.Errorf("rotary dimension %d of a head of %d: partial rotation is not supported", rotary, dim))
	}
	c.out["attention_bias"] = c.set.Has("model.layers.0.self_attn.q_proj.bias")
	c.common("model.embed_tokens.weight")
	c.ropeScaling(dim, float64(theta))
}

// ropeScaling translates the two ways a GGUF file stretches the context. Linear scaling is metadata. Llama-3's is only
// stored as its effect, one divisor a frequency: the divisors say the factor (the largest), and the other numbers, which
// every published Llama-3 shares, are checked by computing the divisors again.
func (c *ggufConfig) ropeScaling(dim int, theta float64) {
	factors := c.set.gguf.ropeFactors
	if kind, ok := c.set.meta[c.arch+".rope.scaling.type"].(string); ok && kind != "none" && factors == nil {
		factor, _ := c.set.meta[c.arch+".rope.scaling.factor"].(float32)
		if kind != "linear" || factor <= 0 {
			c.errs = append(c.errs, fmt.Errorf("rope scaling %q with factor %v is not supported", clip(kind), factor))
			return
		}
		c.out["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
		return
	}
	if factors == nil {
		return
	}
	const low, high, original = 1.0, 4.0, 8192.0
	factor := 0.0
	for _, f := range factors {
		factor = math.Max(factor, float64(f))
	}
	ok := len(factors) == dim/2 && factor >= 1
	for i := 0; ok && i < len(factors); i++ {
		want := llama3Divisor(math.Pow(theta, -2*float64(i)/float64(dim)), factor, low, high, original)
		ok = math.Abs(float64(factors[i])-want) <= 1e-4*want
	}
	if !ok {
		c.errs = append(c.errs, errors.New("rope_freqs.weight is not Llama-3's scaling (low 1, high 4, original context 8192)"))
		return
	}
	c.out["rope_scaling"] = map[string]any{
		"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
		"original_max_position_embeddings": int(original),
	}
}

// llama3Divisor is what Llama-3 divides a rotary frequency by: 1 for short wavelengths, factor for long ones, and between
// them an interpolation linear in the frequency.
func llama3Divisor(freq, factor, low, high, original float64) float64 {
	wavelength := 2 * math.Pi / freq
	switch {
	case wavelength < original/high:
		return 1
	case wavelength > original/low:
		return factor
	}
	smooth := (original/wavelength - low) / (high - low)
	return 1 / ((1-smooth)/factor + smooth)
}

func (c *ggufConfig) gpt2() {
	c.out["model_type"], c.out["architectures"] = "gpt2", []string{"GPT2LMHeadModel"}
	c.out["activation_function"] = "gelu_new"
	c.integer("n_embd", "embedding_length", -1)
	c.integer("n_inner", "feed_forward_length", -1)
	c.integer("n_layer", "block_count", -1)
	c.integer("n_head", "attention.head_count", -1)
	c.integer("n_positions", "context_length", 1024)
	c.float("layer_norm_epsilon", "attention.layer_norm_epsilon", 1e-5)
	c.common("transformer.wte.weight")
}
