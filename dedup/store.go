package dedup

import (
	"context"
	"fmt"
	"slices"
)

// Point is a vector with what searches may filter on. Its ID comes from the content, so that a later run finds it again.
type Point struct {
	ID     uint64
	Vector []float32
	Split  string // part of the data set: train, test ...
	Length int    // bytes of the text
	Set    string // name under which a run stored it
}

// Filter restricts a search; a zero field does not.
type Filter struct {
	Splits    []string // any of these
	MinLength int      // inclusive
	MaxLength int      // inclusive; 0: no limit
	Set       string
}

// Neighbour is a candidate with the store's own score (cosine, of quantised vectors perhaps): a hint, not a decision.
type Neighbour struct {
	ID    uint64
	Score float32
}

// Store holds vectors and proposes neighbours. Methods are called from one goroutine at a time.
type Store interface {
	// Name describes the store in reports.
	Name() string
	// Vectors returns the stored vectors, scaled to length 1 as unit does it, and nil for points that are not stored: an interrupted or
	// later run computes and adds only what is missing.
	Vectors(ctx context.Context, ids []uint64) ([][]float32, error)
	// Upsert stores points; one that exists is replaced. When it returns, the points survive the end of the process.
	Upsert(ctx context.Context, points []Point) error
	// Query returns for each vector up to k neighbours, the best first, equals by ascending ID.
	Query(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error)
	Count(ctx context.Context) (int, error)
	Close() error
}

// MismatchError says that a store was filled by something else.
type MismatchError struct {
	Store, What string
	Has, Want   any
}

// Error names the store, what differs and both values.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s: its %s is %v, but this run's is %v: use another store, or the encoder it was filled with", e.Store, e.What, e.Has, e.Want)
}

func (f Filter) match(split string, length int, set string) bool {
	if f.Set != "" && f.Set != set || length < f.MinLength || f.MaxLength > 0 && length > f.MaxLength {
		return false
	}
	if len(f.Splits) == 0 {
		return true
	}
	for _, s := range f.Splits {
		if s == split {
			return true
		}
	}
	return false
}

// better orders neighbours: higher score first, equals by ascending ID.
func better(a, b Neighbour) bool { return a.Score > b.Score || a.Score == b.Score && a.ID < b.ID }

// sortNeighbours puts the better ones first.
func sortNeighbours(list []Neighbour) {
	slices.SortFunc(list, func(a, b Neighbour) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
}

// topK keeps the k best neighbours seen, in a heap whose root is the worst of them.
type topK struct {
	k    int
	heap []Neighbour
}

func (t *topK) add(n Neighbour) {
	if len(t.heap) < t.k {
		t.heap = append(t.heap, n)
		for i := len(t.heap) - 1; i > 0; {
			p := (i - 1) / 2
			if !better(t.heap[p], t.heap[i]) {
				break
			}
			t.heap[p], t.heap[i] = t.heap[i], t.heap[p]
			i = p
		}
		return
	}
	if !better(n, t.heap[0]) {
		return
	}
	t.heap[0] = n
	t.sink()
}

func (t *topK) sink() {
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(t.heap) {
			return
		}
		if c+1 < len(t.heap) && better(t.heap[c], t.heap[c+1]) {
			c++
		}
		if !better(t.heap[i], t.heap[c]) {
			return
		}
		t.heap[i], t.heap[c] = t.heap[c], t.heap[i]
		i = c
	}
}

// floor is the score a new neighbour has to reach to matter.
func (t *topK) floor() float32 {
	if len(t.heap) < t.k {
		return -2
	}
	return t.heap[0].Score
}
