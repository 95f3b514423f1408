package ops

import (
	"math"

	"plumb/internal/kernels"
)

const (
	// queryTile is how many query rows of a head are scored at a time at most, bandRows how many of all heads that share keys.
	queryTile = 64
	bandRows  = 192
	// queryRun is how many query rows share one packing of their path.
	queryRun = 4 * queryTile
)

// inputs are what an attention reads. Keys and values are in the buffers that the plan's spans name.
type inputs struct {
	h    Heads
	plan *AttnPlan
	bias PathBias
	q    matrix
	from [2][]matrix // keys, values
}

// attend computes attention, (T, Q*Dim), in bf16 where products multiply that. lse (T, Q) may be nil.
func attend(in inputs, lse []float32) *value {
	h := in.h
	var y *value
	if rows := in.rows(); h.pairs() {
		y = newHalf(rows, h.Q*h.Dim)
		y.halfGrad = true
	} else {
		y = newValue(rows, h.Q*h.Dim)
	}
	var runs []run
	for g := range in.plan.Groups {
		for i := range in.plan.Groups[g] {
			it := &in.plan.Groups[g][i]
			for lo := it.QLo; lo < it.QHi; lo += queryRun {
				for kv := range h.KV {
					runs = append(runs, run{inputs: &in, it: it, lo: lo, hi: min(lo+queryRun, it.QHi), kv: kv})
				}
			}
		}
	}
	out := h.matrix(y)
	kernels.Parallel(len(runs), func(i int) { runs[i].forward(out, lse) })
	return y
}

func (in *inputs) rows() int { return max(len(in.q.f), len(in.q.b)) / in.q.ld }

// run is the work of the query rows [lo, hi) of an item for one key/value head.
type run struct {
	*inputs
	it     *AttnItem
	lo, hi int
	kv     int

	before int // positions of the path that come before Own
	total  int // positions that the last row sees
	*desk
	path path
}

// path is what a run sees of keys and values, in the forms that products read.
type path interface {
	// room is how many floats a row of scores needs for n positions; all after the n-th are zeros before mix and back.
	room(n int) int
	// softmax replaces scores of the band from row i on, so many rows of n scores and more of them in each that follows, by the softmax
	// of scale times them, for mix. stats gets what kernels.Softmax returns, two numbers a row.
	softmax(i, rows int, s []float32, ld, n, more int, scale float32, b band, stats []float32)
	// slopes makes of scores p and of d, gradients of their softmax, in the layout of softmax, that softmax, for back of values, and the
	// gradients of scores before they were scaled with by, for back and mix of keys. lse is what softmax's stats make.
	slopes(i, rows int, p, d []float32, ld, n, more int, scale, by float32, b band, lse []float32)
	// columns computes s(rows, band.total) = x·kᵀ, or x·vᵀ: x has the band's rows.
	columns(s []float32, ld int, x matrix, b band, of operand)
	// mix computes out = s·v, or s·k with the gradients of scores, in the band's rows of out.
	mix(out matrix, s []float32, ld int, b band, of operand)
	// back adds sᵀ·x to grad (T, KV*Dim), x being what columns of that operand was given.
	back(grad, s []float32, ld int, x matrix, b band, of operand)
}

type operand uint8

const (
	keys operand = iota
	values
)

// open takes a desk, lists what the run's rows may see and packs it; with grad also for gradients.
func (t *run) open(grad bool) {
	t.desk = openDesk()
	t.before = 0
	for _, s := range t.it.Path {
		t.before += s.len()
		t.spans = append(t.spans, s)
	}
	t.total = t.seen(t.hi - 1)
	if own := t.it.Own; t.total > t.before {
		own.Hi = own.Lo + t.total - t.before
		t.spans = append(t.spans, own)
	}
	t.cut()
	if t.h.pairs() {
		t.path = openPairs(t, grad)
	} else {
		t.path = openFloats(t, grad)
	}
}

// seen returns how many positions of the path row r of the batch sees at most.
func (t *run) seen(r int) int {
	if !t.plan.Causal {
		return t.before + t.it.Own.len()
	}
	return t.before + t.it.Own.len() - (t.it.QHi - t.it.QLo) + (r - t.it.QLo) + 1
}

// band is the rows of scores that are computed together: some rows of the run for each query head that shares its keys, head
// by head. How many changes no float.
type band struct {
	row, head  int // of its first row of scores
	per, heads int // rows of the batch, and heads
	total      int // positions that its last row sees
}

func (b band) rows() int { return b.per * b.heads }

// line returns the row of the batch and the head of row i of the band.
func (b band) line(i int) (row, head int) { return b.row + i%b.per, b.head + i/b.per }

// cut cuts the run so that a band has about bandRows rows; none has more than the first.
func (t *run) cut() {
	g := t.h.Q / t.h.KV
	per := min(queryTile, max(32, bandRows/g/32*32))
	for lo := t.lo; lo < t.hi; lo += per {
		hi := min(lo+per, t.hi)
		t.bands = append(t.bands, band{row: lo, head: t.kv * g, per: hi - lo, heads: g, total: t.seen(hi - 1)})
	}
}

// at is where row i of the band is in x.
func (h Heads) at(x matrix, b band, i int) int {
	row, head := b.line(i)
	return row*x.ld + head*h.Dim
}

// eachHead calls do with where each head's rows begin in the band's scores and in x, and the distance of the latter. The heads of a
// single row are rows of one matrix.
func (h Heads) eachHead(x matrix, b band, do func(from, at, rows, ld int)) {
	if b.per == 1 {
		do(0, h.at(x, b, 0), b.heads, h.Dim)
		return
	}
	for i := range b.heads {
		do(i*b.per, h.at(x, b, i*b.per), b.per, x.ld)
	}
}

// mask sets what row r of the batch, which sees the whole of row, does not see for its window to -Inf. With a bias it scales the
// row and adds it. It returns what row is still to be scaled with.
func (t *run) mask(row []float32, r, head int) (scale float32) {
	if n := len(row) - t.plan.Window; t.plan.Window > 0 {
		neg := float32(math.Inf(-1))
		for j := range max(0, n) {
			row[j] = neg
		}
	}
	if t.bias == nil {
		return t.h.Scale
	}
	kernels.Scale(t.h.Scale, row)
	at := t.before + t.it.Own.len() - (t.it.QHi - r)
	for j := range row {
		row[j] += t.bias(head, at, j)
	}
	return 1
}

func (t *run) forward(out matrix, lse []float32) {
	t.open(false)
	defer t.close()
	rows, ld := t.bands[0].rows(), t.path.room(t.total)
	s, stats := t.take(rows*ld), t.take(2*rows)
	for _, b := range t.bands {
		t.path.columns(s, ld, t.q, b, keys)
		t.softmax(s, ld, b, stats)
		for i := 0; i < b.rows() && lse != nil; i++ {
			r, head := b.line(i)
			lse[r*t.h.Q+head] = kernels.LSE(stats[2*i], stats[2*i+1])
		}
		t.path.mix(out, s, ld, b, values)
	}
}

// softmax masks the band's scores and takes the softmax of its rows.
func (t *run) softmax(s []float32, ld int, b band, stats []float32) {
	t.masked(s, ld, b, func(i, rows, n, more int, scale float32) {
		t.path.softmax(i, rows, s[i*ld:], ld, n, more, scale, b, stats[2*i:])
	})
}

// masked masks scores s of the band and calls do with its rows, from i on so many of n scores and more of them in each that follows: a
// head's at once, unless each is masked in its own way.
func (t *run) masked(s []float32, ld int, b band, do func(i, rows, n, more int, scale float32)) {
	more, step := 0, b.per
	if t.plan.Causal {
		more = 1
	}
	if t.plan.Window > 0 || t.bias != nil {
		step = 1
	}
	for i := 0; i < b.rows(); i += step {
		r, head := b.line(i)
		n := t.seen(r)
		do(i, step, n, more, t.mask(s[i*ld:][:n], r, head))
	}
}

// backward adds the gradients of one group and key/value head: dS = P*(dP - rowsum(dP*P)), dP = dO·Vᵀ.
func (in *inputs) backward(items []AttnItem, kv int, lse []float32, dy, dq matrix, dk, dv []float32) {
	for i := range items {
		for lo := items[i].QLo; lo < items[i].QHi; lo += queryRun {
			t := run{inputs: in, it: &items[i], lo: lo, hi: min(lo+queryRun, items[i].QHi), kv: kv}
			t.backward(lse, dy, dq, dk, dv)
		}
	}
}

func (t *run) backward(lse []float32, dy, dq matrix, dk, dv []float32) {
	t.open(true)
	defer t.close()
	rows, ld := t.bands[0].rows(), t.path.room(t.total)
	p, ds, sums := t.take(rows*ld), t.take(rows*ld), t.take(rows)
	for _, b := range t.bands {
		for i := range b.rows() {
			r, head := b.line(i)
			sums[i] = lse[r*t.h.Q+head]
		}
		t.path.columns(p, ld, t.q, b, keys)
		t.path.columns(ds, ld, dy, b, values)
		t.masked(p, ld, b, func(i, rows, n, more int, scale float32) {
			t.path.slopes(i, rows, p[i*ld:], ds[i*ld:], ld, n, more, scale, t.h.Scale, b, sums[i:])
		})
		t.path.back(dv, p, ld, dy, b, values)
		t.path.back(dk, ds, ld, t.q, b, keys)
		t.path.mix(dq, ds, ld, b, keys)
	}
}
