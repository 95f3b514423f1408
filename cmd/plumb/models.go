package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"plumb/internal/hub"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/tokenizer"
	"plumb/internal/weights"
)

// modelCache opens each base model once, however many stages and roles use it.
type modelCache struct {
	mu   sync.Mutex
	open map[modelKey]*model.Bundle
	hash func(path string) (string, error) // of a model's files, where somebody has asked before; may be nil
}

type modelKey struct {
	path      string
	compute   string
	trainable bool
}

func newModelCache() *modelCache { return &modelCache{open: map[modelKey]*model.Bundle{}} }

// Open opens a model by folder, .gguf file or hub name. A trainable model is not shared: its user changes it.
func (c *modelCache) Open(name, compute string, trainable bool) (*model.Bundle, error) {
	path, err := findModel(name)
	if err != nil {
		return nil, err
	}
	key := modelKey{path, compute, trainable}
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.open[key]; b != nil && !trainable {
		return b, nil
	}
	tightenHeap()
	opt := optionsOf(compute)
	opt.Trainable, opt.Hash = trainable, c.hash
	b, err := model.Open(path, opt)
	if err != nil {
		return nil, err
	}
	if !trainable {
		c.open[key] = b
	}
	return b, nil
}

// tightenHeap keeps garbage within 12% of what is in use, unless GOGC says otherwise: a model's heap is a few hundred buffers
// without pointers, which cost nothing to mark, and Go's usual 100% would double the memory of a training.
func tightenHeap() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(12)
	}
}

// Close forgets the models; the memory goes with the last user.
func (c *modelCache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.open)
}

// findModel turns the name of a model into a path: itself where there is such a file, else a snapshot in the hub's cache.
func findModel(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("no model is named")
	}
	if _, err := os.Stat(name); err == nil {
		return name, nil
	} else if !os.IsNotExist(err) {
		return "", err
	}
	if !hub.IsName(name) {
		return "", fmt.Errorf("model %s: no such folder or file", name)
	}
	dir, err := hub.Find(name)
	if err != nil {
		return "", fmt.Errorf("model %s: no such folder, and %w", name, err)
	}
	return dir, nil
}

// openTokenizer opens the tokenizer of a model without its weights.
func openTokenizer(name string) (*tokenizer.Tokenizer, error) {
	path, err := findModel(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, "tokenizer.json")); err == nil {
		return tokenizer.Load(path)
	}
	set, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if !set.GGUF() {
		return nil, fmt.Errorf("%s: no tokenizer.json", path)
	}
	return tokenizer.FromGGUF(set.Metadata())
}

// computeOf turns the configuration's word, which has been checked, into arithmetic.
func computeOf(word string) kernels.Compute {
	c, _ := kernels.ParseCompute(word)
	return c
}

// optionsOf is how a model is opened for the configuration's word.
func optionsOf(word string) model.Options {
	return model.Options{Compute: computeOf(word), Auto: word == "auto"}
}
