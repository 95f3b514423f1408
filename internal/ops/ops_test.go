package ops

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

func random(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func param(seed uint64, rows, cols int) *nn.Param {
	return NewParam(rows, cols, random(seed, rows*cols))
}

// pairLevels runs a test at every level whose products multiply bf16 pairs.
func pairLevels(t *testing.T, f func(t *testing.T)) {
	for _, level := range kernels.Available() {
		t.Run(level.String(), func(t *testing.T) {
			defer kernels.Force(level)()
			if !kernels.DotsPairs() {
				t.Skip("no pairs")
			}
			f(t)
		})
	}
}

// relative is the length of got-want by that of want.
func relative(got, want []float32) float64 {
	var d, n float64
	for i, w := range want {
		d += math.Pow(float64(got[i]-w), 2)
		n += math.Pow(float64(w), 2)
	}
	return math.Sqrt(d / n)
}

// checkGrad compares the tape's gradients of sum(w*f()) with central differences, for every element of every parameter.
func checkGrad(t *testing.T, params []*nn.Param, f func(tape *Tape) mat.Tensor) {
	t.Helper()
	for _, p := range params {
		ZeroGrad(p)
	}
	out := F32(f(nil))
	w := random(99, len(out))
	loss := func() float64 {
		var s float64
		for i, v := range F32(f(nil)) {
			s += float64(v) * float64(w[i])
		}
		return s
	}
	tape := NewTape()
	y := f(tape)
	for i, v := range F32(y) {
		if v != out[i] {
			t.Fatalf("output %d is %v with a tape, %v without", i, v, out[i])
		}
	}
	tape.Backward(y, w)
	for k, p := range params {
		got, data := Grad(p), F32(p)
		if got == nil {
			t.Fatalf("parameter %d has no gradient", k)
		}
		var diff, norm float64
		for i := range data {
			const h = 1e-2
			old := data[i]
			data[i] = old + h
			up := loss()
			data[i] = old - h
			down := loss()
			data[i] = old
			want := (up - down) / (2 * h)
			diff += (want - float64(got[i])) * (want - float64(got[i]))
			norm += want * want
		}
		if rel := math.Sqrt(diff / (norm + 1e-12)); rel > 5e-3 {
			t.Errorf("parameter %d: relative error %.2g against finite differences", k, rel)
		}
	}
}

func TestLinearGradients(t *testing.T) {
	x, w, b := param(1, 5, 7), param(2, 6, 7), param(3, 1, 6)
	lora := &LoRA{A: param(4, 3, 7), B: param(5, 6, 3), Scale: 0.7}
	full := &Linear{W: Weight{Param: w}, Bias: b}
	checkGrad(t, []*nn.Param{x, w, b, lora.A, lora.B}, func(t *Tape) mat.Tensor { return full.Apply(t, leaf(t, x), lora) })

	frozen := kernels.NewPanels(6, 7, kernels.PanelF32)
	frozen.Fill(func(n int, dst []float32) { copy(dst, F32(w)[n*7:(n+1)*7]) })
	fl := &Linear{W: Weight{Frozen: frozen}}
	checkGrad(t, []*nn.Param{x, lora.A, lora.B}, func(t *Tape) mat.Tensor { return fl.Apply(t, leaf(t, x), lora) })
}

// leaf turns a parameter into a tensor of this package whose gradient reaches the parameter.
func leaf(t *Tape, p *nn.Param) mat.Tensor {
	s := p.Shape()
	e := &Embedding{W: Weight{Param: p}}
	ids := make([]int32, s[0])
	for i := range ids {
		ids[i] = int32(i)
	}
	return e.Apply(t, ids)
}

func TestDropoutGradientAndKey(t *testing.T) {
	x := param(1, 6, 8)
	lora := &LoRA{A: param(4, 3, 8), B: param(5, 6, 3), Scale: 0.7, Dropout: 0.4, ID: 3}
	l := &Linear{W: Weight{Param: NewParam(6, 8, nil)}}
	run := func(keys ...uint64) []float32 {
		b := &batch.Tree{}
		for _, k := range keys {
			b.Add(-1, []int32{1, 2, 3}, k)
		}
		tape := NewTape()
		tape.Train, tape.Drop = true, Dropout{Seed: 1, Step: 2}.For(b)
		y := l.Apply(tape, leaf(tape, x), lora)
		return append([]float32(nil), F32(y)...)
	}
	a, b, c := run(7, 7), run(7, 8), run(9, 7)
	for i := range 18 {
		if a[i] != b[i] {
			t.Fatal("a sample's mask depends on its neighbour")
		}
	}
	same := true
	for i := range 18 {
		same = same && a[i] == c[i]
	}
	if same {
		t.Fatal("another sample has the same mask")
	}
	// The mask is a function of its key, so finite differences hold with dropout too.
	w, bias := param(2, 6, 8), param(3, 1, 6)
	l = &Linear{W: Weight{Param: w}, Bias: bias}
	dropped := func(t *Tape) mat.Tensor {
		if t == nil { // dropout is a matter of training
			t = NewTape()
		}
		b := &batch.Tree{}
		b.Add(-1, []int32{1, 2, 3}, 7)
		b.Add(-1, []int32{1, 2, 3}, 8)
		t.Train, t.Drop = true, Dropout{Seed: 1, Step: 2}.For(b)
		return l.Apply(t, leaf(t, x), lora)
	}
	checkGrad(t, []*nn.Param{x, w, bias, lora.A, lora.B}, dropped)
	with, without := F32(dropped(NewTape())), F32(l.Apply(NewTape(), leaf(NewTape(), x), lora))
	differ := 0
	for i := range with {
		if with[i] != without[i] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("dropout changes nothing")
	}
}

func TestProjectGradients(t *testing.T) {
	x, w, b := param(1, 5, 7), param(2, 1, 7), param(3, 1, 1)
	checkGrad(t, []*nn.Param{x, w, b}, func(t *Tape) mat.Tensor { return Project(t, leaf(t, x), w, b) })
	checkGrad(t, []*nn.Param{x, w}, func(t *Tape) mat.Tensor { return Project(t, leaf(t, x), w, nil) })
}

func TestNormGradients(t *testing.T) {
	x, g, b := param(1, 4, 16), param(2, 1, 16), param(3, 1, 16)
	rms := &Norm{Gain: g, Eps: 1e-5, RMS: true}
	checkGrad(t, []*nn.Param{x, g}, func(t *Tape) mat.Tensor { return rms.Apply(t, leaf(t, x)) })
	ln := &Norm{Gain: g, Bias: b, Eps: 1e-5}
	checkGrad(t, []*nn.Param{x, g, b}, func(t *Tape) mat.Tensor { return ln.Apply(t, leaf(t, x)) })
	head := &Norm{Gain: param(4, 1, 8), Eps: 1e-5, RMS: true}
	checkGrad(t, []*nn.Param{x, head.Gain}, func(t *Tape) mat.Tensor { return head.Apply(t, leaf(t, x)) })
}

func TestPointwiseGradients(t *testing.T) {
	x, y := param(1, 3, 8), param(2, 3, 8)
	for name, f := range map[string]func(t *Tape) mat.Tensor{
		"silu": func(t *Tape) mat.Tensor { return SiLUMul(t, leaf(t, x), leaf(t, y)) },
		"add":  func(t *Tape) mat.Tensor { return Add(t, leaf(t, x), leaf(t, y)) },
		"shared": func(t *Tape) mat.Tensor { // one tensor with three consumers, one of them in place
			a := leaf(t, x)
			b := SiLUMul(t, a, leaf(t, y))
			return Add(t, a, Add(t, a, b))
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGrad(t, []*nn.Param{x, y}, f)
		})
	}
	for name, f := range map[string]func(t *Tape) mat.Tensor{
		"gelu":      func(t *Tape) mat.Tensor { return GELU(t, leaf(t, x), false) },
		"gelu tanh": func(t *Tape) mat.Tensor { return GELU(t, leaf(t, x), true) },
		"tanh":      func(t *Tape) mat.Tensor { return Tanh(t, leaf(t, x)) },
		"columns":   func(t *Tape) mat.Tensor { return Columns(t, leaf(t, x), 2, 5) },
		"gather":    func(t *Tape) mat.Tensor { return Gather(t, leaf(t, x), []int{2, 0, 2, 1}) },
		"rope": func(t *Tape) mat.Tensor {
			r := &Rotary{Cos: make([]float32, 6), Sin: make([]float32, 6), Dim: 4}
			for i := range r.Cos {
				r.Cos[i], r.Sin[i] = float32(math.Cos(float64(i))), float32(math.Sin(float64(i)))
			}
			return RoPE(t, leaf(t, x), r, Heads{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGrad(t, []*nn.Param{x}, f)
		})
	}
}

func tree(bidirectional bool) *batch.Tree {
	b := &batch.Tree{Bidirectional: bidirectional}
	p := b.Add(-1, make([]int32, 3), 0)
	c := b.Add(p, make([]int32, 2), 0)
	b.Add(p, nil, 0)
	b.Add(c, make([]int32, 2), 0)
	b.Add(-1, make([]int32, 4), 0)
	return b
}

func TestAttentionGradients(t *testing.T) {
	h := Heads{Q: 4, KV: 2, Dim: 4, Scale: 0.5}
	for _, bi := range []bool{false, true} {
		b := tree(bi)
		q, k, v := param(1, b.Rows(), 16), param(2, b.Rows(), 8), param(3, b.Rows(), 8)
		plan := Plan(b)
		checkGrad(t, []*nn.Param{q, k, v}, func(t *Tape) mat.Tensor {
			return Attention(t, leaf(t, q), leaf(t, k), leaf(t, v), plan, h, nil)
		})
	}
	b := tree(false)
	q, k, v := param(1, b.Rows(), 16), param(2, b.Rows(), 8), param(3, b.Rows(), 8)
	plan := Plan(b)
	plan.Window = 2
	checkGrad(t, []*nn.Param{q, k, v}, func(t *Tape) mat.Tensor {
		return Attention(t, leaf(t, q), leaf(t, k), leaf(t, v), plan, h, func(head, i, j int) float32 { return float32(head) * 0.1 * float32(i-j) })
	})
}

// TestAttentionAlongPaths compares the tree with plain sequences, bit for bit.
func TestAttentionAlongPaths(t *testing.T) {
	h := Heads{Q: 4, KV: 2, Dim: 4, Scale: 0.5}
	b := &batch.Tree{}
	p := b.Add(-1, make([]int32, 70), 0)
	c := b.Add(p, make([]int32, 9), 0)
	b.Add(c, make([]int32, 5), 0)
	n := b.Rows()
	q, k, v := random(1, n*16), random(2, n*8), random(3, n*8)
	got := F32(Attention(nil, Const(q, n, 16), Const(k, n, 8), Const(v, n, 8), Plan(b), h, nil))
	flat := &batch.Tree{}
	flat.Add(-1, make([]int32, n), 0)
	want := F32(Attention(nil, Const(q, n, 16), Const(k, n, 8), Const(v, n, 8), Plan(flat), h, nil))
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("element %d: %v in a tree, %v in a sequence", i, got[i], want[i])
		}
	}
}

// TestAttentionInPairs holds attention in bf16, gradients too, near to that in float32.
func TestAttentionInPairs(t *testing.T) {
	pairLevels(t, func(t *testing.T) {
		for _, bidirectional := range []bool{false, true} {
			b := &batch.Tree{Bidirectional: bidirectional}
			long := b.Add(-1, make([]int32, 300), 0)
			b.Add(long, make([]int32, 41), 0)
			b.Add(b.Add(long, make([]int32, 1), 0), make([]int32, 7), 0)
			b.Add(-1, make([]int32, 33), 0)
			n := b.Rows()
			plan := Plan(b)
			q, k, v := param(1, n, 4*32), param(2, n, 2*32), param(3, n, 2*32)
			dy := random(4, n*4*32)
			grads := func(c kernels.Compute) (out [][]float32) {
				h := Heads{Q: 4, KV: 2, Dim: 32, Scale: 0.2, Compute: c}
				tape := NewTape()
				y := Attention(tape, leaf(tape, q), leaf(tape, k), leaf(tape, v), plan, h, nil)
				out = append(out, slices.Clone(F32(y)))
				tape.Backward(y, dy)
				for _, p := range []*nn.Param{q, k, v} {
					out = append(out, slices.Clone(Grad(p)))
					ZeroGrad(p)
				}
				return out
			}
			want, got := grads(kernels.F32), grads(kernels.BF16)
			for i, name := range []string{"output", "dq", "dk", "dv"} {
				var d, all float64
				for j, w := range want[i] {
					d += math.Pow(float64(got[i][j]-w), 2)
					all += math.Pow(float64(w), 2)
				}
				if r := math.Sqrt(d / all); r > 0.01 || r == 0 {
					t.Fatalf("bidirectional %v: %s differs by %.2g", bidirectional, name, r)
				}
			}
		}
	})
}

func TestLogProbs(t *testing.T) {
	const hidden, vocab = 6, 5000 // three chunks
	x, w := param(1, 3, hidden), param(2, vocab, hidden)
	targets := []batch.Target{{Row: 2, Token: 4999}, {Row: 0, Token: 1}, {Row: 2, Token: 2048}}
	weight := &Weight{Param: w}
	var st TokenStats
	got := F32(LogProbs(nil, leaf(nil, x), weight, targets, 0.7, &st, kernels.F32))
	for i, tg := range targets {
		l := make([]float64, vocab)
		var z, mean, ent float64
		best := 0
		for j := range l {
			for c := range hidden {
				l[j] += float64(F32(x)[tg.Row*hidden+c]) * float64(F32(w)[j*hidden+c])
			}
			mean += l[j] / vocab
			if l[j] > l[best] {
				best = j
			}
			z += math.Exp(l[j] / 0.7)
		}
		for j := range l {
			lp := l[j]/0.7 - math.Log(z)
			ent -= math.Exp(lp) * lp
		}
		want := l[tg.Token]/0.7 - math.Log(z)
		if math.Abs(want-float64(got[i])) > 1e-4 || math.Abs(ent-float64(st.Entropy[i])) > 1e-4 ||
			math.Abs(mean-float64(st.MeanLogit[i])) > 1e-4 || st.Correct[i] != (int(tg.Token) == best) {
			t.Errorf("target %d: %v, entropy %v, mean %v; want %v, %v, %v", i, got[i], st.Entropy[i], st.MeanLogit[i], want, ent, mean)
		}
	}
}

func TestLogProbsGradients(t *testing.T) {
	x, w := param(1, 3, 4), param(2, 40, 4)
	targets := []batch.Target{{Row: 2, Token: 39}, {Row: 0, Token: 1}, {Row: 2, Token: 7}}
	checkGrad(t, []*nn.Param{x, w}, func(t *Tape) mat.Tensor {
		return LogProbs(t, leaf(t, x), &Weight{Param: w}, targets, 1.3, nil, kernels.F32)
	})
}
