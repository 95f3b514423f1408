package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"plumb/internal/ops"
	"plumb/internal/run"
)

func TestTopKAndTopP(t *testing.T) {
	l := []float32{0, 3, 1, 2.9, -5}
	for _, c := range []struct {
		k    picker
		only []int32
	}{
		{picker{topK: 1}, []int32{1}},
		{picker{topK: 2}, []int32{1, 3}},
		{picker{topP: 0.4}, []int32{1}},
		{picker{topP: 0.9}, []int32{1, 3}},
		{picker{greedy: true}, []int32{1}},
	} {
		seen := map[int32]bool{}
		rng := run.Rand(1, "pick")
		for range 200 {
			token, _ := c.k.token(l, rng)
			seen[token] = true
		}
		for id := range seen {
			if !slices.Contains(c.only, id) {
				t.Errorf("%+v: drew %d", c.k, id)
			}
		}
		if len(seen) != len(c.only) {
			t.Errorf("top k %d, p %v: drew %v, want %v", c.k.topK, c.k.topP, seen, c.only)
		}
	}
}

// TestTopKKeepsTies: transformers removes what is less likely than the K-th token, so ties with it stay.
func TestTopKKeepsTies(t *testing.T) {
	l := []float32{1, 3, 1, 1, -5}
	seen := map[int32]bool{}
	k, rng := picker{topK: 2}, run.Rand(1, "pick")
	for range 300 {
		token, _ := k.token(l, rng)
		seen[token] = true
	}
	if len(seen) != 4 || seen[4] {
		t.Errorf("drew %v, want 0 to 3", seen)
	}
}

// TestPickAny: each token is drawn from a share of the unit interval that is its probability, in a vocabulary of several chunks.
func TestPickAny(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	l := make([]float32, 2*ops.VocabChunk+100)
	for i := range l {
		l[i] = -30
	}
	likely := []int{0, 7, ops.VocabChunk - 1, ops.VocabChunk, 2*ops.VocabChunk + 99}
	for _, i := range likely {
		l[i] = float32(2 * r.NormFloat64())
	}
	const draws = 20000
	k, seen, lse := picker{}, map[int32]int{}, ops.LogSumExpRow(l)
	_, k.chunks = ops.LogSumExpChunks(l, nil)
	for i := range draws {
		seen[k.any(l, lse, (float64(i)+0.5)/draws)]++
	}
	for _, i := range likely {
		if want := draws * math.Exp(float64(l[i])-lse); math.Abs(float64(seen[int32(i)])-want) > 2 {
			t.Errorf("token %d: drawn %d times of %d, want %.1f", i, seen[int32(i)], draws, want)
		}
		delete(seen, int32(i))
	}
	if len(seen) > 0 {
		t.Errorf("drew what is hardly possible: %v", seen)
	}
	if last := k.any(l, lse, 1); !slices.Contains(likely, int(last)) {
		t.Errorf("at the end of the interval: drew %d", last)
	}
}

// TestPickLikely: what topK and topP keep is the head of the whole vocabulary in order, however far from the likeliest that is.
func TestPickLikely(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for _, spread := range []float64{0.01, 1, 8} {
		l := make([]float32, ops.VocabChunk+500)
		order := make([]int32, len(l))
		for i := range l {
			l[i], order[i] = float32(spread*r.NormFloat64()), int32(i)
		}
		l[9] = l[8]
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(l[b], l[a]) })
		lse := ops.LogSumExpRow(l)
		for _, k := range []*picker{{topK: 50}, {topK: len(l) + 1}, {topP: 0.5}, {topP: 0.999}, {topK: 300, topP: 0.9}, {topK: 1, topP: 0.1}} {
			_, k.chunks = ops.LogSumExpChunks(l, nil)
			n := k.likely(l, lse)
			head := len(l)
			if k.topK > 0 {
				head = min(k.topK, head)
			}
			if k.topP > 0 {
				p := func(i int) float64 { return math.Exp(float64(l[order[i]]) - lse) }
				kept := 0.0
				for i := range head {
					kept += p(i)
				}
				mass := 0.0
				for i := range head {
					if mass += p(i); mass >= k.topP*kept {
						head = i + 1
						break
					}
				}
			}
			if d := n - head; d < -1 || d > 1 || k.topP == 0 && d != 0 { // rounding may move the border by one
				t.Errorf("spread %v, top k %d, p %v: %d tokens, want %d", spread, k.topK, k.topP, n, head)
			}
			if n := min(n, head); !slices.Equal(k.order[:n], order[:n]) {
				t.Errorf("spread %v, top k %d, p %v: another order", spread, k.topK, k.topP)
			}
		}
	}
}
