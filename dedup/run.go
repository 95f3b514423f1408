package dedup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plumb/datasets"
	"plumb/internal/run"
)

// Tools are what a run is given besides its data. All of them may be absent.
type Tools struct {
	Embedder    Embedder  // for any vectors.encoder but "hash"
	Verifier    Verifier  // for any verifier.kind but "none" and "aligned"
	Store       Store     // instead of the one vectors.store names; the caller closes it
	Against     Source    // test sets
	Ledger      io.Writer // JSON lines
	Certificate io.Writer // JSON, when Against is given
	Page        io.Writer // HTML
	TempDir     string    // for what does not fit in memory; "" is the system's folder
	Checkpoint  string    // a folder of the run's own for what its finished stages found, so that it can be killed and started again, until Done; "": none
	Inputs      string    // stands for what is read and for the models: checkpoints of other inputs are not used
	Progress    func(label string, total int) *run.Progress
}

func (t *Tools) progress(label string, total int) *run.Progress {
	if t.Progress == nil {
		return nil
	}
	return t.Progress(label, total)
}

// Done deletes the checkpoints of a run whose output is safe.
func (t *Tools) Done() error {
	if t.Checkpoint == "" {
		return nil
	}
	return (&checkpoints{t.Checkpoint}).remove()
}

// Report says what a run did.
type Report struct {
	Records     int64             `json:"records"`
	Kept        int64             `json:"kept"`
	Removed     int64             `json:"removed"`
	Edited      int64             `json:"edited"`
	ByStage     []StageCount      `json:"by_stage"`
	Distinct    int               `json:"distinct"` // texts after the hash stages
	Clusters    int               `json:"clusters"` // of distinct texts that are alike
	MinHash     *MinHashReport    `json:"minhash,omitempty"`
	Vectors     *VectorReport     `json:"vectors,omitempty"`
	Preference  *PreferenceReport `json:"preference,omitempty"`
	Certificate *Certificate      `json:"certificate,omitempty"`
}

// StageCount is how many records a stage removed.
type StageCount struct {
	Stage   string `json:"stage"`
	Removed int64  `json:"removed"`
}

// MinHashReport describes the lexical stage.
type MinHashReport struct {
	Bands         int `json:"bands"`
	Rows          int `json:"rows"`
	Candidates    int `json:"candidates"`
	Alike         int `json:"alike"`          // candidates that reached the threshold
	Confirmed     int `json:"confirmed"`      // of those, by the verifier
	CappedBuckets int `json:"capped_buckets"` // buckets too large to compare all with all
}

// VectorReport describes the stage of embeddings.
type VectorReport struct {
	Store      string   `json:"store"`
	Encoder    string   `json:"encoder"`
	Added      int      `json:"added"`  // vectors that the store did not hold yet
	Reused     int      `json:"reused"` // vectors that it held: their texts were not embedded again
	Stored     int      `json:"stored"` // points in the store
	Candidates int      `json:"candidates"`
	Alike      int      `json:"alike"`
	Confirmed  int      `json:"confirmed"`
	Recall     *float64 `json:"recall,omitempty"` // of the approximate search against an exact one, on a sample
}

// Run removes duplicates: it reads in twice, writes what stays to out in input order and returns what it did. Stages, thresholds
// and policies are cfg's. The ledger and the page are complete only when Run returns no error. With a folder for checkpoints, a run that
// was stopped (by ctx, an error or a kill) and is started again does not repeat its finished stages, and gives the same bytes as one
// that was not. The folder stays: the caller deletes it (Tools.Done) when all that was written is in its place.
func Run(ctx context.Context, cfg Config, in Source, out Writer, t Tools) (Report, error) {
	var rep Report
	if err := errors.Join(cfg.Validate()...); err != nil {
		return rep, run.Usage(err)
	}
	kept, err := openCheckpoints(cfg, &t)
	if err != nil {
		return rep, err
	}
	if kept != nil {
		t.TempDir = kept.dir
	}
	if err := work(ctx, cfg, in, out, t, kept, &rep); err != nil {
		if !kept.any() { // nothing that a later run could use
			err = errors.Join(err, kept.remove())
		}
		return rep, err
	}
	return rep, nil
}

func work(ctx context.Context, cfg Config, in Source, out Writer, t Tools, kept *checkpoints, rep *Report) error {
	leaked := map[int32]int32{}
	if t.Against != nil {
		cert, records, err := kept.leakage(ctx, cfg, in, t)
		if err != nil {
			return err
		}
		rep.Certificate = cert
		if cfg.Against.Action == "remove" {
			leaked = records
		}
		if t.Certificate != nil {
			if err := cert.Write(t.Certificate); err != nil {
				return err
			}
		}
	}
	c, err := kept.read(ctx, cfg, in, leaked, &t)
	if err != nil {
		return err
	}
	defer c.texts.close()
	if len(c.entries) == 0 {
		return errors.New("dedup: the input holds no record")
	}
	d, err := kept.decisions(c, rep, func() (*decisions, error) { return c.decide(ctx, &t, kept, rep) })
	if err != nil {
		return err
	}
	if t.Page != nil {
		if err := c.writePage(t.Page, d.stars, d.verdicts, rep); err != nil {
			return err
		}
	}
	return c.write(ctx, in, out, d, &t, rep)
}

// decisions are what becomes of every record.
type decisions struct {
	stars    []star
	verdicts []verdict
	edits    map[int32]edit
}

// decide runs everything between the two passes.
func (c *corpus) decide(ctx context.Context, t *Tools, kept *checkpoints, rep *Report) (*decisions, error) {
	m := &matcher{c: c, cfg: c.cfg, tools: t, kept: kept}
	defer m.close()
	edges, err := m.edges(ctx, rep)
	if err != nil {
		return nil, err
	}
	d := &decisions{edits: map[int32]edit{}}
	if d.stars, err = m.clusters(ctx, edges); err != nil {
		return nil, err
	}
	rep.Distinct, rep.Clusters = len(c.nodes), len(d.stars)
	d.verdicts = c.plan(d.stars)
	for r, leak := range c.leaked {
		l := rep.Certificate.Leaks[leak]
		d.verdicts[r] = verdict{stage: "against:" + string(l.Tier), score: l.Score, check: l.Check, kept: -1, leak: leak}
	}
	if c.cfg.Preference.Enabled && c.cfg.Key == KeyPair {
		if rep.Preference, err = m.preferences(ctx, d.verdicts, d.edits); err != nil {
			return nil, err
		}
	}
	rep.count(d.verdicts)
	return d, nil
}

func newCorpus(cfg Config, key Key, texts *spool) *corpus {
	c := &corpus{cfg: cfg, key: key, texts: texts, byHash: map[digest]int32{}, keep: keepRule{cfg.Keep}}
	if cfg.MinHash.Enabled {
		c.index = &bandIndexBuilder{newBandIndex(cfg.MinHash, 0)}
	}
	return c
}

func (m *matcher) close() {
	if m.vectors != nil {
		m.vectors.close()
	}
}

// edges runs the stages that compare and returns the pairs that passed, ascending.
func (m *matcher) edges(ctx context.Context, rep *Report) ([]edge, error) {
	var err error
	if m.verifier, err = openVerifier(m.cfg.Verifier, m.tools); err != nil {
		return nil, err
	}
	var edges []edge
	if m.cfg.MinHash.Enabled {
		rep.MinHash = new(MinHashReport)
		if edges, err = m.kept.edges("minhash", rep.MinHash, func() ([]edge, error) { return m.minhashEdges(ctx, rep.MinHash) }); err != nil {
			return nil, err
		}
	}
	if m.cfg.Vectors.Enabled {
		if err := m.openVectors(); err != nil {
			return nil, err
		}
		rep.Vectors = new(VectorReport)
		more, err := m.kept.edges("vectors", rep.Vectors, func() ([]edge, error) { return m.vectorEdges(ctx, edges, rep.Vectors) })
		if err != nil {
			return nil, err
		}
		if err := m.reopenVectors(); err != nil {
			return nil, err
		}
		edges = append(edges, more...)
		slices.SortFunc(edges, func(x, y edge) int {
			if x.a != y.a {
				return int(x.a) - int(y.a)
			}
			return int(x.b) - int(y.b)
		})
	}
	return edges, nil
}

// minhashEdges decides about the candidates of MinHash.
func (m *matcher) minhashEdges(ctx context.Context, r *MinHashReport) ([]edge, error) {
	m.c.propose()
	p := m.c.proposed
	m.c.proposed = nil
	*r = MinHashReport{Bands: p.Bands, Rows: p.Rows, Candidates: len(p.pairs), CappedBuckets: p.Capped}
	bar := m.tools.progress("compare", len(p.pairs))
	found, err := m.lexical(ctx, p.pairs, bar)
	bar.Done()
	if err != nil {
		return nil, err
	}
	r.Alike = len(found)
	edges, err := m.confirmAll(ctx, found)
	r.Confirmed = len(edges)
	return edges, err
}

// confirmAll is confirm with its progress shown.
func (m *matcher) confirmAll(ctx context.Context, edges []edge) ([]edge, error) {
	var bar *run.Progress
	if m.verifier != nil && len(edges) > 0 {
		bar = m.tools.progress("confirm", len(edges))
	}
	defer bar.Done()
	return m.confirm(ctx, edges, bar)
}

func openVerifier(c VerifierConfig, t *Tools) (Verifier, error) {
	switch {
	case c.Kind == "none" || len(c.Confirm) == 0:
		return nil, nil
	case t.Verifier != nil:
		return t.Verifier, nil
	case c.Kind == "aligned" && c.Adapter != "":
		return OpenAligned(c.Adapter)
	case c.Kind == "aligned":
		return Aligned(), nil
	}
	return nil, fmt.Errorf("verifier.kind %q is a model, and none was opened", c.Kind)
}

func openEmbedder(c VectorConfig, t *Tools) (Embedder, error) {
	switch {
	case t.Embedder != nil:
		return t.Embedder, nil
	case c.Encoder == "hash":
		return NewHashEncoder(c.Dim), nil
	}
	return nil, fmt.Errorf("vectors.encoder %q is a model, and none was opened", c.Encoder)
}

// OpenStore opens the store that a configuration names for an encoder. cleanup also deletes a temporary one.
func OpenStore(ctx context.Context, c VectorConfig, e Embedder, tempDir string) (s Store, cleanup func() error, err error) {
	if strings.HasPrefix(c.Store, "qdrant") {
		q, err := OpenQdrant(ctx, c.Store, e.Name(), e.Dim(), QdrantOptions{Exact: c.Index == "flat", Batch: c.Batch})
		if err != nil {
			return nil, nil, err
		}
		return q, q.Close, nil
	}
	path, temporary := c.Path, c.Path == ""
	if temporary {
		dir, err := os.MkdirTemp(tempDir, ".plumb-vectors-*")
		if err != nil {
			return nil, nil, err
		}
		path = filepath.Join(dir, "vectors")
	}
	remove := func() error {
		if temporary {
			return os.RemoveAll(filepath.Dir(path))
		}
		return nil
	}
	es, err := OpenEmbedded(path, e.Name(), e.Dim())
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	if c.Index == "hnsw" {
		es.UseHNSW(HNSWOptions{EfSearch: c.EfSearch})
	}
	return es, func() error { return errors.Join(es.Close(), remove()) }, nil
}

func (rep *Report) count(verdicts []verdict) {
	removed := map[string]int64{}
	for _, v := range verdicts {
		if v.stage != "" {
			removed[v.stage]++
			rep.Removed++
		}
	}
	rep.Records = int64(len(verdicts))
	rep.Kept = rep.Records - rep.Removed
	for stage, n := range removed {
		rep.ByStage = append(rep.ByStage, StageCount{stage, n})
	}
	slices.SortFunc(rep.ByStage, func(a, b StageCount) int { return strings.Compare(a.Stage, b.Stage) })
}

// write is the second pass.
func (c *corpus) write(ctx context.Context, in Source, out Writer, d *decisions, t *Tools, rep *Report) error {
	verdicts := d.verdicts
	ledger, err := newLedgerWriter(t.Ledger, LedgerHeader{ledgerVersion, rep.Records, rep.Kept, c.cfg})
	if err != nil {
		return err
	}
	r, err := in.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	p := t.progress("write", len(verdicts))
	defer p.Done()
	for i := int32(0); ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			if int(i) < len(verdicts) {
				return errChanged
			}
			break
		}
		if err != nil {
			return err
		}
		if int(i) >= len(verdicts) || exactDigest(&rec, c.key).id() != c.entries[i].exact {
			return errChanged
		}
		if err := c.writeRecord(i, &rec, out, d, ledger, rep); err != nil {
			return err
		}
		p.Add(1)
	}
	return ledger.close()
}

var errChanged = errors.New("dedup: the input changed while it was being read")

func (c *corpus) writeRecord(i int32, rec *datasets.Record, out Writer, d *decisions, ledger *ledgerWriter, rep *Report) error {
	v := &d.verdicts[i]
	row := LedgerRow{Ref: c.ref(i), Stage: v.stage, Score: v.score}
	if v.stage != "" {
		row.Action, row.Record = ActionRemove, rec
		if v.check != 1 {
			row.Check = &v.check
		}
		if v.leak >= 0 {
			test := &rep.Certificate.Leaks[v.leak].Test
			own := recordTexts(rec)
			row.Kept, row.Span = test, sharedSpan(c.cfg.Against.Key.joined(&own), rep.Certificate.texts[test.Index])
		}
		if v.kept >= 0 {
			kept := c.ref(v.kept)
			row.Kept = &kept
			if ledger != nil {
				span, err := c.span(rec, v.kept)
				if err != nil {
					return err
				}
				row.Span = span
			}
		}
		return ledger.write(&row)
	}
	changed := *rec
	if _, wanted := c.prompts[i]; wanted {
		c.prompts[i] = rec.Prompt
	}
	if v.copies > 0 {
		changed.Copies = int(min(int64(max(rec.Copies, 1))+int64(v.copies), math.MaxInt32))
		row.Action, row.Stage, row.CopiesBefore = ActionCopies, "copies", rec.Copies
	}
	if e, ok := d.edits[i]; ok {
		e.apply(&changed, c.prompts)
		row.Action, row.Stage, row.Score, row.Record = ActionEdit, e.stage, e.score, rec
		row.CopiesBefore = 0
		if e.kept >= 0 {
			kept := c.ref(e.kept)
			row.Kept = &kept
		}
		rep.Edited++
	}
	if row.Action != "" {
		if err := ledger.write(&row); err != nil {
			return err
		}
	}
	return out.Write(changed)
}

func (c *corpus) ref(i int32) Ref {
	e := &c.entries[i]
	return Ref{Index: int64(i), ID: c.id(i), File: c.files.list[e.file], Row: e.row}
}
