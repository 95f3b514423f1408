package ops

import (
	"math"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
)

// Span is a run of rows of one key/value buffer. Buffer 0 is the batch's own keys and values, the
// others are caches.
type Span struct{ Buf, Lo, Hi int }

func (s Span) len() int { return s.Hi - s.Lo }

// AttnItem is a run of query rows that attend to all of Path and then to Own: causally (query i sees
// the first i+1 rows of Own) or to all of it.
type AttnItem struct {
	QLo, QHi int
	Path     []Span // ancestors, root first; together they hold the path's positions in order
	Own      Span
}

// AttnPlan says who attends to whom. Items of one group (a root and what hangs below it) share keys;
// groups are independent of each other.
type AttnPlan struct {
	Groups [][]AttnItem
	Causal bool
	Window int // 0, or how many positions back a query sees, itself included
	// Packed says that key buffers are caches filled by PackKeys; their spans start at row 0.
	Packed bool
}

// Plan returns the plan of a prefix tree.
func Plan(b *batch.Tree) *AttnPlan {
	p := &AttnPlan{Causal: !b.Bidirectional}
	group := make([]int, len(b.Segs))
	paths := make([][]Span, len(b.Segs))
	for i, s := range b.Segs {
		if s.Parent < 0 {
			group[i] = len(p.Groups)
			p.Groups = append(p.Groups, nil)
		} else {
			group[i] = group[s.Parent]
			ps := b.Segs[s.Parent]
			paths[i] = paths[s.Parent]
			if ps.Len > 0 {
				paths[i] = append(append([]Span{}, paths[i]...), Span{0, ps.Start, ps.Start + ps.Len})
			}
		}
		if s.Len > 0 {
			p.Groups[group[i]] = append(p.Groups[group[i]], AttnItem{
				QLo: s.Start, QHi: s.Start + s.Len, Path: paths[i],
				Own: Span{0, s.Start, s.Start + s.Len},
			})
		}
	}
	return p
}

// Heads is the shape of an attention: Q query heads share KV key/value heads of Dim columns.
type Heads struct {
	Q, KV, Dim int
	Scale      float32
}

// queryTile is how many query rows are scored at a time: scores take queryTile x path floats.
const queryTile = 64

type attention struct {
	q, k, v mat.Tensor
	plan    *AttnPlan
	h       Heads
	bias    PathBias
	keep    bool
	out     *value
	lse     []float32 // (T, Q heads): log of the sum of exponentials of each row's scores
}

// PathBias adds to the score of query position i and key position j of head h, as the relative
// position bias of MPNet does; nil means none. It has no gradient.
type PathBias func(head, i, j int) float32

// Attention returns softmax(q·kᵀ·scale + mask)·v along the paths of the plan: q (T, Q*Dim), k and v
// (T, KV*Dim) -> (T, Q*Dim) (Vaswani et al., 2017, arXiv:1706.03762; grouped queries: Ainslie et
// al., 2023, arXiv:2305.13245). Keys are visited in the order of their positions and every sum
// runs in that order, so that a row's result has the same bits however the path is cut up.
func Attention(t *Tape, q, k, v mat.Tensor, plan *AttnPlan, h Heads, bias PathBias) mat.Tensor {
	return t.apply(&attention{q: q, k: k, v: v, plan: plan, h: h, bias: bias, keep: t != nil})
}

func (f *attention) Operands() []mat.Tensor { return []mat.Tensor{f.q, f.k, f.v} }

func (f *attention) Forward() (mat.Tensor, error) {
	rows, cols := Dims(f.q)
	f.out = newValue(rows, cols)
	if f.keep {
		f.lse = alloc(rows * f.h.Q)
	}
	attend(f.out.data(), f.q, [][]float32{F32(f.k)}, [][]float32{F32(f.v)}, f.plan, f.h, f.bias, f.lse)
	return f.out, nil
}

// attend computes attention into out (T, Q*Dim) with keys and values in the buffers that the plan's spans name.
// lse (T, Q) may be nil.
func attend(out []float32, q mat.Tensor, k, v [][]float32, plan *AttnPlan, h Heads, bias PathBias, lse []float32) {
	type job struct {
		item   *AttnItem
		lo, hi int
		kv     int
	}
	var jobs []job
	for g := range plan.Groups {
		for i := range plan.Groups[g] {
			it := &plan.Groups[g][i]
			for lo := it.QLo; lo < it.QHi; lo += queryTile {
				for kv := range h.KV {
					jobs = append(jobs, job{it, lo, min(lo+queryTile, it.QHi), kv})
				}
			}
		}
	}
	qd := F32(q)
	kernels.Parallel(len(jobs), func(i int) {
		j := jobs[i]
		t := tile{plan: plan, h: h, bias: bias, it: j.item, lo: j.lo, hi: j.hi, kv: j.kv, q: qd, k: k, v: v}
		t.forward(out, lse)
	})
}

// tile is the work of query rows [lo, hi) for one key/value head.
type tile struct {
	plan    *AttnPlan
	h       Heads
	bias    PathBias
	it      *AttnItem
	lo, hi  int
	kv      int
	q       []float32
	k, v    [][]float32
	spanBuf [8]Span
}

// spans lists what the tile's rows may see, and the length of the path before Own.
func (t *tile) spans() (spans []Span, before, total int) {
	spans = append(t.spanBuf[:0], t.it.Path...)
	for _, s := range spans {
		before += s.len()
	}
	own := t.it.Own
	if t.plan.Causal {
		own.Hi = own.Lo + (t.hi - t.it.QLo) + (own.len() - (t.it.QHi - t.it.QLo))
	}
	if own.len() > 0 {
		spans = append(spans, own)
	}
	return spans, before, before + own.len()
}

// seen returns how many positions of the path row r of the batch sees at most.
func (t *tile) seen(r, before, total int) int {
	if !t.plan.Causal {
		return total
	}
	return before + t.it.Own.len() - (t.it.QHi - t.it.QLo) + (r - t.it.QLo) + 1
}

// band is the rows of scores that are computed together: the tile's rows for one query head or, where the
// tile is a single row (decoding), all heads that share its keys. Neither changes a float.
type band struct {
	head, rows int // first head; rows of scores
	at, ld     int // offset and leading dimension of the rows in q and out
	decode     bool
}

func (t *tile) bands() []band {
	g, d := t.h.Q/t.h.KV, t.h.Dim
	at := t.lo*t.h.Q*d + t.kv*g*d
	if t.hi-t.lo == 1 {
		return []band{{head: t.kv * g, rows: g, at: at, ld: d, decode: true}}
	}
	out := make([]band, g)
	for i := range out {
		out[i] = band{head: t.kv*g + i, rows: t.hi - t.lo, at: at + i*d, ld: t.h.Q * d}
	}
	return out
}

// row returns the row of the batch and the head of row i of the band.
func (t *tile) row(b band, i int) (row, head int) {
	if b.decode {
		return t.lo, b.head + i
	}
	return t.lo + i, b.head
}

// panelRows is how many keys a panel of a packed cache holds.
const panelRows = 32

// PackedLen is the length of a packed cache for n keys of h.KV heads.
func (h Heads) PackedLen(n int) int {
	return h.KV * ((n + panelRows - 1) / panelRows) * panelRows * h.Dim
}

// PackKeys stores k (n, KV*Dim) as keys at..at+n of a packed cache with room for size keys: for each head panels
// of 32 keys, (Dim, 32) each, which scores read without turning them.
func (h Heads) PackKeys(cache []float32, size int, k []float32, at, n int) {
	panels := (size + panelRows - 1) / panelRows
	for r := range n {
		p, c := (at+r)/panelRows, (at+r)%panelRows
		for kv := range h.KV {
			panel := cache[(kv*panels+p)*h.Dim*panelRows:]
			for d, v := range k[(r*h.KV+kv)*h.Dim : (r*h.KV+kv+1)*h.Dim] {
				panel[d*panelRows+c] = v
			}
		}
	}
}

// packedScores multiplies the band's queries with the first n keys of a packed cache; s has room for a panel beyond.
func (t *tile) packedScores(s []float32, ld int, b band, cache []float32, n int) {
	perHead := len(cache) / t.h.KV
	kernels.GemmPanels(b.rows, (n+panelRows-1)/panelRows, t.h.Dim, t.q[b.at:], b.ld, cache[t.kv*perHead:], s, ld)
}

// scores fills s, (b.rows, total) with leading dimension ld, with masked scores.
func (t *tile) scores(s []float32, ld int, b band, spans []Span, before, total int) {
	ldk, d := t.h.KV*t.h.Dim, t.h.Dim
	at := 0
	for _, sp := range spans {
		if t.plan.Packed {
			t.packedScores(s[at:], ld, b, t.k[sp.Buf], sp.len())
		} else {
			kernels.GemmSerial(false, true, b.rows, sp.len(), d, t.q[b.at:], b.ld,
				t.k[sp.Buf][sp.Lo*ldk+t.kv*d:], ldk, s[at:], ld, false)
		}
		at += sp.len()
	}
	for i := range b.rows {
		r, head := t.row(b, i)
		row := s[i*ld : i*ld+total]
		kernels.Scale(t.h.Scale, row)
		t.mask(row, r, head, before, total)
	}
}

// mask sets what row r of the batch does not see to -Inf, and adds the bias to what it does.
func (t *tile) mask(row []float32, r, head, before, total int) {
	neg := float32(math.Inf(-1))
	n := t.seen(r, before, total)
	for j := n; j < total; j++ {
		row[j] = neg
	}
	if t.plan.Window > 0 {
		for j := 0; j < n-t.plan.Window; j++ {
			row[j] = neg
		}
	}
	if t.bias != nil {
		at := before + t.it.Own.len() - (t.it.QHi - r)
		for j := 0; j < n; j++ {
			row[j] += t.bias(head, at, j)
		}
	}
}

func (t *tile) forward(out, lse []float32) {
	spans, before, total := t.spans()
	d, ldk := t.h.Dim, t.h.KV*t.h.Dim
	ld := total
	if t.plan.Packed {
		ld += panelRows // the last panel may be part empty
	}
	bands := t.bands()
	s := alloc(bands[0].rows * ld)
	defer free(s)
	for _, b := range bands {
		t.scores(s, ld, b, spans, before, total)
		for i := range b.rows {
			sum := kernels.Softmax(s[i*ld : i*ld+total])
			if lse != nil {
				r, head := t.row(b, i)
				lse[r*t.h.Q+head] = sum
			}
		}
		at := 0
		for _, sp := range spans {
			kernels.GemmSerial(false, false, b.rows, d, sp.len(), s[at:], ld,
				t.v[sp.Buf][sp.Lo*ldk+t.kv*d:], ldk, out[b.at:], b.ld, at > 0)
			at += sp.len()
		}
	}
}

func (f *attention) Backward(gy mat.Tensor) error {
	gradAssign(func(g [][]float32) {
		for _, b := range g {
			clear(b)
		}
		groups := f.plan.Groups
		// A group's keys take gradients from all of its queries: one job does them all, in order.
		kernels.Parallel(len(groups)*f.h.KV, func(i int) {
			f.backward(groups[i/f.h.KV], i%f.h.KV, F32(gy), g[0], g[1], g[2])
		})
	}, f.q, f.k, f.v)
	return nil
}

// backward adds the gradients of one group and key/value head: dS = P*(dO·Vᵀ - rowsum(dO*O)).
func (f *attention) backward(items []AttnItem, kv int, dy, dq, dk, dv []float32) {
	k, v := [][]float32{F32(f.k)}, [][]float32{F32(f.v)}
	for i := range items {
		for lo := items[i].QLo; lo < items[i].QHi; lo += queryTile {
			t := tile{plan: f.plan, h: f.h, bias: f.bias, it: &items[i], lo: lo, hi: min(lo+queryTile, items[i].QHi), kv: kv, q: F32(f.q), k: k, v: v}
			t.backward(f.out.data(), f.lse, dy, dq, dk, dv)
		}
	}
}

func (t *tile) backward(out, lse, dy, dq, dk, dv []float32) {
	spans, before, total := t.spans()
	d, ldk := t.h.Dim, t.h.KV*t.h.Dim
	bands := t.bands()
	p, ds := alloc(bands[0].rows*total), alloc(bands[0].rows*total)
	defer free(p)
	defer free(ds)
	for _, b := range bands {
		t.scores(p, total, b, spans, before, total)
		at := 0
		for _, sp := range spans {
			kernels.GemmSerial(false, true, b.rows, sp.len(), d, dy[b.at:], b.ld, t.v[0][sp.Lo*ldk+t.kv*d:], ldk, ds[at:], total, false)
			at += sp.len()
		}
		for i := range b.rows {
			r, head := t.row(b, i)
			row, drow := p[i*total:(i+1)*total], ds[i*total:(i+1)*total]
			shift(row, -lse[r*t.h.Q+head])
			kernels.Exp(row, row)
			o := b.at + i*b.ld
			shift(drow, -kernels.Dot(dy[o:o+d], out[o:o+d]))
			kernels.Mul(drow, drow, row)
			kernels.Scale(t.h.Scale, drow)
		}
		at = 0
		for _, sp := range spans {
			key := sp.Lo*ldk + t.kv*d
			kernels.GemmSerial(true, false, sp.len(), d, b.rows, p[at:], total, dy[b.at:], b.ld, dv[key:], ldk, true)
			kernels.GemmSerial(true, false, sp.len(), d, b.rows, ds[at:], total, t.q[b.at:], b.ld, dk[key:], ldk, true)
			kernels.GemmSerial(false, false, b.rows, d, sp.len(), ds[at:], total, t.k[0][key:], ldk, dq[b.at:], b.ld, true)
			at += sp.len()
		}
	}
}

func (f *attention) releaseSaved() {
	if f.lse != nil {
		free(f.lse)
	}
	f.lse = nil
}

// AttendCached is Attention without a tape, over keys and values in buffers (caches) that the plan's spans
// name. q (T, Q*Dim) -> (T, Q*Dim).
func AttendCached(q mat.Tensor, k, v [][]float32, plan *AttnPlan, h Heads) mat.Tensor {
	rows, cols := Dims(q)
	out := newValue(rows, cols)
	attend(out.data(), q, k, v, plan, h, nil, nil)
	return out
}

func shift(x []float32, by float32) {
	for i := range x {
		x[i] += by
	}
}
