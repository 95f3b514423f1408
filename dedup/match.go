package dedup

import (
	"context"
	"fmt"
	"math"
	"slices"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

// Tier is the stage whose score a decision rests on.
type Tier string

// The tiers, from the surest on.
const (
	TierExact      Tier = "exact"
	TierNormalised Tier = "normalised"
	TierMinHash    Tier = "minhash"
	TierVectors    Tier = "vectors"
)

// edge joins two nodes that passed every test. score is the tier's, check the verifier's (1 when it was not asked).
type edge struct {
	a, b  int32
	tier  Tier
	score float64
	check float64
}

// matcher computes scores of node pairs from the texts, whoever proposed them.
type matcher struct {
	c        *corpus
	cfg      Config
	embedder Embedder
	verifier Verifier
	vectors  *spool // of nodes; nil before the vector stage
	tools    *Tools
	kept     *checkpoints
}

func (m *matcher) confirms(stage string) bool {
	return m.verifier != nil && slices.Contains(m.cfg.Verifier.Confirm, stage)
}

// blockText is how many bytes of text are compared at a time: it bounds memory, the result does not depend on it.
const blockText = 8 << 20

// blocks cuts ascending pairs so that the distinct nodes of each piece have about blockText bytes of text.
func (m *matcher) blocks(pairs []uint64, f func([]uint64) error) error {
	for lo := 0; lo < len(pairs); {
		seen := map[int32]bool{}
		total, hi := 0, lo
		for ; hi < len(pairs) && total < blockText; hi++ {
			for _, n := range [2]int32{int32(pairs[hi] >> 32), int32(pairs[hi] & math.MaxUint32)} {
				if !seen[n] {
					seen[n] = true
					total += int(m.c.nodes[n].length) + 64
				}
			}
		}
		if err := f(pairs[lo:hi]); err != nil {
			return err
		}
		lo = hi
	}
	return nil
}

// sets are the shingle sets of a node's fields.
type fieldSets [fieldCount][]uint32

// lexical scores pairs by Jaccard similarity and returns those that pass, in order.
func (m *matcher) lexical(ctx context.Context, pairs []uint64, p *run.Progress) ([]edge, error) {
	var out []edge
	err := m.blocks(pairs, func(pairs []uint64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		defer p.Add(len(pairs))
		sets, err := m.fieldSets(pairs)
		if err != nil {
			return err
		}
		scores := make([]float64, len(pairs))
		kernels.Parallel((len(pairs)+255)/256, func(g int) {
			for i := g * 256; i < min((g+1)*256, len(pairs)); i++ {
				a, b := int32(pairs[i]>>32), int32(pairs[i]&math.MaxUint32)
				scores[i] = m.fieldScore(a, b, sets[a], sets[b])
			}
		})
		for i, s := range scores {
			if s > 0 {
				out = append(out, edge{a: int32(pairs[i] >> 32), b: int32(pairs[i] & math.MaxUint32), tier: TierMinHash, score: s, check: 1})
			}
		}
		return nil
	})
	return out, err
}

func (m *matcher) fieldSets(pairs []uint64) (map[int32]*fieldSets, error) {
	sets := map[int32]*fieldSets{}
	var list []int32
	for _, p := range pairs {
		for _, n := range [2]int32{int32(p >> 32), int32(p & math.MaxUint32)} {
			if sets[n] == nil {
				sets[n] = new(fieldSets)
				list = append(list, n)
			}
		}
	}
	errs := make([]error, (len(list)+63)/64)
	kernels.Parallel(len(errs), func(g int) {
		w := newLexer(m.cfg.MinHash)
		for _, n := range list[g*64 : min((g+1)*64, len(list))] {
			t, err := m.c.text(int(n))
			if err != nil {
				errs[g] = err
				return
			}
			for i, use := range m.c.key.uses() {
				if use {
					sets[n][i] = slices.Clip(w.set(nil, t[i]))
				}
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// fieldScore is the Jaccard similarity of all fields together, 0 when the pair does not pass: below the threshold, a
// field below the floor, or another label or other tools.
func (m *matcher) fieldScore(a, b int32, x, y *fieldSets) float64 {
	if m.c.nodes[a].setting != m.c.nodes[b].setting {
		return 0
	}
	c := m.cfg.MinHash
	common, union, small := 0, 0, 0
	fields := 0
	for i, use := range m.c.key.uses() {
		if !use || len(x[i])+len(y[i]) == 0 {
			continue
		}
		fields++
		n := overlap(x[i], y[i])
		u := len(x[i]) + len(y[i]) - n
		if s := min(len(x[i]), len(y[i])); c.Containment > 0 {
			if s == 0 || float64(n) < max(c.FieldFloor, 0)*float64(s) {
				return 0
			}
		} else if m.c.key == KeyPair && float64(n) < c.FieldFloor*float64(u) {
			return 0
		}
		common, union, small = common+n, union+u, small+min(len(x[i]), len(y[i]))
	}
	if fields == 0 {
		return 0 // nothing left after normalisation: equal only if the hash stage says so
	}
	if j := float64(common) / float64(union); j >= c.Threshold {
		return j
	}
	if c.Containment > 0 && small > 0 && float64(common) >= c.Containment*float64(small) {
		return float64(common) / float64(small)
	}
	return 0
}

// semantic scores pairs by the cosine of their vectors and returns those that pass, in order. With the key pair each
// differing field must reach the floor as well.
func (m *matcher) semantic(ctx context.Context, pairs []uint64) ([]edge, error) {
	scores := make([]float64, len(pairs))
	errs := make([]error, (len(pairs)+255)/256)
	kernels.Parallel(len(errs), func(g int) {
		var ra, rb []byte
		var va, vb []float32
		for i := g * 256; i < min((g+1)*256, len(pairs)); i++ {
			var err error
			if ra, err = m.vectors.get(int(pairs[i]>>32), nil); err == nil {
				rb, err = m.vectors.get(int(pairs[i]&math.MaxUint32), nil)
			}
			if err != nil {
				errs[g] = err
				return
			}
			va, vb = decodeVector(va, ra), decodeVector(vb, rb)
			scores[i] = Cosine(va, vb)
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	var out []edge
	for i, s := range scores {
		a, b := int32(pairs[i]>>32), int32(pairs[i]&math.MaxUint32)
		if s >= m.cfg.Vectors.Threshold && m.c.nodes[a].setting == m.c.nodes[b].setting {
			out = append(out, edge{a, b, TierVectors, s, 1})
		}
	}
	if m.c.key != KeyPair || m.cfg.MinHash.FieldFloor == 0 {
		return out, nil
	}
	return m.fieldFloor(ctx, out)
}

// fieldFloor drops edges with a field whose vectors are below the floor.
func (m *matcher) fieldFloor(ctx context.Context, edges []edge) ([]edge, error) {
	worst, err := m.worstField(ctx, edges, m.cfg.Vectors.Batch, nil, func(pairs [][2]string) ([]float64, error) {
		both := make([]string, 0, 2*len(pairs))
		for _, p := range pairs {
			both = append(both, p[0], p[1])
		}
		v, err := embed(ctx, m.embedder, both)
		if err != nil {
			return nil, err
		}
		s := make([]float64, len(pairs))
		for i := range s {
			s[i] = Cosine(v[2*i], v[2*i+1])
		}
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	out := edges[:0]
	for i, e := range edges {
		if worst[i] >= m.cfg.MinHash.FieldFloor {
			out = append(out, e)
		}
	}
	return out, nil
}

// confirm asks the verifier about the edges of the stages it confirms, and keeps those it agrees with. Fields that are
// equal after normalisation are not asked about; the worst of the others decides.
func (m *matcher) confirm(ctx context.Context, edges []edge, p *run.Progress) ([]edge, error) {
	var ask, out []edge
	for _, e := range edges {
		if m.confirms(string(e.tier)) {
			ask = append(ask, e)
		} else {
			out = append(out, e)
		}
	}
	if len(ask) == 0 {
		return edges, nil
	}
	worst, err := m.worstField(ctx, ask, m.cfg.Verifier.Batch, p, func(pairs [][2]string) ([]float64, error) {
		s, err := m.verifier.Score(ctx, pairs)
		if err == nil && len(s) != len(pairs) {
			err = fmt.Errorf("the verifier gave %d scores for %d pairs", len(s), len(pairs))
		}
		return s, err
	})
	if err != nil {
		return nil, err
	}
	for i, e := range ask {
		if worst[i] >= m.cfg.Verifier.Threshold {
			e.check = worst[i]
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(x, y edge) int {
		if x.a != y.a {
			return int(x.a) - int(y.a)
		}
		return int(x.b) - int(y.b)
	})
	return out, nil
}

// worstField returns for each edge the lowest score over the fields that differ after normalisation, 1 where none does.
// The texts of a pair arrive in an order of their own (the smaller first), so that a score depends on the pair alone.
func (m *matcher) worstField(ctx context.Context, edges []edge, batch int, p *run.Progress, score func([][2]string) ([]float64, error)) ([]float64, error) {
	worst := make([]float64, len(edges))
	var pairs [][2]string
	var owner []int
	flush := func() error {
		if len(pairs) == 0 {
			return ctx.Err()
		}
		s, err := score(pairs)
		if err != nil {
			return err
		}
		for i, x := range s {
			if math.IsNaN(x) {
				return fmt.Errorf("a score is NaN for %q and %q", clip(pairs[i][0], 80), clip(pairs[i][1], 80))
			}
			worst[owner[i]] = min(worst[owner[i]], x)
		}
		pairs, owner = pairs[:0], owner[:0]
		return ctx.Err()
	}
	for i, e := range edges {
		p.Add(1)
		worst[i] = 1
		a, err := m.c.text(int(e.a))
		if err != nil {
			return nil, err
		}
		b, err := m.c.text(int(e.b))
		if err != nil {
			return nil, err
		}
		for f, use := range m.c.key.uses() {
			if !use || a[f] == b[f] || Normalise(a[f]) == Normalise(b[f]) {
				continue
			}
			pairs, owner = append(pairs, [2]string{min(a[f], b[f]), max(a[f], b[f])}), append(owner, i)
			if len(pairs) >= batch {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return worst, flush()
}

// judge decides on one pair that no stage proposed: the tests of every stage that is on, the surest first.
func (m *matcher) judge(ctx context.Context, a, b int32) (edge, bool, error) {
	pair := []uint64{uint64(min(a, b))<<32 | uint64(max(a, b))}
	var found []edge
	var err error
	if m.cfg.MinHash.Enabled {
		found, err = m.lexical(ctx, pair, nil)
	}
	if err == nil && len(found) == 0 && m.vectors != nil {
		found, err = m.semantic(ctx, pair)
	}
	if err == nil {
		found, err = m.confirm(ctx, found, nil)
	}
	if err != nil || len(found) == 0 {
		return edge{}, false, err
	}
	return found[0], true, nil
}

// embed calls the encoder and checks the shape of its answer.
func embed(ctx context.Context, e Embedder, texts []string) ([][]float32, error) {
	v, err := e.Embed(ctx, texts)
	if err != nil {
		return nil, err
	}
	if len(v) != len(texts) {
		return nil, fmt.Errorf("encoder %s gave %d vectors for %d texts", e.Name(), len(v), len(texts))
	}
	for i := range v {
		if len(v[i]) != e.Dim() {
			return nil, fmt.Errorf("encoder %s gave a vector of %d numbers, its dimension is %d", e.Name(), len(v[i]), e.Dim())
		}
	}
	return v, nil
}

func clip(s string, n int) string {
	for i := range s {
		if i >= n {
			return s[:i] + "..."
		}
	}
	return s
}
