package dedup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"plumb/datasets"
	"plumb/internal/kernels"
)

// A Source is a data set that can be read more than once: first to compare, then to write.
type Source interface {
	// Open starts reading at the first record.
	Open() (Reader, error)
}

// Reader yields records until io.EOF. datasets.Reader is one.
type Reader interface {
	Next() (datasets.Record, error)
	Close() error
}

// Writer takes the records that stay. datasets.Writer is one.
type Writer interface {
	Write(datasets.Record) error
}

// Records is a Source over records in memory.
func Records(recs []datasets.Record) Source { return recordSource(recs) }

type recordSource []datasets.Record

func (s recordSource) Open() (Reader, error) { return &recordReader{recs: s}, nil }

type recordReader struct {
	recs []datasets.Record
	at   int
}

func (r *recordReader) Next() (datasets.Record, error) {
	if r.at == len(r.recs) {
		return datasets.Record{}, io.EOF
	}
	r.at++
	return r.recs[r.at-1], nil
}

func (r *recordReader) Close() error { return nil }

// entry is what is remembered of a record. Entries and nodes hold no pointers: with millions of them the collector would have
// nothing else to do, and a checkpoint is their bytes.
type entry struct {
	node      int32
	file      int32 // in corpus.files
	copies    int32
	length    int32 // bytes of the compared texts
	next      int32 // record of the same node, -1: the last
	protected bool
	against   bool // belongs to a test set
	exact     uint64
	row       int64
	rank      float64 // by the keep policy: higher stays
	idEnd     int64   // in corpus.ids, where the id before it ends this one's begins
}

// node is a distinct text: all records that are equal after normalisation share one.
type node struct {
	id      uint64 // of the content, the same in every run
	first   int32  // its records, in input order: first, entries[first].next ... last
	last    int32
	count   int32
	length  int32
	split   int32  // in corpus.splits
	setting uint64 // nodes of another are no copies
}

// corpus is everything pass one learns: entries by input order, distinct nodes, their texts in a spool.
type corpus struct {
	cfg      Config
	key      Key
	entries  []entry
	nodes    []node
	texts    *spool
	ids      []byte // of all entries, one behind the other
	files    names
	splits   names
	byHash   map[digest]int32
	index    *bandIndexBuilder            // nil without MinHash
	proposed *proposed                    // pairs, once the index has been asked
	leaked   map[int32]int32              // records that are removed before anything is compared
	prompts  map[int32][]datasets.Message // second pass: prompts that others take over
	anyTools bool                         // records with other tools are copies too
	keep     keepRule
}

// scanned is the part of a record's work that runs in parallel.
type scanned struct {
	rec     datasets.Record
	texts   texts
	exact   digest
	normal  digest
	setting uint64
	isNew   bool
	node    int32
}

const scanChunk = 512

// scan reads a source to its end.
func (c *corpus) scan(ctx context.Context, src Source, against bool, progress func(n int)) error {
	r, err := src.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	chunk := make([]scanned, 0, scanChunk)
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk = chunk[:0]
		for len(chunk) < scanChunk {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				return err
			}
			chunk = append(chunk, scanned{rec: rec})
		}
		if err := c.take(chunk, against); err != nil {
			return err
		}
		progress(len(chunk))
	}
	return c.texts.sync()
}

// take adds a chunk of records: texts and hashes in parallel, nodes in order, signatures of the new ones in parallel.
func (c *corpus) take(chunk []scanned, against bool) error {
	const group = 16
	groups := (len(chunk) + group - 1) / group
	kernels.Parallel(groups, func(g int) {
		var scratch []byte
		for i := g * group; i < min((g+1)*group, len(chunk)); i++ {
			s := &chunk[i]
			s.texts = recordTexts(&s.rec)
			s.setting = settingOf(&s.rec, c.key, !c.anyTools)
			s.exact = exactDigest(&s.rec, c.key)
			s.normal = s.exact
			if c.cfg.Exact.Normalise || !c.cfg.Exact.Enabled {
				s.normal, scratch = normalDigest(&s.texts, c.key, s.setting, scratch)
			}
		}
	})
	var buf []byte
	for i := range chunk {
		s := &chunk[i]
		at := int32(len(c.entries))
		if at < 0 {
			return fmt.Errorf("more than %d records", 1<<31-1)
		}
		s.node = -1
		if _, leaked := c.leaked[at]; !leaked {
			s.node, s.isNew = c.nodeOf(s)
			n := &c.nodes[s.node]
			if n.count == 0 {
				n.first = at
			} else {
				c.entries[n.last].next = at
			}
			n.last = at
			n.count++
		}
		if s.isNew {
			buf = encodeTexts(buf[:0], &s.texts)
			if err := c.texts.add(buf); err != nil {
				return err
			}
		}
		c.ids = append(c.ids, s.rec.ID...)
		e := entry{node: s.node, file: c.files.number(s.rec.Source.File), copies: int32(max(s.rec.Copies, 1)), length: c.length(&s.texts),
			next: -1, against: against, exact: s.exact.id(), row: s.rec.Source.Row, idEnd: int64(len(c.ids))}
		if err := c.keep.rate(&e, &s.rec); err != nil {
			return err
		}
		c.entries = append(c.entries, e)
	}
	if c.index != nil {
		c.index.grow(len(c.nodes))
		kernels.Parallel(groups, func(g int) {
			w := newLexer(c.cfg.MinHash)
			for i := g * group; i < min((g+1)*group, len(chunk)); i++ {
				if s := &chunk[i]; s.isNew {
					h := c.shingles(w, &s.texts)
					sketch(w.sig, h)
					c.index.set(int(s.node), w.sig, len(h) == 0)
				}
			}
		})
	}
	return nil
}

func (c *corpus) nodeOf(s *scanned) (int32, bool) {
	length := c.length(&s.texts)
	if length == 0 { // nothing to compare: equal to no other
		s.normal = sumOf("empty", uint64(len(c.entries)))
	}
	if c.cfg.Exact.Enabled {
		if n, ok := c.byHash[s.normal]; ok {
			return n, false
		}
		c.byHash[s.normal] = int32(len(c.nodes))
	}
	c.nodes = append(c.nodes, node{id: s.normal.id(), setting: s.setting, length: length, split: c.splits.number(s.rec.Split)})
	return int32(len(c.nodes) - 1), true
}

// records yields the records of a node in input order.
func (c *corpus) records(n int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for r := c.nodes[n].first; r >= 0; r = c.entries[r].next {
			if !yield(r) {
				return
			}
		}
	}
}

// id is the id of record i.
func (c *corpus) id(i int32) string {
	start := int64(0)
	if i > 0 {
		start = c.entries[i-1].idEnd
	}
	return string(c.ids[start:c.entries[i].idEnd])
}

// names numbers the few distinct strings of many.
type names struct {
	list []string
	at   map[string]int32
}

func (n *names) number(s string) int32 {
	i, ok := n.at[s]
	if !ok {
		if n.at == nil {
			n.at = map[string]int32{}
		}
		i = int32(len(n.list))
		n.list = append(n.list, s)
		n.at[s] = i
	}
	return i
}

func (c *corpus) length(t *texts) int32 {
	n := 0
	for i, use := range c.key.uses() {
		if use {
			n += len(t[i])
		}
	}
	return int32(min(n, 1<<31-1))
}

// shingles are the hashes of the compared texts; a prompt's shingle is not an answer's.
func (c *corpus) shingles(w *lexer, t *texts) []uint64 {
	w.hashes = w.hashes[:0]
	for i, use := range c.key.uses() {
		if !use {
			continue
		}
		from := len(w.hashes)
		w.text = appendNormal(w.text[:0], t[i])
		w.hashes = w.appendTo(w.hashes, w.text)
		if i > 0 {
			for j := range w.hashes[from:] {
				w.hashes[from+j] = mix64(w.hashes[from+j] + uint64(i))
			}
		}
	}
	return w.hashes
}

// text returns the texts of a node.
func (c *corpus) text(n int) (texts, error) {
	b, err := c.texts.get(n, nil)
	if err != nil {
		return texts{}, err
	}
	return decodeTexts(b), nil
}

// joined is what an encoder sees: the compared texts, one after the other.
func (k Key) joined(t *texts) string {
	out, first := "", true
	for i, use := range k.uses() {
		if !use || t[i] == "" {
			continue
		}
		if !first {
			out += "\n"
		}
		out, first = out+t[i], false
	}
	return out
}

// proposed are the candidates of MinHash.
type proposed struct {
	Bands, Rows, Capped int
	pairs               []uint64
}

// propose takes the candidates from the index and lets go of what only reading needs.
func (c *corpus) propose() {
	c.byHash = nil
	if c.index == nil {
		return
	}
	p := &proposed{Bands: c.index.bands, Rows: c.index.rows}
	p.pairs, p.Capped = c.index.candidates()
	c.index, c.proposed = nil, p
}

// bandIndexBuilder is a bandIndex that grows with the nodes.
type bandIndexBuilder struct{ *bandIndex }

func (b *bandIndexBuilder) grow(n int) {
	for i, k := range b.keys {
		for len(k) < n {
			k = append(k, 0)
		}
		b.keys[i] = k
	}
	for len(b.empty) < n {
		b.empty = append(b.empty, true)
	}
	b.growBytes(n)
}
