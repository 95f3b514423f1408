package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"plumb/adapters"
	"plumb/internal/kernels"
	"plumb/internal/run"
	"plumb/internal/tokenizer"
	"plumb/internal/weights"
)

// Options say how a model is held in memory.
type Options struct {
	Compute   kernels.Compute // arithmetic of products with frozen weights
	Trainable bool            // full training: weights become f32 parameters
	Auto      bool            // Compute is kernels.Fastest: a quantised model takes kernels.FastestBlocks instead
	FewRows   bool            // few rows share each weight

	Hash func(path string) (string, error) // what Bundle.Hash asks; nil: run.HashTree
}

// Bundle is a model with the tokenizer that belongs to it.
type Bundle struct {
	Model     *Model
	Tokenizer *tokenizer.Tokenizer
	Path      string

	hashOf func(path string) (string, error)
	once   sync.Once
	hash   string
	err    error
}

// Hash is the content hash of the model's files.
func (b *Bundle) Hash() (string, error) {
	b.once.Do(func() {
		if b.hashOf == nil {
			b.hashOf = run.HashTree
		}
		b.hash, b.err = b.hashOf(b.Path)
	})
	return b.hash, b.err
}

// Open reads a model from a folder (config.json, *.safetensors, tokenizer.json) or a .gguf file. Weights are held as
// stored: bf16, 8-bit and 4-bit blocks stay so; the others are f32, or rounded to bf16 when opt computes in bf16. When it computes
// in 16-bit integers, all but the blocks are rounded to those.
func Open(path string, opt Options) (*Bundle, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	set, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	b := &Bundle{Path: path, hashOf: opt.Hash}
	var src []byte
	if set.GGUF() {
		if src, err = set.ConfigJSON(); err == nil {
			b.Tokenizer, err = tokenizer.FromGGUF(set.Metadata())
		}
	} else {
		if src, err = os.ReadFile(filepath.Join(path, "config.json")); err == nil {
			b.Tokenizer, err = tokenizer.Load(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if b.Model, err = fromSet(set, src, opt); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if n := b.Tokenizer.VocabSize(); n > b.Model.Config.Vocab {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, the model's vocabulary only %d", path, n, b.Model.Config.Vocab)
	}
	return b, nil
}

// OpenWeights reads a model without a tokenizer.
func OpenWeights(path string, opt Options) (*Model, error) {
	set, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	src, err := os.ReadFile(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, err
	}
	return fromSet(set, src, opt)
}

func fromSet(set *weights.Set, src []byte, opt Options) (*Model, error) {
	c, err := ParseConfig(src)
	if err != nil {
		return nil, err
	}
	if opt.Auto && set.Quantised() {
		opt.Compute = kernels.FastestBlocks(opt.FewRows)
	}
	s := opt.source(set)
	m := build(c, s)
	s.ignore("*.rotary_emb.inv_freq")
	return m, s.finish()
}

// source reads tensors in the layout that holds what is stored, so that quantised weights stay quantised. Others
// are rounded to what products are computed in.
func (opt Options) source(set *weights.Set) *source {
	return &source{set: set, compute: opt.Compute, trainable: opt.Trainable, panel: func(t *weights.Tensor) kernels.PanelType {
		p := t.PanelType()
		if p == kernels.PanelF32 || p == kernels.PanelBF16 && opt.Compute == kernels.I16 {
			return opt.Compute.Panel()
		}
		return p
	}}
}

// finish reports every tensor that was missing or wrong, or else those that nobody asked for.
func (s *source) finish() error {
	if len(s.errs) == 0 {
		return s.set.Unused()
	}
	return errors.Join(s.errs...)
}

// resolve accepts a folder that holds a single .gguf file instead of a checkpoint.
func resolve(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("model %s: %w", path, err)
	}
	if !st.IsDir() {
		return path, nil
	}
	if _, err := os.Stat(filepath.Join(path, "config.json")); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob(filepath.Join(path, "*.gguf"))
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("model %s: neither config.json nor a .gguf file in this folder", path)
	}
	return "", fmt.Errorf("model %s: %d .gguf files in this folder: name one of %s", path, len(found), strings.Join(found, ", "))
}

// Save writes config.json and model.safetensors (f32) with adapter a merged in, if not nil; transformers
// loads the folder once the tokenizer's files are beside them.
func (m *Model) Save(dir string, a *adapters.Adapter) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var named []weights.Named
	for _, t := range m.order {
		named = append(named, t.named(a))
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, "model.safetensors"), named, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return run.WriteJSON(filepath.Join(dir, "config.json"), m.Config.file())
}
