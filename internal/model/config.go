package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config is the shape of a decoder, read from a Hugging Face config.json.
type Config struct {
	Type         string  `json:"model_type"`
	Hidden       int     `json:"hidden_size"`
	Layers       int     `json:"num_hidden_layers"`
	Heads        int     `json:"num_attention_heads"`
	KVHeads      int     `json:"num_key_value_heads"`
	HeadDim      int     `json:"head_dim"`
	Intermediate int     `json:"intermediate_size"`
	Vocab        int     `json:"vocab_size"`
	MaxPositions int     `json:"max_position_embeddings"`
	NormEps      float64 `json:"rms_norm_eps"`
	RopeTheta    float64 `json:"rope_theta"`
	Tied         bool    `json:"tie_word_embeddings"`
	AttnBias     bool    `json:"attention_bias"`
	MLPBias      bool    `json:"mlp_bias"`
	Act          string  `json:"hidden_act"`
	InitRange    float64 `json:"initializer_range"`

	Rope   *RopeScaling `json:"rope_scaling,omitempty"`
	Window int          `json:"-"` // Mistral's sliding window, 0 for none

	raw map[string]json.RawMessage // the file's own keys, written back by Save
}

// RopeScaling is how positions beyond the trained length are mapped; Type "llama3" or "linear".
type RopeScaling struct {
	Type     string  `json:"rope_type"`
	OldType  string  `json:"type,omitempty"`
	Factor   float64 `json:"factor"`
	Low      float64 `json:"low_freq_factor"`
	High     float64 `json:"high_freq_factor"`
	Original int     `json:"original_max_position_embeddings"`
	Theta    float64 `json:"rope_theta,omitempty"`
	Partial  float64 `json:"partial_rotary_factor,omitempty"`
}

// gpt2Config holds GPT-2's own names for the same things.
type gpt2Config struct {
	NEmbd      int     `json:"n_embd"`
	NLayer     int     `json:"n_layer"`
	NHead      int     `json:"n_head"`
	NPositions int     `json:"n_positions"`
	NInner     *int    `json:"n_inner"`
	Eps        float64 `json:"layer_norm_epsilon"`
	Act        string  `json:"activation_function"`
	ByLayer    bool    `json:"scale_attn_by_inverse_layer_idx"`
	Scale      *bool   `json:"scale_attn_weights"`
	Cross      bool    `json:"add_cross_attention"`
	Tied       *bool   `json:"tie_word_embeddings"`
}

// ParseConfig reads a config.json. Anything that changes the forward pass and is not understood is an
// error that names it.
func ParseConfig(src []byte) (Config, error) {
	c := Config{NormEps: 1e-6, RopeTheta: 10000, Act: "silu", MaxPositions: 2048, InitRange: 0.02}
	if err := json.Unmarshal(src, &c); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	if err := json.Unmarshal(src, &c.raw); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	var err error
	switch c.Type {
	case "llama", "mistral", "qwen2", "qwen3":
		err = c.llama()
	case "gpt2":
		err = c.gpt2(src)
	case "":
		err = errors.New("model_type is missing")
	default:
		err = fmt.Errorf("model_type %q: known are llama, mistral, qwen2, qwen3 and gpt2", c.Type)
	}
	if err = errors.Join(err, c.check()); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	return c, nil
}

func (c *Config) llama() error {
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
		if c.Type == "mistral" { // transformers' default, unlike Llama's
			c.KVHeads = 8
		}
	}
	if c.HeadDim == 0 && c.Type == "qwen3" {
		c.HeadDim = 128
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.Type == "qwen2" {
		c.AttnBias = true
	}
	var extra struct {
		Params        *RopeScaling `json:"rope_parameters"`
		SlidingWindow *int         `json:"sliding_window"`
		UseSliding    bool         `json:"use_sliding_window"`
		Partial       *float64     `json:"partial_rotary_factor"`
	}
	b, _ := json.Marshal(c.raw)
	if err := json.Unmarshal(b, &extra); err != nil {
		return err
	}
	if p := extra.Params; p != nil { // transformers 5 writes rope_theta and the scaling together
		if p.Theta != 0 {
			c.RopeTheta = p.Theta
		}
		c.Rope = p
	}
	if extra.Partial != nil && *extra.Partial != 1 {
		return fmt.Errorf("partial_rotary_factor %v is not supported", *extra.Partial)
	}
	if _, said := c.raw["sliding_window"]; !said && c.Type == "mistral" {
		c.Window = 4096
	}
	if extra.SlidingWindow != nil {
		switch {
		case c.Type == "mistral":
			c.Window = *extra.SlidingWindow
		case extra.UseSliding:
			return fmt.Errorf("use_sliding_window is not supported for %s", c.Type)
		}
	}
	if c.Act != "silu" {
		return fmt.Errorf("hidden_act %q: only silu is supported for %s", c.Act, c.Type)
	}
	if r := c.Rope; r != nil {
		if r.Type == "" {
			r.Type = r.OldType
		}
		if r.Partial != 0 && r.Partial != 1 {
			return fmt.Errorf("partial_rotary_factor %v is not supported", r.Partial)
		}
		switch r.Type {
		case "default", "":
			c.Rope = nil
		case "linear", "llama3":
			if r.Factor <= 0 || r.Type == "llama3" && (r.Low <= 0 || r.High <= r.Low || r.Original <= 0) {
				return fmt.Errorf("rope_scaling: factor, low_freq_factor, high_freq_factor or original_max_position_embeddings is wrong: %+v", *r)
			}
		default:
			return fmt.Errorf("rope_scaling type %q: known are default, linear and llama3", r.Type)
		}
	}
	return nil
}

func (c *Config) gpt2(src []byte) error {
	g := gpt2Config{NPositions: 1024, Eps: 1e-5, Act: "gelu_new"}
	if err := json.Unmarshal(src, &g); err != nil {
		return err
	}
	c.Hidden, c.Layers, c.Heads, c.KVHeads = g.NEmbd, g.NLayer, g.NHead, g.NHead
	c.MaxPositions, c.NormEps, c.Act = g.NPositions, g.Eps, g.Act
	c.Tied = g.Tied == nil || *g.Tied
	c.Intermediate = 4 * c.Hidden
	if g.NInner != nil {
		c.Intermediate = *g.NInner
	}
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	var errs []error
	if !slices.Contains([]string{"gelu_new", "gelu", "gelu_pytorch_tanh"}, c.Act) {
		errs = append(errs, fmt.Errorf("activation_function %q: known are gelu_new, gelu_pytorch_tanh and gelu", c.Act))
	}
	if g.ByLayer || g.Cross || g.Scale != nil && !*g.Scale {
		errs = append(errs, errors.New("scale_attn_by_inverse_layer_idx, add_cross_attention and scale_attn_weights: false are not supported"))
	}
	return errors.Join(errs...)
}

// limits keep a hostile file from asking for absurd memory before its tensors are looked at.
const (
	maxDim    = 1 << 24
	maxLayers = 1 << 12
)

func (c *Config) check() error {
	var bad []string
	for _, d := range []struct {
		name string
		v    int
	}{
		{"hidden_size", c.Hidden}, {"num_hidden_layers", c.Layers}, {"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads}, {"head_dim", c.HeadDim}, {"intermediate_size", c.Intermediate},
		{"vocab_size", c.Vocab}, {"max_position_embeddings", c.MaxPositions},
	} {
		if d.v < 1 || d.v > maxDim {
			bad = append(bad, fmt.Sprintf("%s is %d", d.name, d.v))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("want numbers from 1 to %d: %s", maxDim, strings.Join(bad, ", "))
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	if c.Type == "gpt2" && c.Hidden%c.Heads != 0 {
		return fmt.Errorf("n_embd %d is not a multiple of n_head %d", c.Hidden, c.Heads)
	}
	if c.Layers > maxLayers {
		return fmt.Errorf("num_hidden_layers is %d, want at most %d", c.Layers, maxLayers)
	}
	if !(c.NormEps >= 0) || !(c.RopeTheta > 0) {
		return fmt.Errorf("the norms' eps is %v and rope_theta %v: want numbers not below and above 0", c.NormEps, c.RopeTheta)
	}
	if c.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim %d is odd", c.HeadDim)
	}
	return nil
}

// file returns the config.json that transformers loads for this model.
func (c *Config) file() map[string]any {
	if len(c.raw) > 0 {
		out := map[string]any{}
		for k, v := range c.raw {
			out[k] = v
		}
		delete(out, "dtype") // the source's: Save writes f32, and transformers loads in the type named here
		out["torch_dtype"] = "float32"
		return out
	}
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": c.Type, "hidden_size": c.Hidden,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads,
		"head_dim": c.HeadDim, "intermediate_size": c.Intermediate, "vocab_size": c.Vocab,
		"max_position_embeddings": c.MaxPositions, "rms_norm_eps": c.NormEps, "rope_theta": c.RopeTheta,
		"tie_word_embeddings": c.Tied, "attention_bias": c.AttnBias, "mlp_bias": c.MLPBias,
		"hidden_act": c.Act, "initializer_range": c.InitRange, "torch_dtype": "float32",
	}
}
