package dedup

import (
	"fmt"
	"strings"

	"plumb/internal/run"
)

// Key names the part of a record that is compared.
type Key string

// The keys. A pair is compared field by field: prompts, chosen and rejected answers must each be alike, so that two
// records that share a long prompt and one answer are not taken for copies.
const (
	KeyPrompt   Key = "prompt"
	KeyChosen   Key = "chosen"
	KeyRejected Key = "rejected"
	KeyPair     Key = "pair"
)

// Config says which stages run and where their thresholds lie. Start from Defaults.
type Config struct {
	Key        Key              `yaml:"key"`
	Seed       uint64           `yaml:"seed"`
	Exact      ExactConfig      `yaml:"exact"`
	MinHash    MinHashConfig    `yaml:"minhash"`
	Vectors    VectorConfig     `yaml:"vectors"`
	Verifier   VerifierConfig   `yaml:"verifier"`
	Keep       KeepConfig       `yaml:"keep"`
	Preference PreferenceConfig `yaml:"preference"`
	Against    AgainstConfig    `yaml:"against"`
}

// ExactConfig switches the hash stages: byte-equal texts, and texts equal after Normalise.
type ExactConfig struct {
	Enabled   bool `yaml:"enabled"`
	Normalise bool `yaml:"normalise"`
}

// MinHashConfig describes the lexical stage.
type MinHashConfig struct {
	Enabled     bool    `yaml:"enabled"`
	Threshold   float64 `yaml:"threshold"`    // Jaccard similarity of the shingle sets from which two texts are copies
	Shingle     string  `yaml:"shingle"`      // char or word
	ShingleSize int     `yaml:"shingle_size"` // characters (1 to 8) or words (1 to 16) of a shingle
	Hashes      int     `yaml:"hashes"`       // length of a signature
	Bands       int     `yaml:"bands"`        // 0: the fewest rows that reach Recall at Threshold
	Recall      float64 `yaml:"recall"`       // probability that a pair at the threshold becomes a candidate
	FieldFloor  float64 `yaml:"field_floor"`  // key pair: similarity every single field must reach as well
	Containment float64 `yaml:"containment"`  // also a copy when this share of the shorter text is in the longer; 0: off
	MaxBucket   int     `yaml:"max_bucket"`   // texts of one bucket compared all with all; beyond it with a window
}

// VectorConfig describes the stage of embeddings.
type VectorConfig struct {
	Enabled    bool    `yaml:"enabled"`
	Encoder    string  `yaml:"encoder"`    // "hash", or a model folder opened by the caller
	Dim        int     `yaml:"dim"`        // of the built-in encoder
	Threshold  float64 `yaml:"threshold"`  // cosine similarity from which two texts are proposed as copies
	Neighbours int     `yaml:"neighbours"` // candidates asked of the store for each text
	Store      string  `yaml:"store"`      // "embedded" or qdrant://host:6334/collection
	Path       string  `yaml:"path"`       // file of the embedded store; empty: a temporary one
	Index      string  `yaml:"index"`      // flat or hnsw (embedded); with Qdrant flat means exact: true
	Batch      int     `yaml:"batch"`      // vectors per upsert and query
	EfSearch   int     `yaml:"ef_search"`  // hnsw: candidates kept in a search
	Set        string  `yaml:"set"`        // name under which the points are stored; searches stay within it
}

// VerifierConfig describes the stage that confirms what the others propose.
type VerifierConfig struct {
	Kind      string   `yaml:"kind"`      // none, aligned (built in), or an encoder's folder, opened by the caller
	Adapter   string   `yaml:"adapter"`   // aligned: its weights; an encoder: the adapter and head that train-verifier wrote
	Threshold float64  `yaml:"threshold"` // probability of "the same" from which a pair is confirmed
	Confirm   []string `yaml:"confirm"`   // the stages whose pairs it confirms: minhash, vectors
	Batch     int      `yaml:"batch"`     // pairs per call
}

// KeepConfig says which record of a cluster stays.
type KeepConfig struct {
	Policy  string   `yaml:"policy"`  // first, longest, best, trusted, newest, none
	N       int      `yaml:"n"`       // records kept of a cluster
	Field   string   `yaml:"field"`   // best, newest: the Meta field that holds the score or the time
	Trusted []string `yaml:"trusted"` // trusted: source files (globs), the best first
	Protect []string `yaml:"protect"` // source files (globs) from which nothing is ever removed
}

// PreferenceConfig says what happens to labels that contradict each other. Each policy is keep, majority or drop.
type PreferenceConfig struct {
	Enabled      bool    `yaml:"enabled"`
	MergePrompts bool    `yaml:"merge_prompts"` // near-equal prompts become one prompt with one ranking
	Threshold    float64 `yaml:"threshold"`     // Jaccard similarity from which prompts, or answers, count as equal
	Flipped      string  `yaml:"flipped"`       // a over b here, b over a there
	Cycles       string  `yaml:"cycles"`        // a over b over c over a
	Ties         string  `yaml:"ties"`          // chosen equal to rejected after normalisation: keep or drop
	NearTies     string  `yaml:"near_ties"`     // chosen nearly equal to rejected: keep or drop
}

// AgainstConfig names test sets that must not leak into the data.
type AgainstConfig struct {
	Key    Key    `yaml:"key"`    // what is compared
	Action string `yaml:"action"` // remove or report
}

// Defaults returns the configuration used where nothing is said. docs/dedup.md gives the reason for each number.
func Defaults() Config {
	return Config{
		Key:   KeyPair,
		Seed:  42,
		Exact: ExactConfig{Enabled: true, Normalise: true},
		MinHash: MinHashConfig{Enabled: true, Threshold: 0.7, Shingle: "char", ShingleSize: 5, Hashes: 128,
			Recall: 0.985, FieldFloor: 0.5, MaxBucket: 64},
		Vectors: VectorConfig{Enabled: true, Encoder: "hash", Dim: 256, Threshold: 0.85, Neighbours: 16,
			Store: "embedded", Index: "flat", Batch: 1024, EfSearch: 128},
		Verifier:   VerifierConfig{Kind: "aligned", Threshold: 0.8, Confirm: []string{"minhash", "vectors"}, Batch: 256},
		Keep:       KeepConfig{Policy: "first", N: 1},
		Preference: PreferenceConfig{Enabled: true, Threshold: 0.8, Flipped: "keep", Cycles: "keep", Ties: "keep", NearTies: "keep"},
		Against:    AgainstConfig{Key: KeyPrompt, Action: "remove"},
	}
}

type faults []error

func (f *faults) check(ok bool, key string, value any, want string) {
	if !ok {
		*f = append(*f, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
	}
}

func oneOf(s string, all ...string) bool {
	for _, a := range all {
		if s == a {
			return true
		}
	}
	return false
}

// Validate reports every fault of the configuration.
func (c Config) Validate() []error {
	var f faults
	share := func(x float64) bool { return x > 0 && x <= 1 }
	keys := "prompt, chosen, rejected or pair"
	f.check(oneOf(string(c.Key), "prompt", "chosen", "rejected", "pair"), "key", c.Key, keys)
	m := c.MinHash
	f.check(share(m.Threshold), "minhash.threshold", m.Threshold, "a Jaccard similarity in (0, 1]")
	f.check(oneOf(m.Shingle, "char", "word"), "minhash.shingle", m.Shingle, "char or word")
	most := 8
	if m.Shingle == "word" {
		most = 16
	}
	f.check(m.ShingleSize >= 1 && m.ShingleSize <= most, "minhash.shingle_size", m.ShingleSize, fmt.Sprintf("1 to %d", most))
	f.check(m.Hashes >= 8 && m.Hashes <= 256, "minhash.hashes", m.Hashes, "8 to 256")
	f.check(m.Bands >= 0 && m.Bands <= m.Hashes, "minhash.bands", m.Bands, "0 (chosen) to minhash.hashes")
	f.check(m.Recall > 0 && m.Recall < 1, "minhash.recall", m.Recall, "a probability below 1")
	f.check(m.FieldFloor >= 0 && m.FieldFloor <= 1, "minhash.field_floor", m.FieldFloor, "0 to 1")
	f.check(m.Containment >= 0 && m.Containment <= 1, "minhash.containment", m.Containment, "0 (off) to 1")
	f.check(m.MaxBucket >= 2, "minhash.max_bucket", m.MaxBucket, "at least 2")
	v := c.Vectors
	f.check(v.Encoder != "", "vectors.encoder", v.Encoder, `"hash" or a model folder`)
	f.check(v.Dim >= 32 && v.Dim <= 4096 && v.Dim%32 == 0, "vectors.dim", v.Dim, "a multiple of 32 up to 4096")
	f.check(share(v.Threshold), "vectors.threshold", v.Threshold, "a cosine similarity in (0, 1]")
	f.check(v.Neighbours >= 1 && v.Neighbours <= 1000, "vectors.neighbours", v.Neighbours, "1 to 1000")
	f.check(v.Store == "embedded" || strings.HasPrefix(v.Store, "qdrant://") || strings.HasPrefix(v.Store, "qdrants://"), "vectors.store", v.Store,
		"embedded, qdrant://host:6334/collection or qdrants:// for TLS")
	f.check(oneOf(v.Index, "flat", "hnsw"), "vectors.index", v.Index, "flat or hnsw")
	f.check(v.Batch >= 1 && v.Batch <= 65536, "vectors.batch", v.Batch, "1 to 65536")
	f.check(v.EfSearch >= 1, "vectors.ef_search", v.EfSearch, "at least 1")
	r := c.Verifier
	f.check(r.Kind != "", "verifier.kind", r.Kind, "none, aligned or a model folder")
	f.check(r.Threshold >= 0 && r.Threshold <= 1, "verifier.threshold", r.Threshold, "0 to 1")
	for _, s := range r.Confirm {
		f.check(oneOf(s, "minhash", "vectors"), "verifier.confirm", s, "minhash, vectors")
	}
	f.check(r.Batch >= 1, "verifier.batch", r.Batch, "at least 1")
	k := c.Keep
	f.check(oneOf(k.Policy, "first", "longest", "best", "trusted", "newest", "none"), "keep.policy", k.Policy,
		"first, longest, best, trusted, newest or none")
	f.check(k.N >= 1, "keep.n", k.N, "at least 1")
	f.check(!oneOf(k.Policy, "best", "newest") || k.Field != "", "keep.field", k.Field, "the Meta field of the score or time for policy "+k.Policy)
	f.check(k.Policy != "trusted" || len(k.Trusted) > 0, "keep.trusted", k.Trusted, "source files for policy trusted")
	p := c.Preference
	f.check(share(p.Threshold), "preference.threshold", p.Threshold, "a Jaccard similarity in (0, 1]")
	f.check(oneOf(p.Flipped, "keep", "majority", "drop"), "preference.flipped", p.Flipped, "keep, majority or drop")
	f.check(oneOf(p.Cycles, "keep", "majority", "drop"), "preference.cycles", p.Cycles, "keep, majority or drop")
	f.check(oneOf(p.Ties, "keep", "drop"), "preference.ties", p.Ties, "keep or drop")
	f.check(oneOf(p.NearTies, "keep", "drop"), "preference.near_ties", p.NearTies, "keep or drop")
	f.check(oneOf(string(c.Against.Key), "prompt", "chosen", "rejected", "pair"), "against.key", c.Against.Key, keys)
	f.check(oneOf(c.Against.Action, "remove", "report"), "against.action", c.Against.Action, "remove or report")
	return f
}
