package dedup

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math"
	"slices"

	"plumb/datasets"
)

// leakage finds the leaks, unless an earlier run has.
func (k *checkpoints) leakage(ctx context.Context, cfg Config, in Source, t Tools) (cert *Certificate, records map[int32]int32, err error) {
	var found struct {
		Certificate *Certificate
		Records     map[int32]int32
		Texts       map[int64]string
	}
	done, err := k.load("leaks", func(r *bufio.Reader) error { return readHead(r, &found) })
	if err != nil || done {
		if done {
			found.Certificate.texts = found.Texts
		}
		return found.Certificate, found.Records, err
	}
	if found.Certificate, found.Records, err = leakage(ctx, cfg, in, t.Against, t); err != nil {
		return nil, nil, err
	}
	found.Texts = found.Certificate.texts
	return found.Certificate, found.Records, k.save("leaks", func(w *bufio.Writer) error { return writeHead(w, found) })
}

// read is the first pass, up to the candidates of MinHash, unless an earlier run has done it.
func (k *checkpoints) read(ctx context.Context, cfg Config, in Source, leaked map[int32]int32, t *Tools) (*corpus, error) {
	c := newCorpus(cfg, cfg.Key, k.spool("texts", t.TempDir))
	c.leaked = leaked
	p := t.progress("read", 0)
	defer p.Done()
	whole := false
	done, err := k.load("read", func(r *bufio.Reader) (err error) {
		whole, err = c.load(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if done && whole {
		p.Resume(len(c.entries))
		return c, nil
	}
	if err := c.scan(ctx, in, false, p.Add); err != nil {
		return nil, errors.Join(err, c.texts.close())
	}
	c.propose()
	if err := k.save("read", c.save); err != nil {
		return nil, errors.Join(err, c.texts.close())
	}
	return c, nil
}

const edgeBytes = 2*4 + 1 + 2*8

// edges are those of a stage, with its report: from an earlier run, else from find, and then kept.
func (k *checkpoints) edges(stage string, report any, find func() ([]edge, error)) (out []edge, err error) {
	var h struct {
		Edges  int
		Report any
	}
	h.Report = report
	done, err := k.load(stage, func(r *bufio.Reader) (err error) {
		if err := readHead(r, &h); err != nil {
			return err
		}
		out, err = readEdges(r, h.Edges)
		return err
	})
	if err != nil || done {
		return out, err
	}
	if out, err = find(); err != nil {
		return nil, err
	}
	h.Edges = len(out)
	return out, k.save(stage, func(w *bufio.Writer) error {
		if err := writeHead(w, h); err != nil {
			return err
		}
		writeEdges(w, out)
		return w.Flush()
	})
}

var tiers = [...]Tier{TierExact, TierNormalised, TierMinHash, TierVectors}

func writeEdges(w *bufio.Writer, list []edge) {
	var b []byte
	for _, e := range list {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(e.a))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.b))
		b = append(b, byte(tierRank[e.tier]))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.score))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.check))
		w.Write(b) // a bufio.Writer keeps its first error for Flush
	}
}

func readEdges(r *bufio.Reader, n int) ([]edge, error) {
	out := make([]edge, n)
	var b [edgeBytes]byte
	for i := range out {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, err
		}
		out[i] = edge{int32(binary.LittleEndian.Uint32(b[:])), int32(binary.LittleEndian.Uint32(b[4:])), tiers[b[8]],
			math.Float64frombits(binary.LittleEndian.Uint64(b[9:])), math.Float64frombits(binary.LittleEndian.Uint64(b[17:]))}
	}
	return out, nil
}

// savedEdit is an edit with its record.
type savedEdit struct {
	Record, Kept int32
	Stage, ID    string
	Score        float64
}

const verdictBytes = 1 + 2*8 + 3*4

// decisions are those of an earlier run, else what decide says, and then kept. The report comes with them.
func (k *checkpoints) decisions(c *corpus, rep *Report, decide func() (*decisions, error)) (*decisions, error) {
	var h struct {
		Report   *Report
		Stages   []string
		Edits    []savedEdit
		Prompts  []int32 // records whose prompt others take over
		Stars    []int   // members of each
		Verdicts int
	}
	h.Report = rep
	d := &decisions{edits: map[int32]edit{}}
	done, err := k.load("decisions", func(r *bufio.Reader) error {
		cert := rep.Certificate // holds what its JSON does not
		if err := readHead(r, &h); err != nil {
			return err
		}
		rep.Certificate = cert
		for _, e := range h.Edits {
			d.edits[e.Record] = edit{e.Stage, e.Score, e.Kept, e.ID}
		}
		c.prompts = map[int32][]datasets.Message{}
		for _, i := range h.Prompts {
			c.prompts[i] = nil
		}
		for _, n := range h.Stars {
			members, err := readEdges(r, n)
			if err != nil {
				return err
			}
			d.stars = append(d.stars, star{members[0].a, members})
		}
		d.verdicts = make([]verdict, h.Verdicts)
		var b [verdictBytes]byte
		for i := range d.verdicts {
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return err
			}
			i32 := func(at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }
			f64 := func(at int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[at:])) }
			d.verdicts[i] = verdict{h.Stages[b[0]], f64(1), f64(9), i32(17), i32(21), i32(25)}
		}
		return nil
	})
	if err != nil || done {
		return d, err
	}
	if d, err = decide(); err != nil {
		return nil, err
	}
	stages := names{}
	for i := range d.verdicts {
		stages.number(d.verdicts[i].stage)
	}
	h.Stages, h.Verdicts = stages.list, len(d.verdicts)
	for _, r := range slices.Sorted(maps.Keys(d.edits)) {
		e := d.edits[r]
		h.Edits = append(h.Edits, savedEdit{r, e.kept, e.stage, e.id, e.score})
	}
	h.Prompts = slices.Sorted(maps.Keys(c.prompts))
	for _, s := range d.stars {
		h.Stars = append(h.Stars, len(s.members))
	}
	return d, k.save("decisions", func(w *bufio.Writer) error {
		if err := writeHead(w, h); err != nil {
			return err
		}
		for _, s := range d.stars {
			writeEdges(w, s.members)
		}
		var b []byte
		for _, v := range d.verdicts {
			b = append(b[:0], byte(stages.number(v.stage)))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.score))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.check))
			for _, x := range [...]int32{v.kept, v.leak, v.copies} {
				b = binary.LittleEndian.AppendUint32(b, uint32(x))
			}
			w.Write(b)
		}
		return w.Flush()
	})
}
