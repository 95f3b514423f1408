package dedup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"plumb/internal/run"
)

// pointID is the store's name of a node and the text that is embedded for it, in a set. Records that only normalising makes equal are
// one node, embedded as its first record has it: the text is in the name, so that a stored vector is the one that this run would compute.
func (m *matcher) pointID(n int, text string) uint64 {
	id := mix64(m.c.nodes[n].id ^ hashBytes([]byte(text)))
	if m.cfg.Vectors.Set != "" {
		id = mix64(id ^ hashBytes([]byte(m.cfg.Vectors.Set)))
	}
	return id
}

// vectorEdges embeds every distinct text, stores what the store lacks, asks it for neighbours, and scores and confirms the
// candidates that are not edges already.
func (m *matcher) vectorEdges(ctx context.Context, have []edge, r *VectorReport) (edges []edge, err error) {
	t, cfg := m.tools, m.cfg.Vectors
	store := t.Store
	r.Store, r.Encoder = "embedded", m.embedder.Name()
	if store == nil {
		if cfg.Path == "" && m.kept != nil { // a run that is started again finds it here
			cfg.Path = m.kept.path("store")
		}
		s, cleanup, err := OpenStore(ctx, cfg, m.embedder, t.TempDir)
		if err != nil {
			return nil, err
		}
		store = s
		defer func() { err = errors.Join(err, cleanup()) }()
	}
	if t.Store != nil || m.cfg.Vectors.Path != "" || cfg.Store != "embedded" {
		r.Store = store.Name() // not a temporary file
	}
	of := make(map[uint64]int32, len(m.c.nodes))
	p := t.progress("embed", len(m.c.nodes))
	err = m.batches(ctx, func(lo, hi int) error {
		defer p.Add(hi - lo)
		return m.embedBatch(ctx, store, lo, hi, of, r)
	})
	p.Done()
	if err != nil {
		return nil, err
	}
	if err := m.vectors.sync(); err != nil {
		return nil, err
	}
	if r.Stored, err = store.Count(ctx); err != nil {
		return nil, err
	}
	known := make([]uint64, len(have))
	for i, e := range have {
		known[i] = uint64(e.a)<<32 | uint64(e.b)
	}
	pairs, err := m.propose(ctx, t, store, of, known)
	if err != nil {
		return nil, err
	}
	r.Candidates = len(pairs)
	if edges, err = m.semantic(ctx, pairs); err != nil {
		return nil, err
	}
	r.Alike = len(edges)
	if edges, err = m.confirmAll(ctx, edges); err != nil {
		return nil, err
	}
	r.Confirmed = len(edges)
	return edges, m.measureRecall(ctx, store, r)
}

// openVectors opens the encoder and makes room for the nodes' vectors.
func (m *matcher) openVectors() (err error) {
	m.embedder, err = openEmbedder(m.cfg.Vectors, m.tools)
	m.vectors = m.kept.spool("vectors-of-texts", m.tools.TempDir)
	return err
}

// reopenVectors takes up the vectors of an earlier run whose stage was done.
func (m *matcher) reopenVectors() error {
	if m.kept == nil || len(m.vectors.ends) == len(m.c.nodes) {
		return nil
	}
	ends := make([]int64, len(m.c.nodes))
	for i := range ends {
		ends[i] = int64(i+1) * int64(4*m.embedder.Dim())
	}
	ok, err := m.vectors.reopen(ends)
	if err == nil && !ok {
		err = fmt.Errorf("%s: missing or cut off: delete the folder and start again", m.vectors.path)
	}
	return err
}

func (m *matcher) batches(ctx context.Context, f func(lo, hi int) error) error {
	for lo := 0; lo < len(m.c.nodes); lo += m.cfg.Vectors.Batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(lo, min(lo+m.cfg.Vectors.Batch, len(m.c.nodes))); err != nil {
			return err
		}
	}
	return nil
}

// embedBatch gets the vectors of nodes [lo, hi): those that the store holds from there, the others from the encoder.
func (m *matcher) embedBatch(ctx context.Context, store Store, lo, hi int, of map[uint64]int32, r *VectorReport) error {
	list, ids := make([]string, hi-lo), make([]uint64, hi-lo)
	for i := range list {
		t, err := m.c.text(lo + i)
		if err != nil {
			return err
		}
		list[i] = m.c.key.joined(&t)
		ids[i] = m.pointID(lo+i, list[i])
		of[ids[i]] = int32(lo + i)
	}
	vectors, err := store.Vectors(ctx, ids)
	if err != nil {
		return fmt.Errorf("%s: %w", store.Name(), err)
	}
	var missing []int
	var ask []string
	for i, v := range vectors {
		if v == nil {
			missing, ask = append(missing, i), append(ask, list[i])
		}
	}
	r.Reused += len(list) - len(missing)
	fresh, err := embed(ctx, m.embedder, ask)
	if err != nil {
		return err
	}
	var points []Point
	for k, i := range missing {
		n := &m.c.nodes[lo+i]
		vectors[i] = fresh[k]
		if unit(vectors[i]); !zero(vectors[i]) {
			points = append(points, Point{ID: ids[i], Vector: vectors[i], Split: m.c.splits.list[n.split], Length: int(n.length), Set: m.cfg.Vectors.Set})
		}
	}
	var raw []byte
	for _, v := range vectors {
		raw = encodeVector(raw[:0], v)
		if err := m.vectors.add(raw); err != nil {
			return err
		}
	}
	if len(points) == 0 {
		return nil
	}
	if err := store.Upsert(ctx, points); err != nil {
		return fmt.Errorf("%s: %w", store.Name(), err)
	}
	r.Added += len(points)
	return nil
}

func zero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// nodeVectors reads the vectors of nodes [lo, hi) back; zero vectors are left out, which names the others.
func (m *matcher) nodeVectors(lo, hi int) (vectors [][]float32, which []int, err error) {
	for i := lo; i < hi; i++ {
		raw, err := m.vectors.get(i, nil)
		if err != nil {
			return nil, nil, err
		}
		if v := decodeVector(make([]float32, 0, len(raw)/4), raw); !zero(v) {
			vectors, which = append(vectors, v), append(which, i)
		}
	}
	return vectors, which, nil
}

// propose asks the store for the neighbours of every node and returns the new pairs, ascending. Points of other data in the
// store are no candidates: their texts are not here to compare.
func (m *matcher) propose(ctx context.Context, t *Tools, store Store, of map[uint64]int32, known []uint64) ([]uint64, error) {
	var pairs []uint64
	p := t.progress("search", len(m.c.nodes))
	defer p.Done()
	err := m.batches(ctx, func(lo, hi int) error {
		defer p.Add(hi - lo)
		vectors, which, err := m.nodeVectors(lo, hi)
		if err != nil || len(vectors) == 0 {
			return err
		}
		// One more than asked for: a text is its own nearest neighbour.
		near, err := store.Query(ctx, vectors, m.cfg.Vectors.Neighbours+1, Filter{Set: m.cfg.Vectors.Set})
		if err != nil {
			return fmt.Errorf("%s: %w", store.Name(), err)
		}
		if len(near) != len(vectors) {
			return fmt.Errorf("%s gave %d answers to %d queries", store.Name(), len(near), len(vectors))
		}
		for i, list := range near {
			a := int32(which[i])
			for _, n := range list {
				if b, ok := of[n.ID]; ok && a != b {
					pairs = append(pairs, uint64(min(a, b))<<32|uint64(max(a, b)))
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(pairs)
	pairs = slices.Compact(pairs)
	out := pairs[:0]
	for _, x := range pairs {
		if _, ok := slices.BinarySearch(known, x); !ok {
			out = append(out, x)
		}
	}
	return out, nil
}

// exactSearcher is a Store whose usual search is approximate and that can search exactly as well.
type exactSearcher interface {
	Approximate() bool
	Scan(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error)
}

const recallSample = 200

// measureRecall compares an approximate search with an exact one on a sample of nodes.
func (m *matcher) measureRecall(ctx context.Context, store Store, r *VectorReport) error {
	s, ok := store.(exactSearcher)
	if !ok || !s.Approximate() {
		return nil
	}
	rng := run.Rand(m.cfg.Seed, "dedup recall sample")
	var sample [][]float32
	for range min(recallSample, len(m.c.nodes)) {
		i := rng.IntN(len(m.c.nodes))
		v, _, err := m.nodeVectors(i, i+1)
		if err != nil {
			return err
		}
		sample = append(sample, v...)
	}
	if len(sample) == 0 {
		return nil
	}
	f := Filter{Set: m.cfg.Vectors.Set}
	got, err := store.Query(ctx, sample, m.cfg.Vectors.Neighbours, f)
	if err != nil {
		return err
	}
	want, err := s.Scan(ctx, sample, m.cfg.Vectors.Neighbours, f)
	if err != nil {
		return err
	}
	recall := Recall(got, want)
	r.Recall = &recall
	return nil
}

// Recall is the share of want's neighbours that got has too; 1 when there is nothing to find. A neighbour whose score
// equals that of want's last counts as found, because ties may fall either way.
func Recall(got, want [][]Neighbour) float64 {
	found, total := 0, 0
	for i, list := range want {
		if len(list) == 0 {
			continue
		}
		last := float64(list[len(list)-1].Score) - 1e-6
		hits := 0
		for _, n := range got[i] {
			if float64(n.Score) >= last {
				hits++
			}
		}
		found += min(hits, len(list))
		total += len(list)
	}
	if total == 0 {
		return 1
	}
	return math.Round(float64(found)/float64(total)*1e6) / 1e6
}
