package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/weights"

	"github.com/nlpodyssey/spago/nn"
)

// source hands tensors to the builder of a family: from a checkpoint, or drawn at random. It collects
// errors, so that all that is wrong with a file is reported at once.
type source struct {
	*checkpoint
	set        *weights.Set // nil: random
	rng        *rand.Rand
	compute    kernels.Compute
	eps        float64 // of norms
	initRange  float64
	trainable  bool
	panel      func(*weights.Tensor) kernels.PanelType
	transposed bool   // linear weights are stored (in, out)
	prefix     string // to be cut from names that the checkpoint stores without it
	errs       []error
}

// checkpoint is what a model keeps of the file that it came from, or will be saved to.
type checkpoint struct {
	linears []*ops.Linear // in the order of the checkpoint
	names   map[*nn.Param]string
	order   []tensor
}

// tensor is one tensor of the checkpoint as the model holds it.
type tensor struct {
	name       string
	rows, cols int
	vector     bool // written with one dimension
	transposed bool
	w          *ops.Weight // a matrix
	p          *nn.Param   // a vector
	linear     string      // the path by which an adapter may target it
}

// build makes a decoder from s.
func build(c Config, s *source) *Model {
	s.checkpoint = &checkpoint{names: map[*nn.Param]string{}}
	s.eps, s.initRange = c.NormEps, c.InitRange
	m := &Model{Config: c, Compute: s.compute, checkpoint: s.checkpoint}
	if c.Type == "gpt2" {
		m.gpt2(s)
	} else {
		m.llama(s)
	}
	return m
}

func (s *source) has(name string) bool { return s.set == nil || s.set.Has(name) }

func (s *source) ignore(pattern string) {
	if s.set != nil {
		s.set.Ignore(pattern)
	}
}

func (s *source) take(name string, shape ...int) *weights.Tensor {
	t, err := s.set.Take(strings.TrimPrefix(name, s.prefix), shape...)
	if err != nil {
		s.errs = append(s.errs, err)
	}
	return t
}

// vector reads or initialises a tensor of n values.
func (s *source) vector(name string, n int, fill float32) *nn.Param {
	var data []float32
	if s.set == nil {
		data = slices.Repeat([]float32{fill}, n)
	} else if t := s.take(name, n); t != nil {
		data = t.Float32()
	} else {
		n = 1 // the model will not be used: no memory for what a hostile file asks for
	}
	p := ops.NewParam(1, n, data)
	p.SetRequiresGrad(s.trainable)
	s.names[p] = name
	s.order = append(s.order, tensor{name: name, rows: 1, cols: n, vector: true, p: p})
	return p
}

// matrix reads or initialises W (rows, cols) into w.
func (s *source) matrix(w *ops.Weight, name string, rows, cols int, linear string) {
	s.order = append(s.order, tensor{name: name, rows: rows, cols: cols, transposed: s.transposed && linear != "", w: w, linear: linear})
	tr := s.transposed && linear != ""
	if s.set == nil {
		data := make([]float32, rows*cols)
		for i := range data {
			data[i] = float32(s.rng.NormFloat64() * s.initRange)
		}
		w.Param = ops.NewParam(rows, cols, data)
		s.names[w.Param] = name
		return
	}
	shape := []int{rows, cols}
	if tr {
		shape = []int{cols, rows}
	}
	t := s.take(name, shape...)
	if t == nil {
		return
	}
	switch {
	case s.trainable:
		data := t.Float32()
		if tr {
			data = transpose(data, cols, rows)
		}
		w.Param = ops.NewParam(rows, cols, data)
		s.names[w.Param] = name
	case tr:
		data := t.Float32()
		panel := s.panel(t)
		if panel >= kernels.PanelQ8 { // blocks run along the stored rows, not along ours
			panel = kernels.PanelF32
		}
		w.Frozen = kernels.NewPanels(rows, cols, panel)
		w.Frozen.Fill(func(n int, dst []float32) {
			for k := range dst {
				dst[k] = data[k*rows+n]
			}
		})
	default:
		w.Frozen = t.Panels(s.panel(t))
	}
}

func transpose(x []float32, rows, cols int) []float32 {
	out := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = x[i*cols+j]
		}
	}
	return out
}

func (s *source) linear(path string, in, out int, bias bool) *ops.Linear {
	l := &ops.Linear{Path: path, Compute: s.compute}
	s.matrix(&l.W, path+".weight", out, in, path)
	if bias {
		l.Bias = s.vector(path+".bias", out, 0)
	}
	s.linears = append(s.linears, l)
	return l
}

func (s *source) embedding(name string, rows, cols int) *ops.Embedding {
	e := &ops.Embedding{}
	s.matrix(&e.W, name, rows, cols, "")
	return e
}

// table is an embedding that no head is tied to: in bf16 its rows are kept as they are read.
func (s *source) table(name string, rows, cols int) *ops.Embedding {
	panel := s.panel
	defer func() { s.panel = panel }()
	s.panel = func(t *weights.Tensor) kernels.PanelType {
		if p := panel(t); p != kernels.PanelBF16 {
			return p
		}
		return kernels.PanelRows
	}
	return s.embedding(name, rows, cols)
}

func (s *source) norm(path string, n int, rms bool) *ops.Norm {
	norm := &ops.Norm{Gain: s.vector(path+".weight", n, 1), Eps: float32(s.eps), RMS: rms}
	if !rms {
		norm.Bias = s.vector(path+".bias", n, 0)
	}
	return norm
}

// head reads the language model's own output matrix unless it is the embedding.
func (s *source) head(name string, vocab, hidden int, tied bool) *ops.Weight {
	if tied {
		s.ignore(name)
		return nil
	}
	w := &ops.Weight{}
	s.matrix(w, name, vocab, hidden, "")
	return w
}

// NewRandom returns a trainable model with weights drawn from N(0, initializer_range²), norms at one and
// biases at zero.
func NewRandom(c Config, seed uint64) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Type != "llama" && len(c.raw) == 0 { // Save would not know the names of the other families' keys
		return nil, fmt.Errorf("a new model of type %q: take its configuration from ParseConfig", c.Type)
	}
	return build(c, &source{rng: run.Rand(seed, "model"), trainable: true}), nil
}
