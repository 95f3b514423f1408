package dpo

import (
	"plumb/internal/batch"
	"plumb/internal/encode"
)

// references sets the reference's side of Pairs, where there are any, from the cache where it has them, and returns what the cache lacks.
func (t *trainer) references(p *part, pairs []encode.Pair, out []Pair) (fresh []refEntry) {
	if t.cache == nil {
		return nil
	}
	var lp []float32
	for k, i := range p.indices {
		kc, kr := t.cache.keys(pairs[i], t.cfg.LDAlpha)
		c, okc := t.cache.values[kc]
		r, okr := t.cache.values[kr]
		if !okc || !okr {
			if lp == nil { // one pass for all that are missing
				lp = p.logProbs(nil, t.base, t.reference, nil)
			}
			s := p.spans[k]
			c = sum(lp[s.chosen:s.rejected], s.shared, t.cfg.LDAlpha)
			r = sum(lp[s.rejected:s.end], s.shared, t.cfg.LDAlpha)
			fresh = append(fresh, refEntry{kc, c}, refEntry{kr, r})
		}
		if out != nil {
			out[k].RefChosen, out[k].RefRejected = c, r
		}
	}
	return fresh
}

// trainingCost is about how long a training pass takes, in passes of the reference over as many rows: 4.3 to 6.5 in bf16 on a tile unit (docs/LOG.md),
// less where a reading of the weights costs less. What is wrong in it costs waiting, no more.
const trainingCost = 4

// coming cuts those of the next batch's pairs whose reference nobody knows into parts for the threads that have no part of this batch any more.
func (t *trainer) coming(pairs []encode.Pair, parts []*part, next []int) (out []*part) {
	if t.cache == nil {
		return nil
	}
	var missing, rows []int
	for _, i := range next {
		if !t.known(pairs[i]) {
			missing, rows = append(missing, i), append(rows, pairs[i].Rows())
		}
	}
	busy := make([]int, batch.Lanes(t.cfg.MicroBatchTokens))
	for _, p := range parts {
		busy[encode.Least(busy)] += trainingCost * p.tree.Rows()
	}
	for _, items := range encode.Beside(rows, busy, batch.PassRows(t.cfg.MicroBatchTokens)) {
		out = append(out, newPart(pairs, encode.Pick(missing, items)))
	}
	return out
}

// remember puts what the reference gave for the parts of the next batch into the cache, in the order of the batch: so a file that was cut is continued
// with the same bytes.
func (t *trainer) remember(next []int, parts []*part, fresh [][]refEntry) {
	of := map[int][]refEntry{}
	for n, p := range parts {
		for k, i := range p.indices {
			of[i] = fresh[n][2*k : 2*k+2]
		}
	}
	for _, i := range next {
		t.cache.add(of[i])
	}
}

// known reports whether the cache has both sides of a pair.
func (t *trainer) known(p encode.Pair) bool {
	c, r := t.cache.keys(p, t.cfg.LDAlpha)
	_, okc := t.cache.values[c]
	_, okr := t.cache.values[r]
	return okc && okr
}
