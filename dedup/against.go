package dedup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// Leak is a record of the data that a test set holds too, exactly or nearly.
type Leak struct {
	Train Ref     `json:"train"`
	Test  Ref     `json:"test"`
	Tier  Tier    `json:"tier"`
	Score float64 `json:"score"`
	Check float64 `json:"verifier"` // 1 where it was not asked
}

// Certificate says what was compared with what, how, and every leak that was found. It states the tiers it rests on: an
// empty list means that these found nothing.
type Certificate struct {
	Version      int           `json:"plumb_leakage_certificate"`
	Clean        bool          `json:"clean"`
	Key          Key           `json:"key"`
	TrainRecords int           `json:"train_records"`
	TestRecords  int           `json:"test_records"`
	TrainFiles   []string      `json:"train_files"`
	TestFiles    []string      `json:"test_files"`
	TrainLeaked  int           `json:"train_leaked"` // records of the data with a leak
	TestLeaked   int           `json:"test_leaked"`  // records of the test sets with a leak
	Action       string        `json:"action"`
	Tiers        []Tier        `json:"tiers"`
	MinHash      MinHashConfig `json:"minhash"`
	Vectors      VectorConfig  `json:"vectors"`
	Verifier     string        `json:"verifier"`
	Leaks        []Leak        `json:"leaks"` // by train record, then test record

	texts map[int64]string // compared, of the test records that are leaked
}

// Write writes the certificate as JSON.
func (c *Certificate) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(c)
}

// Leakage compares data with test sets by cfg.Against.Key and returns the certificate. Neither is changed.
func Leakage(ctx context.Context, cfg Config, data, tests Source, t Tools) (*Certificate, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, err
	}
	cert, _, err := leakage(ctx, cfg, data, tests, t)
	return cert, err
}

// leakage also returns for each leaked record its surest leak's position in the certificate.
func leakage(ctx context.Context, cfg Config, data, tests Source, t Tools) (*Certificate, map[int32]int32, error) {
	cfg.Key = cfg.Against.Key
	cfg.Keep = KeepConfig{Policy: "first", N: 1}
	cfg.Exact.Enabled = true // the hash stages cost nothing and decide most
	cfg.Vectors.Path = ""    // test vectors do not belong into the data's store
	if strings.HasPrefix(cfg.Vectors.Store, "qdrant") {
		cfg.Vectors.Store = "embedded"
	}
	t.Store = nil
	c := newCorpus(cfg, cfg.Key, newSpool(t.TempDir, spoolMemory))
	c.anyTools = true // a prompt leaks with whatever tools
	defer c.texts.close()
	p := t.progress("read", 0)
	defer p.Done()
	if err := c.scan(ctx, tests, true, p.Add); err != nil {
		return nil, nil, err
	}
	first := int32(len(c.entries))
	if first == 0 {
		return nil, nil, errors.New("against: the test sets hold no record")
	}
	if err := c.scan(ctx, data, false, p.Add); err != nil {
		return nil, nil, err
	}
	p.Done()
	m := &matcher{c: c, cfg: cfg, tools: &t}
	defer m.close()
	edges, err := m.edges(ctx, &Report{})
	if err != nil {
		return nil, nil, err
	}
	cert := &Certificate{Version: 1, Key: cfg.Key, TrainRecords: len(c.entries) - int(first), TestRecords: int(first), Action: cfg.Against.Action,
		Tiers: []Tier{TierExact}, MinHash: cfg.MinHash, Vectors: cfg.Vectors, Verifier: cfg.Verifier.Kind, Leaks: []Leak{}, texts: map[int64]string{}}
	if cfg.Exact.Normalise {
		cert.Tiers = append(cert.Tiers, TierNormalised)
	}
	if cfg.MinHash.Enabled {
		cert.Tiers = append(cert.Tiers, TierMinHash)
	}
	if cfg.Vectors.Enabled {
		cert.Tiers = append(cert.Tiers, TierVectors)
	}
	for i := range c.nodes {
		edges = append(edges, edge{a: int32(i), b: int32(i), check: 1})
	}
	for _, e := range edges {
		if err := c.leaksOf(cert, first, e); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(cert.Leaks, func(a, b Leak) int {
		if a.Train.Index != b.Train.Index {
			return int(a.Train.Index - b.Train.Index)
		}
		return int(a.Test.Index - b.Test.Index)
	})
	surest := map[int32]int32{}
	tested := map[int64]bool{}
	for i, l := range cert.Leaks {
		r := int32(l.Train.Index)
		if old, ok := surest[r]; !ok || surer(l, cert.Leaks[old]) {
			surest[r] = int32(i)
		}
		tested[l.Test.Index] = true
	}
	cert.TrainLeaked, cert.TestLeaked, cert.Clean = len(surest), len(tested), len(cert.Leaks) == 0
	cert.TestFiles, cert.TrainFiles = c.filesOf(0, first), c.filesOf(first, int32(len(c.entries)))
	return cert, surest, nil
}

var tierRank = map[Tier]int{TierExact: 0, TierNormalised: 1, TierMinHash: 2, TierVectors: 3}

func surer(a, b Leak) bool {
	if a.Tier != b.Tier {
		return tierRank[a.Tier] < tierRank[b.Tier]
	}
	return a.Score > b.Score
}

// leaksOf adds each pair of a test record and a data record on the two ends of an edge. Texts of which the compared part is
// empty leak nothing.
func (c *corpus) leaksOf(cert *Certificate, first int32, e edge) error {
	add := func(tests, data int32) error {
		for x := range c.records(tests) {
			if x >= first || c.entries[x].length == 0 {
				continue
			}
			for y := range c.records(data) {
				if y < first {
					continue
				}
				l := Leak{Train: c.ref(y), Test: c.ref(x), Tier: e.tier, Score: e.score, Check: e.check}
				l.Train.Index -= int64(first)
				if tests == data {
					l.Tier, l.Score = TierNormalised, 1
					if c.entries[x].exact == c.entries[y].exact {
						l.Tier = TierExact
					}
				}
				cert.Leaks = append(cert.Leaks, l)
				if _, ok := cert.texts[int64(x)]; !ok {
					t, err := c.text(int(tests))
					if err != nil {
						return err
					}
					cert.texts[int64(x)] = c.key.joined(&t)
				}
			}
		}
		return nil
	}
	err := add(e.a, e.b)
	if err == nil && e.a != e.b {
		err = add(e.b, e.a)
	}
	return err
}

func (c *corpus) filesOf(lo, hi int32) []string {
	seen := make([]bool, len(c.files.list))
	for _, e := range c.entries[lo:hi] {
		seen[e.file] = true
	}
	out := []string{}
	for i, s := range seen {
		if s {
			out = append(out, c.files.list[i])
		}
	}
	slices.Sort(out)
	return out
}

// Groups numbers the records of a source so that two records whose keys are equal or alike share a number: the
// connected parts, because a split must not part them even through a third. Numbers are the input position of a group's
// first record.
func Groups(ctx context.Context, cfg Config, in Source, t Tools) ([]int, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, err
	}
	c := newCorpus(cfg, cfg.Key, newSpool(t.TempDir, spoolMemory))
	c.anyTools = true // nor may those part what is alike
	defer c.texts.close()
	p := t.progress("read", 0)
	defer p.Done()
	if err := c.scan(ctx, in, false, p.Add); err != nil {
		return nil, err
	}
	p.Done()
	m := &matcher{c: c, cfg: cfg, tools: &t}
	defer m.close()
	edges, err := m.edges(ctx, &Report{})
	if err != nil {
		return nil, err
	}
	u := newUnion(len(c.nodes))
	for _, e := range edges {
		u.join(e.a, e.b)
	}
	out := make([]int, len(c.entries))
	for i, e := range c.entries {
		out[i] = int(c.nodes[u.find(e.node)].first)
	}
	return out, nil
}

// union is a forest of disjoint sets whose root is its smallest member.
type union []int32

func newUnion(n int) union {
	u := make(union, n)
	for i := range u {
		u[i] = int32(i)
	}
	return u
}

func (u union) find(i int32) int32 {
	for u[i] != i {
		u[i] = u[u[i]]
		i = u[i]
	}
	return i
}

func (u union) join(a, b int32) {
	a, b = u.find(a), u.find(b)
	if a > b {
		a, b = b, a
	}
	u[b] = a
}
