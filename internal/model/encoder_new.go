package model

import (
	"fmt"
	"os"
	"path/filepath"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/internal/tokenizer"
	"plumb/internal/weights"
)

// NewRandomEncoder returns a trainable BERT encoder over bytes with a classifier of one label: matrices are drawn from
// N(0, initializer_range²), norms are at one and biases at zero. The vocabulary is that of tokenizer.NewBytePairs; what c
// leaves at zero gets BERT's value.
func NewRandomEncoder(c EncoderConfig, seed uint64) (*Encoder, error) {
	tok := tokenizer.NewBytePairs()
	if c.Vocab == 0 {
		c.Vocab = tok.VocabSize()
	}
	if c.Type == "" {
		c.Type = "bert"
	}
	if c.TypeVocab == 0 {
		c.TypeVocab = 2
	}
	if c.Act == "" {
		c.Act = "gelu"
	}
	if c.Eps == 0 {
		c.Eps = 1e-12
	}
	if c.InitRange == 0 {
		c.InitRange = 0.02
	}
	c.PosType, c.Pad = "absolute", int(tok.PAD())
	if c.Type != "bert" || c.TypeVocab < 2 || c.Vocab < tok.VocabSize() {
		return nil, fmt.Errorf("a new encoder is bert with two token types and %d tokens or more, not %s with %d and %d", tok.VocabSize(), c.Type, c.TypeVocab, c.Vocab)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	e := &Encoder{Config: c, Tokenizer: tok, MaxLen: c.MaxPositions, pool: pooling{Mean: true}}
	e.build(&source{rng: run.Rand(seed, "encoder"), trainable: true})
	return e, nil
}

// Params lists the trainable weights in the order of the module tree; none when the encoder is frozen.
func (e *Encoder) Params() []adapters.Param { return e.params(e) }

// Save writes config.json, model.safetensors (f32) and the tokenizer's files: OpenEncoder reads the folder, and so does
// transformers' BertForSequenceClassification when the encoder has a classifier.
func (e *Encoder) Save(dir string) error {
	if e.Config.Type != "bert" {
		return fmt.Errorf("encoder %s: only bert is written, not %s", e.Path, e.Config.Type)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var named []weights.Named
	for _, t := range e.order {
		named = append(named, t.named(nil))
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, "model.safetensors"), named, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	if err := e.Tokenizer.Save(dir); err != nil {
		return err
	}
	return run.WriteJSON(filepath.Join(dir, "config.json"), e.Config.file())
}
