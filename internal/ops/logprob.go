package ops

import (
	"math"
	"slices"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
)

// VocabChunk is how many columns of the vocabulary are computed at a time; the order in which chunks
// are summed is part of the result, so that sampling and training agree bit for bit.
const VocabChunk = 2048

// keepLogits is how many floats of logits a tape keeps for Backward; beyond it they are computed again.
const keepLogits = 16 << 20

// TokenStats collects what is logged about each target's distribution (before the temperature's
// effect is undone): filled by LogProbs when not nil, one element a target.
type TokenStats struct {
	Entropy   []float32 // nats, at the temperature
	MeanLogit []float32 // over the vocabulary, at temperature 1
	Correct   []bool    // the target is the most likely token
}

type logProbs struct {
	x       mat.Tensor // (R, hidden)
	w       *Weight    // (vocabulary, hidden)
	compute kernels.Compute
	rows    []int // which row of x each target reads
	tokens  []int32
	invT    float32
	stats   *TokenStats
	tape    *Tape
	n       int
	lse     []float64
	logits  []float32 // (R, V) scaled by invT, or nil
}

// LogProbs returns log softmax(hidden[row]·Wᵀ/temperature)[token] for each target, (len(targets), 1). Only the
// rows that have targets meet the vocabulary, once each, in chunks.
func LogProbs(t *Tape, hidden mat.Tensor, w *Weight, targets []batch.Target, temperature float64, stats *TokenStats, c kernels.Compute) mat.Tensor {
	unique, targets := batch.TargetRows(targets)
	f := &logProbs{w: w, compute: c, invT: float32(1 / temperature), stats: stats, tape: t, n: len(unique)}
	for _, tg := range targets {
		f.rows = append(f.rows, tg.Row)
		f.tokens = append(f.tokens, tg.Token)
	}
	f.x = Gather(t, hidden, unique)
	y := t.apply(f)
	Release(t, f.x)
	return y
}

func (f *logProbs) Operands() []mat.Tensor {
	if f.w.Param != nil {
		return []mat.Tensor{f.x, f.w.Param}
	}
	return []mat.Tensor{f.x}
}

// chunks calls do with each chunk of the vocabulary in order and its scaled logits, (n, hi-lo) with leading dimension ld.
func (f *logProbs) chunks(do func(lo, hi int, l []float32, ld int)) {
	v, _ := f.w.Dims()
	var buf []float32
	if f.logits == nil {
		buf = alloc(f.n * VocabChunk)
		defer free(buf)
	}
	for lo := 0; lo < v; lo += VocabChunk {
		hi := min(lo+VocabChunk, v)
		if f.logits != nil {
			do(lo, hi, f.logits[lo:], v)
			continue
		}
		Logits(buf, hi-lo, F32(f.x), f.w, f.n, lo, hi, f.invT, f.compute)
		do(lo, hi, buf, hi-lo)
	}
}

// Logits writes x(n, hidden)·W[lo:hi]ᵀ*invT to dst with leading dimension ld.
func Logits(dst []float32, ld int, x []float32, w *Weight, n, lo, hi int, invT float32, c kernels.Compute) {
	w.mul(dst, ld, x, n, lo, hi, false, c)
	if invT != 1 {
		kernels.Parallel(n, func(i int) { kernels.Scale(invT, dst[i*ld:i*ld+hi-lo]) })
	}
}

// LogSumExpRow returns log Σ exp over one row of the vocabulary's scaled logits, in the chunks and the
// order of LogProbs.
func LogSumExpRow(row []float32) float64 {
	lse, _ := LogSumExpChunks(row, nil)
	return lse
}

// LogSumExpChunks is LogSumExpRow that appends log Σ exp of each chunk of VocabChunk columns to chunks.
func LogSumExpChunks(row []float32, chunks []float64) (float64, []float64) {
	lse := math.Inf(-1)
	for lo := 0; lo < len(row); lo += VocabChunk {
		c := float64(kernels.LogSumExp(row[lo:min(lo+VocabChunk, len(row))]))
		lse, chunks = logAddExp(lse, c), append(chunks, c)
	}
	return lse, chunks
}

// LogProb returns the log-probability of a token whose scaled logit is l.
func LogProb(l float32, lse float64) float32 { return float32(float64(l) - lse) }

func logAddExp(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

func (f *logProbs) Forward() (mat.Tensor, error) {
	v, _ := f.w.Dims()
	if f.tape != nil && f.n*v <= keepLogits {
		f.logits = alloc(f.n * v)
		for lo := 0; lo < v; lo += VocabChunk {
			Logits(f.logits[lo:], v, F32(f.x), f.w, f.n, lo, min(lo+VocabChunk, v), f.invT, f.compute)
		}
	}
	y := newValue(len(f.rows), 1)
	picked := make([]float32, len(f.rows))
	st := newRowStats(f.n, f.stats != nil)
	f.chunks(func(lo, hi int, l []float32, ld int) {
		kernels.Parallel(f.n, func(i int) { st.add(i, lo, l[i*ld:i*ld+hi-lo]) })
		for i, tok := range f.tokens {
			if int(tok) >= lo && int(tok) < hi {
				picked[i] = l[f.rows[i]*ld+int(tok)-lo]
			}
		}
	})
	f.lse = st.lse
	for i, l := range picked {
		y.data()[i] = LogProb(l, f.lse[f.rows[i]])
	}
	if f.stats != nil {
		*f.stats = TokenStats{}
		for i, r := range f.rows {
			f.stats.Entropy = append(f.stats.Entropy, float32(st.lse[r]-st.mean[r]))
			f.stats.MeanLogit = append(f.stats.MeanLogit, float32(st.sum[r]/float64(v)/float64(f.invT)))
			f.stats.Correct = append(f.stats.Correct, st.arg[r] == f.tokens[i])
		}
	}
	return y, nil
}

// rowStats accumulates over chunks of the vocabulary, a row each.
type rowStats struct {
	full bool
	lse  []float64
	mean []float64 // Σ p·l
	sum  []float64 // Σ l
	top  []float32
	arg  []int32
}

func newRowStats(n int, full bool) *rowStats {
	s := &rowStats{full: full, lse: make([]float64, n)}
	for i := range s.lse {
		s.lse[i] = math.Inf(-1)
	}
	if full {
		s.mean, s.sum = make([]float64, n), make([]float64, n)
		s.top, s.arg = make([]float32, n), make([]int32, n)
		for i := range s.top {
			s.top[i] = float32(math.Inf(-1))
		}
	}
	return s
}

func (s *rowStats) add(i, lo int, l []float32) {
	c, top := kernels.LogSumExpTop(l)
	lse := logAddExp(s.lse[i], float64(c))
	if s.full {
		p := alloc(len(l))
		defer free(p)
		kernels.ExpScaled(p, l, 1, c)
		if top > s.top[i] {
			s.top[i], s.arg[i] = top, int32(lo+slices.Index(l, top))
		}
		m := float64(kernels.Dot(p, l))
		old := 0.0
		if !math.IsInf(s.lse[i], -1) {
			old = s.mean[i] * math.Exp(s.lse[i]-lse)
		}
		s.mean[i] = old + m*math.Exp(float64(c)-lse)
		s.sum[i] += float64(kernels.Sum(l))
	}
	s.lse[i] = lse
}

func (f *logProbs) Backward(gy mat.Tensor) error {
	g := F32(gy)
	x := F32(f.x)
	dx, acc := gradInto(f.x)
	at := make([][]int, f.n) // targets of each row
	total := make([]float32, f.n)
	for i, r := range f.rows {
		at[r] = append(at[r], i)
		total[r] += g[i]
	}
	dl := alloc(f.n * VocabChunk)
	defer free(dl)
	f.chunks(func(lo, hi int, l []float32, ld int) {
		w := hi - lo
		kernels.Parallel(f.n, func(r int) {
			row := dl[r*w : (r+1)*w]
			kernels.ExpScaled(row, l[r*ld:][:w], 1, float32(f.lse[r]))
			kernels.Scale(-total[r]*f.invT, row)
			for _, i := range at[r] {
				if tok := int(f.tokens[i]); tok >= lo && tok < hi {
					row[tok-lo] += g[i] * f.invT
				}
			}
		})
		if dx != nil {
			f.w.mulBackward(dx, dl, w, f.n, lo, hi, acc, f.compute)
			acc = true
		}
		f.w.gradBy(f.tape, dl, w, x, f.n, lo, hi)
	})
	return nil
}

func (f *logProbs) releaseSaved() {
	if f.logits != nil {
		free(f.logits)
	}
	f.logits = nil
}
