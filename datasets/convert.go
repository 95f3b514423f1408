package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ConvertOptions says how files become one file.
type ConvertOptions struct {
	Read       ReadOptions // OnReject is called too, after the reject was written beside the output
	Write      WriteOptions
	Resume     bool           // leave checkpoints, and go on from the last one of an earlier run over the same inputs
	Checkpoint int64          // records between checkpoints; default 50,000
	OnProgress func(Progress) // called every 1,024 rows or so
}

// Progress is how far a conversion is.
type Progress struct {
	File     string
	Bytes    int64 // of the file, as it lies on disk
	Size     int64
	Records  int64 // over all files
	Rejected int64
}

// ConvertReport says what came in and what went where. Rows = Used + Rejected of the readers; Records = Written + Unfit.
type ConvertReport struct {
	Counts
	Written int64    `json:"written"`
	Unfit   int64    `json:"unfit"`   // records that the output format cannot hold; they are among the rejects
	Resumed int64    `json:"resumed"` // records that an earlier run had done
	Formats []string `json:"formats"` // of the inputs, in order
	Rejects string   `json:"rejects"` // the file with the rejected rows; "" when there are none
}

// checkpoint is the state of a conversion that was interrupted, beside its partial output.
type checkpoint struct {
	Inputs      []inputState `json:"inputs"`
	Options     string       `json:"options"`
	Records     int64        `json:"records"` // read so far
	ReadRejects int64        `json:"read_rejects"`
	Unfit       int64        `json:"unfit"`
	Written     int64        `json:"written"`
	Bytes       int64        `json:"bytes"`
	RejectBytes int64        `json:"reject_bytes"`
}

type inputState struct {
	Name  string    `json:"name"`
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
}

// CheckpointPath is where a resumable conversion keeps its state until it is done.
func CheckpointPath(out string) string { return out + ".checkpoint.json" }

// Convert reads files one after another and writes one file; rejected rows go to RejectPath(out). The output appears whole or not at
// all. With Resume, a conversion that was stopped (by ctx or by a kill) continues from its last checkpoint and gives the same bytes as
// one that was not; it reads the inputs again from the start, because duplicate ids must be known, but writes only what is missing.
// Parquet, .feather and compressed text within one member start over.
func Convert(ctx context.Context, ins []string, out string, opt ConvertOptions) (ConvertReport, error) {
	c := &conversion{opt: opt, out: out, rejects: NewRejectWriter(out)}
	if len(ins) == 0 {
		return c.report, errors.New("no data file was named")
	}
	if c.opt.Checkpoint <= 0 {
		c.opt.Checkpoint = 50_000
	}
	if err := c.start(ins); err != nil {
		return c.report, err
	}
	err := c.run(ctx, ins)
	if err == nil {
		err = c.finish()
	} else if !opt.Resume || ctx.Err() == nil {
		c.w.Discard()
		c.rejects.discard()
		os.Remove(CheckpointPath(out))
	} else {
		c.w.file.Close()
		c.rejects.leave()
	}
	if err == nil {
		os.Remove(CheckpointPath(out))
	}
	return c.report, err
}

type conversion struct {
	opt     ConvertOptions
	out     string
	w       *writer
	rejects *RejectWriter
	report  ConvertReport
	state   checkpoint
	skip    checkpoint // what an earlier run did
	read    int64      // rejects of the readers in this run
	since   int64      // records since the last checkpoint
}

// start opens the output, where an earlier run left it if that fits.
func (c *conversion) start(ins []string) error {
	kind, compression, err := containerOf(c.out)
	if err != nil {
		return err
	}
	for _, p := range ins {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		c.state.Inputs = append(c.state.Inputs, inputState{p, info.Size(), info.ModTime()})
	}
	r := c.opt.Read
	c.state.Options = fmt.Sprintf("%s|%s|%d|%s|%s|%d|%s|%d|%s", r.Format, r.Source, r.MaxRow, r.Pairs, r.DuplicateIDs, r.Kind, c.opt.Write.Format,
		c.opt.Write.Kind, c.out)
	if c.opt.Resume && c.earlier() {
		w, err := create(c.out, c.opt.Write, kind, compression, formats[c.writeFormat(kind)], &c.skip)
		if err == nil {
			err = c.rejects.resume(c.skip.RejectBytes, c.skip.ReadRejects+c.skip.Unfit)
			if err == nil {
				c.w = w
				c.report.Resumed, c.report.Written, c.report.Unfit = c.skip.Records, c.skip.Written, c.skip.Unfit
				return nil
			}
			w.file.Close()
		}
		c.skip = checkpoint{} // the partial files are gone or shorter than they should be: start over
		c.rejects = NewRejectWriter(c.out)
	}
	os.Remove(CheckpointPath(c.out))
	w, err := Create(c.out, c.opt.Write)
	if err != nil {
		return err
	}
	c.w = w.(*writer)
	return nil
}

func (c *conversion) writeFormat(kind container) string {
	if c.opt.Write.Format != "" {
		return c.opt.Write.Format
	}
	return defaultFormat(kind)
}

// earlier reads the checkpoint of an earlier run and tells whether it belongs to this conversion.
func (c *conversion) earlier() bool {
	b, err := os.ReadFile(CheckpointPath(c.out))
	if err != nil || json.Unmarshal(b, &c.skip) != nil {
		return false
	}
	same := c.skip.Options == c.state.Options && len(c.skip.Inputs) == len(c.state.Inputs) && c.skip.Written > 0
	for i := 0; same && i < len(c.state.Inputs); i++ {
		a, b := c.skip.Inputs[i], c.state.Inputs[i]
		same = a.Name == b.Name && a.Size == b.Size && a.Mtime.Equal(b.Mtime)
	}
	if !same {
		c.skip = checkpoint{}
	}
	return same
}

func (c *conversion) run(ctx context.Context, ins []string) error {
	names := SourceNames(ins)
	ids := newIDSet()
	for i, path := range ins {
		o := c.opt.Read
		o.ids = ids
		if o.Source == "" || len(ins) > 1 {
			o.Source = names[i]
		}
		o.OnReject = c.reject
		if c.opt.OnProgress != nil {
			o.OnProgress = func(done, total int64) {
				c.opt.OnProgress(Progress{path, done, total, c.report.Records, c.rejects.Count()})
			}
		}
		if err := c.file(ctx, path, o); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversion) file(ctx context.Context, path string, o ReadOptions) error {
	r, err := Open(path, o)
	if err != nil {
		return err
	}
	defer r.Close()
	before := c.report.Counts
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.report.Records++
		if c.report.Records > c.skip.Records {
			if err := c.write(rec); err != nil {
				return err
			}
		}
	}
	n := CountsOf(r)
	if n.Rows != n.Used+n.Rejected {
		return fmt.Errorf("%s: %d rows were read, %d used and %d rejected: rows are lost", path, n.Rows, n.Used, n.Rejected)
	}
	c.report.Rows, c.report.Used, c.report.Rejected = before.Rows+n.Rows, before.Used+n.Used, before.Rejected+n.Rejected
	c.report.Formats = append(c.report.Formats, FormatOf(r))
	return nil
}

// reject takes a row that a reader refused, unless an earlier run has written it.
func (c *conversion) reject(r Reject) {
	c.read++
	if c.read <= c.skip.ReadRejects {
		return
	}
	c.rejects.Add(r)
	if c.opt.Read.OnReject != nil {
		c.opt.Read.OnReject(r)
	}
}

func (c *conversion) write(rec Record) error {
	err := c.w.Write(rec)
	var unfit *UnfitError
	switch {
	case errors.As(err, &unfit):
		c.report.Unfit++
		text, jerr := json.Marshal(toPlumb(&rec))
		if jerr != nil {
			return jerr
		}
		rej := newReject(rec.Source.File, rec.Source.Row, unfit.Error(), text)
		c.rejects.Add(rej)
		if c.opt.Read.OnReject != nil {
			c.opt.Read.OnReject(rej)
		}
	case err != nil:
		return err
	default:
		c.report.Written++
	}
	c.since++
	if c.opt.Resume && c.since >= c.opt.Checkpoint {
		return c.checkpoint()
	}
	return nil
}

// checkpoint writes the state, if the output is at a point that it can go on from.
func (c *conversion) checkpoint() error {
	ok, err := c.w.sink.settle()
	if err != nil || !ok {
		return err
	}
	c.since = 0
	s := c.state
	s.Records, s.ReadRejects, s.Unfit, s.Written = c.report.Records, c.read, c.report.Unfit, c.report.Written
	if s.Bytes, err = place(c.w.file); err != nil {
		return err
	}
	if s.RejectBytes, err = c.rejects.settle(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.Create(CheckpointPath(c.out) + partialSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return commit(f, CheckpointPath(c.out), err)
}

// place syncs a file and tells where its end is.
func place(f *os.File) (int64, error) {
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekCurrent)
}

func (c *conversion) finish() error {
	if c.report.Records != c.report.Written+c.report.Unfit {
		return fmt.Errorf("%d records were read, %d written and %d refused: records are lost", c.report.Records, c.report.Written, c.report.Unfit)
	}
	// Rejects first: an output that is there has its rejects beside it.
	if err := c.rejects.Close(); err != nil {
		c.w.Discard()
		return err
	}
	if c.rejects.Count() > 0 {
		c.report.Rejects = c.rejects.Path()
	}
	return c.w.Close()
}
