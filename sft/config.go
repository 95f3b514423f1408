package sft

import (
	"encoding/json"
	"fmt"

	"plumb/adapters"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Modes of training.
const (
	LoRA    = "lora"    // an adapter on the frozen base
	Full    = "full"    // every weight of the base
	Scratch = "scratch" // a new model with a byte-level tokenizer
)

// Config is a supervised training. Names and defaults are those of TRL's SFTConfig where it has them.
type Config struct {
	train.Options      `yaml:",inline"`
	Mode               string          `yaml:"mode"`
	MaxLength          int             `yaml:"max_length"`           // tokens; the end is cut
	CompletionOnlyLoss bool            `yaml:"completion_only_loss"` // learn the answer, not the prompt
	Lora               adapters.Config `yaml:"lora"`                 // mode lora; of an adapter that is continued its dropout alone
	NewModel           NewModel        `yaml:"new_model"`            // mode scratch
}

// NewModel is the shape of a Llama-style decoder to be trained from scratch.
type NewModel struct {
	Hidden       int     `yaml:"hidden"`
	Layers       int     `yaml:"layers"`
	Heads        int     `yaml:"heads"`
	KVHeads      int     `yaml:"kv_heads"`
	Intermediate int     `yaml:"intermediate"`
	MaxPositions int     `yaml:"max_positions"`
	RopeTheta    float64 `yaml:"rope_theta"`
	InitRange    float64 `yaml:"init_range"` // standard deviation of the first weights
	Untied       bool    `yaml:"untied"`     // an output matrix of its own instead of the embedding's
	ChatTemplate string  `yaml:"chat_template"`
}

// Defaults returns TRL's defaults for an adapter, and for a new model a shape of 0.8 million parameters.
func Defaults() Config {
	return Config{
		Options: train.Defaults(2e-5), Mode: LoRA, MaxLength: 1024, CompletionOnlyLoss: true, Lora: adapters.Defaults(),
		NewModel: NewModel{Hidden: 128, Layers: 4, Heads: 4, KVHeads: 2, Intermediate: 384, MaxPositions: 512, RopeTheta: 10000, InitRange: 0.02},
	}
}

// Validate returns every fault of the configuration's own keys; options, lora and new_model
// report theirs.
func (c Config) Validate() []error {
	faults := c.Options.Validate()
	switch c.Mode {
	case LoRA, Full, Scratch:
	default:
		faults = append(faults, &run.Fault{Key: "mode", Value: fmt.Sprintf("%q", c.Mode), Want: "lora, full or scratch"})
	}
	if c.MaxLength < 2 {
		faults = append(faults, &run.Fault{Key: "max_length", Value: fmt.Sprint(c.MaxLength), Want: "at least 2"})
	}
	return faults
}

// Validate returns every fault of the shape.
func (n NewModel) Validate() []error {
	var faults []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
		}
	}
	check(n.Hidden >= 1, "hidden", n.Hidden, "at least 1")
	check(n.Layers >= 1, "layers", n.Layers, "at least 1")
	check(n.Heads >= 1 && n.Hidden%max(n.Heads, 1) == 0 && n.Hidden/max(n.Heads, 1)%2 == 0, "heads", n.Heads, "a divisor of hidden with an even quotient")
	check(n.KVHeads >= 1 && n.Heads%max(n.KVHeads, 1) == 0, "kv_heads", n.KVHeads, "a divisor of heads")
	check(n.Intermediate >= 1, "intermediate", n.Intermediate, "at least 1")
	check(n.MaxPositions >= 2, "max_positions", n.MaxPositions, "at least 2")
	check(n.RopeTheta > 0, "rope_theta", n.RopeTheta, "a number above 0")
	check(n.InitRange > 0, "init_range", n.InitRange, "a number above 0")
	return faults
}

// config returns the model's configuration as its config.json will have it.
func (n NewModel) config(vocab, bos, eos, pad int) (model.Config, error) {
	fields := map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": n.Hidden, "num_hidden_layers": n.Layers,
		"num_attention_heads": n.Heads, "num_key_value_heads": n.KVHeads, "head_dim": n.Hidden / n.Heads, "intermediate_size": n.Intermediate,
		"vocab_size": vocab, "max_position_embeddings": n.MaxPositions, "rms_norm_eps": 1e-5, "rope_theta": n.RopeTheta,
		"tie_word_embeddings": !n.Untied, "attention_bias": false, "mlp_bias": false, "hidden_act": "silu",
		"initializer_range": n.InitRange, "torch_dtype": "float32",
	}
	for key, id := range map[string]int{"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad} {
		if id >= 0 {
			fields[key] = id
		}
	}
	src, err := json.Marshal(fields)
	if err != nil {
		return model.Config{}, err
	}
	return model.ParseConfig(src)
}
