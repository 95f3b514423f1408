package model

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/run"
)

// GenPrompt asks for N samples of one prompt. Key names the prompt's stream of random numbers: equal
// keys, seeds and prompts give equal samples whatever else is generated.
type GenPrompt struct {
	Tokens []int32
	N      int // at least 1; 0 means 1
	Key    uint64
}

// GenOptions say how tokens are drawn. Temperature 0 is greedy.
type GenOptions struct {
	MaxNew      int
	Temperature float64
	TopP        float64 // keep the most likely tokens up to this mass; 0 or 1: all
	TopK        int     // keep this many tokens; 0: all
	Stop        []int32 // ids that end a sample
	Seed        uint64
	BatchSize   int // samples in flight, 32 when 0; no effect on the result
	// OnToken, if set, is told each token as it is drawn, in the order of prompts within a step.
	OnToken func(prompt, sample int, token int32)
}

// Completion is one sample. Tokens include the stop token. LogProbs are at the sampling temperature (at 1
// when greedy), of the distribution before TopK and TopP.
type Completion struct {
	Tokens   []int32
	LogProbs []float32
	Stopped  bool // ended by a stop token, not by MaxNew
}

type promptState struct {
	GenPrompt
	index  int
	seq    *sequence
	logits []float32 // of the first new token, scaled
	left   int       // samples not finished
}

type sample struct {
	prompt *promptState
	n      int // which of the prompt's samples
	own    *sequence
	rng    *rand.Rand
	out    *Completion
	last   int32
}

// prefillRows is how many prompt tokens are computed in one pass.
const prefillRows = 1024

// Generate draws completions with adapter a, in one continuous batch: a prompt is computed once for all of its
// samples, and a finished sample's place is taken by the next. A log-probability is the same float as LogProbs
// computes in training.
func (m *Model) Generate(ctx context.Context, prompts []GenPrompt, a *adapters.Adapter, opt GenOptions) ([][]Completion, error) {
	a, release := a.Fixed()
	defer release()
	g := &generator{m: m, a: a, opt: opt, invT: 1}
	if err := g.init(prompts); err != nil {
		return nil, err
	}
	for g.next < len(g.queue) || len(g.active) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g.admit()
		g.step()
		if g.err != nil {
			return nil, g.err
		}
	}
	return g.out, nil
}

type generator struct {
	m      *Model
	a      *adapters.Adapter
	opt    GenOptions
	invT   float32
	queue  []*sample
	next   int
	active []*sample
	out    [][]Completion
	pick   picker // how tokens are picked; each sample in flight uses a copy
	picks  []*picker
	err    error
}

func (g *generator) init(prompts []GenPrompt) error {
	if g.opt.MaxNew < 1 {
		return fmt.Errorf("generate: max new tokens is %d, want at least 1", g.opt.MaxNew)
	}
	if g.opt.Temperature > 0 {
		g.invT = float32(1 / g.opt.Temperature)
	}
	if !(g.opt.Temperature >= 0) || !(g.opt.TopP >= 0 && g.opt.TopP <= 1) || g.opt.TopK < 0 || g.invT == 0 || math.IsInf(float64(g.invT), 0) {
		return fmt.Errorf("generate: temperature %v, top_p %v, top_k %d: want temperature and top_k not negative, top_p in [0, 1]",
			g.opt.Temperature, g.opt.TopP, g.opt.TopK)
	}
	if g.opt.BatchSize <= 0 {
		g.opt.BatchSize = 32
	}
	g.pick = picker{greedy: g.opt.Temperature == 0, topP: g.opt.TopP, topK: g.opt.TopK}
	for i, p := range prompts {
		p.N = max(p.N, 1)
		if len(p.Tokens) == 0 {
			return fmt.Errorf("generate: prompt %d is empty", i)
		}
		if n := len(p.Tokens) + g.opt.MaxNew; n > g.m.MaxLen() {
			return fmt.Errorf("generate: prompt %d has %d tokens; with %d new ones that is beyond the model's %d positions",
				i, len(p.Tokens), g.opt.MaxNew, g.m.MaxLen())
		}
		for _, id := range p.Tokens {
			if id < 0 || int(id) >= g.m.Config.Vocab {
				return fmt.Errorf("generate: prompt %d: token %d is outside the vocabulary of %d", i, id, g.m.Config.Vocab)
			}
		}
		st := &promptState{GenPrompt: p, index: i, left: p.N}
		g.out = append(g.out, make([]Completion, p.N))
		for n := range p.N {
			g.queue = append(g.queue, &sample{prompt: st, n: n, out: &g.out[i][n]})
		}
	}
	return nil
}

func (g *generator) width() int { return g.m.Config.KVHeads * g.m.Config.HeadDim }

// admit fills free places from the queue, computing the prompts that are new.
func (g *generator) admit() {
	var fresh []*sample
	var compute []*promptState
	rows := 0
	for g.next < len(g.queue) && len(g.active)+len(fresh) < g.opt.BatchSize {
		s := g.queue[g.next]
		if s.prompt.seq == nil {
			if rows > 0 && rows+len(s.prompt.Tokens) > prefillRows {
				break
			}
			rows += len(s.prompt.Tokens)
			s.prompt.seq = newSequence(g.m.Config.Layers, len(s.prompt.Tokens), g.m.heads())
			compute = append(compute, s.prompt)
		}
		fresh = append(fresh, s)
		g.next++
	}
	g.prefill(compute)
	for _, s := range fresh {
		s.rng = run.Rand(g.opt.Seed, "sample", s.prompt.Key, uint64(s.n))
	}
	drawn := g.drawAll(fresh, func(i int) []float32 { return fresh[i].prompt.logits })
	for i, s := range fresh {
		if !g.take(s, drawn[i]) {
			s.own = s.prompt.seq.follow(g.opt.MaxNew)
			g.active = append(g.active, s)
		}
	}
}

func (g *generator) prefill(prompts []*promptState) {
	if len(prompts) == 0 {
		return
	}
	b := &batch.Tree{}
	store := &prefill{width: g.width()}
	var last []int
	for _, p := range prompts {
		last = append(last, b.Last(b.Add(-1, p.Tokens, 0)))
		store.to = append(store.to, p.seq)
		p.seq.n = len(p.Tokens)
	}
	plan := ops.Plan(b)
	plan.Window = g.m.Config.Window
	x := g.m.forward(&pass{a: g.a, plan: plan, cache: store, rows: last}, b.Tokens, b.Pos)
	v := g.m.Config.Vocab
	logits := make([]float32, len(prompts)*v)
	ops.Logits(logits, v, ops.F32(x), g.m.head(), len(prompts), 0, v, g.invT, g.m.Compute)
	ops.Release(nil, x)
	for i, p := range prompts {
		p.logits = logits[i*v : (i+1)*v : (i+1)*v]
	}
}

// step draws one more token for every active sample.
func (g *generator) step() {
	n := len(g.active)
	if n == 0 {
		return
	}
	tokens, pos := make([]int32, n), make([]int32, n)
	for i, s := range g.active {
		tokens[i], pos[i] = s.last, int32(s.prompt.seq.n+s.own.n)
	}
	d := &decode{width: g.width(), active: g.active}
	x := g.m.forward(&pass{a: g.a, plan: d.plan(g.m.Config.Window), cache: d}, tokens, pos)
	v := g.m.Config.Vocab
	logits := ops.Scratch(n * v)
	defer ops.FreeScratch(logits)
	ops.Logits(logits, v, ops.F32(x), g.m.head(), n, 0, v, g.invT, g.m.Compute)
	ops.Release(nil, x)
	drawn := g.drawAll(g.active, func(i int) []float32 { return logits[i*v : (i+1)*v] })
	kept := g.active[:0]
	for i, s := range g.active {
		s.own.n++
		if !g.take(s, drawn[i]) {
			kept = append(kept, s)
		}
	}
	clear(g.active[len(kept):])
	g.active = kept
}

// draw is a sample's next token; a log-probability of NaN says that its logits were not finite.
type draw struct {
	token   int32
	logProb float32
}

// drawAll draws the next token of each sample from its scaled logits, each with its own stream of random numbers.
func (g *generator) drawAll(samples []*sample, logits func(i int) []float32) []draw {
	for len(g.picks) < len(samples) {
		p := g.pick
		g.picks = append(g.picks, &p)
	}
	out := make([]draw, len(samples))
	kernels.Parallel(len(samples), func(i int) {
		tok, logProb := g.picks[i].token(logits(i), samples[i].rng)
		out[i] = draw{tok, logProb}
	})
	return out
}

// take appends what was drawn to s and reports whether s is finished.
func (g *generator) take(s *sample, d draw) (done bool) {
	if math.IsNaN(float64(d.logProb)) {
		g.err = fmt.Errorf("generate: prompt %d, sample %d: the logits of token %d are not finite", s.prompt.index, s.n, len(s.out.Tokens)+1)
		return true
	}
	tok := d.token
	s.last = tok
	s.out.Tokens = append(s.out.Tokens, tok)
	s.out.LogProbs = append(s.out.LogProbs, d.logProb)
	if g.opt.OnToken != nil {
		g.opt.OnToken(s.prompt.index, s.n, tok)
	}
	s.out.Stopped = slices.Contains(g.opt.Stop, tok)
	if done = s.out.Stopped || len(s.out.Tokens) >= g.opt.MaxNew; done {
		s.own = nil
		if s.prompt.left--; s.prompt.left == 0 {
			s.prompt.seq, s.prompt.logits = nil, nil
		}
	}
	return done
}
