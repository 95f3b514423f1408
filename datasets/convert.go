package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// ConvertOptions says how files become other files.
type ConvertOptions struct {
	Read       ReadOptions // OnReject and OnUnused are called too, after the row was written beside the output
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
	Rejected int64 // rows in the file of rejects
}

// ConvertReport says what came in and what went where. Rows = Used + Rejected + Unused of the readers; Records =
// Written + Unfit.
type ConvertReport struct {
	Counts
	Written int64            `json:"written"`
	Unfit   int64            `json:"unfit"`          // records that the output format cannot hold; they are among the rejects
	Lost    map[string]int64 `json:"lost,omitempty"` // records written without something that they had, by its name
	Resumed int64            `json:"resumed"`        // records that an earlier run had done
	Formats []string         `json:"formats"`        // of the inputs, in order
	Rejects string           `json:"rejects"`        // the file with the rejected and unused rows; "" when there are none
}

// Convert reads files one after another and writes one file; rejected and unused rows go to RejectPath(out). The output appears whole or not at
// all. With Resume, a conversion that was stopped (by ctx, a kill, or a disk that failed behind a checkpoint) continues from its last
// checkpoint and gives the same bytes as one that was not: rows that are done are passed without being taken apart. Parquet and .feather
// start over, compressed text at the end of its last member, and the rows of grouping formats (oasst) are read again, because trees wait
// for theirs.
func Convert(ctx context.Context, ins []string, out string, opt ConvertOptions) (ConvertReport, error) {
	c := newConversion(ins, []string{out}, out, opt)
	err := c.do(ctx)
	return *c.report, err
}

// conversion deals the records of files out to one file or several.
type conversion struct {
	opt     ConvertOptions
	ins     []string
	beside  string // rejects and checkpoints lie beside this path
	route   func(*Record) int
	outs    []*output
	rejects *RejectWriter
	report  *ConvertReport
	ids     *idSet
	read    int64 // rejects and unused rows of the readers

	from  checkpoint // where an earlier run stopped
	state checkpoint // of this run
	round *round     // the checkpoint that is being made
	idLog *os.File
}

// output is one file that is written.
type output struct {
	path string
	w    *writer
	done int64       // records up to this one are in the file from an earlier run
	last outputState // where it could go on from
}

func newConversion(ins, outs []string, beside string, opt ConvertOptions) *conversion {
	c := &conversion{opt: opt, ins: ins, beside: beside, rejects: NewRejectWriter(beside), ids: newIDSet(), report: &ConvertReport{},
		route: func(*Record) int { return 0 }}
	if c.opt.Checkpoint <= 0 {
		c.opt.Checkpoint = 50_000
	}
	for _, path := range outs {
		c.outs = append(c.outs, &output{path: path})
	}
	return c
}

// do runs the conversion from its start, or from where an earlier run left it, to its end.
func (c *conversion) do(ctx context.Context) error {
	if len(c.ins) == 0 {
		return errors.New("no data file was named")
	}
	at, err := c.start()
	if err == nil {
		err = c.run(ctx, at)
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil && c.opt.Resume && ctx.Err() != nil {
		c.leave()
		return err
	}
	if c.goesOn(err) {
		c.leave()
		return fmt.Errorf("%w (what is done lies beside the output: started again, the conversion goes on)", err)
	}
	if err != nil {
		c.discard()
	}
	c.forget()
	return err
}

// discard removes what was written.
func (c *conversion) discard() {
	for _, o := range c.outs {
		if o.w != nil {
			o.w.Discard()
		}
	}
	c.rejects.discard()
}

// leave closes what was written and lets it lie for a later run.
func (c *conversion) leave() {
	for _, o := range c.outs {
		if o.w != nil {
			o.w.file.Close()
		}
	}
	c.rejects.leave()
	if c.idLog != nil {
		c.idLog.Close()
	}
}

func (c *conversion) run(ctx context.Context, at position) error {
	names := SourceNames(c.ins)
	for i := at.File; i < len(c.ins); i++ {
		o := c.opt.Read
		o.ids = c.ids
		if o.Source == "" || len(c.ins) > 1 {
			o.Source = names[i]
		}
		o.OnReject, o.OnUnused = c.reject, c.reject
		if c.opt.OnProgress != nil {
			o.OnProgress = func(file string, done, total int64) {
				c.opt.OnProgress(Progress{file, done, total, c.report.Records, c.rejects.Count()})
			}
		}
		if err := c.file(ctx, i, o, at); err != nil {
			return err
		}
		at = position{}
	}
	return nil
}

// file takes one file, from a position in it.
func (c *conversion) file(ctx context.Context, i int, o ReadOptions, at position) error {
	opened, err := Open(c.ins[i], o)
	if err != nil {
		return err
	}
	defer opened.Close()
	r := opened.(*reader)
	if at.Counts.Rows > 0 {
		if err := r.skipTo(at); err != nil {
			return err
		}
	}
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
		k := c.route(&rec)
		if c.report.Records > c.outs[k].done {
			if err := c.write(k, rec); err != nil {
				return err
			}
		}
		if err := c.mark(r, i, before, k); err != nil {
			return err
		}
	}
	n := r.Counts()
	if n.Rows != n.Used+n.Rejected+n.Unused {
		return fmt.Errorf("%s: %d rows were read, %d used, %d rejected and %d unused: rows are lost", c.ins[i], n.Rows, n.Used, n.Rejected, n.Unused)
	}
	c.report.Rows, c.report.Used = before.Rows+n.Rows, before.Used+n.Used
	c.report.Rejected, c.report.Unused = before.Rejected+n.Rejected, before.Unused+n.Unused
	c.report.Formats = append(c.report.Formats, r.Format())
	return nil
}

// reject takes a row that a reader refused or did not use, unless an earlier run has written it.
func (c *conversion) reject(r Reject) {
	if c.read++; c.read > c.from.ReadRejects {
		c.tell(r)
	}
}

func (c *conversion) tell(r Reject) {
	c.rejects.Add(r)
	taker := c.opt.Read.OnReject
	if r.Unused {
		taker = c.opt.Read.OnUnused
	}
	if taker != nil {
		taker(r)
	}
}

// write gives a record to an output; one that does not fit is rejected.
func (c *conversion) write(k int, rec Record) error {
	err := c.outs[k].w.Write(rec)
	var unfit *UnfitError
	if !errors.As(err, &unfit) {
		return err
	}
	if c.report.Records <= c.from.Records {
		return nil // an earlier run has told it
	}
	c.report.Unfit++
	text, err := json.Marshal(toPlumb(&rec))
	if err != nil {
		return fmt.Errorf("%s:%d: %w", rec.Source.File, rec.Source.Row, err)
	}
	c.tell(newReject(rec.Source.File, rec.Source.Row, unfit.Error(), text))
	return nil
}

// finish holds the counts against each other and puts all files in their places.
func (c *conversion) finish() error {
	rep := c.report
	for _, o := range c.outs {
		rep.Written += o.w.n
		for what, n := range o.w.lost {
			if rep.Lost == nil {
				rep.Lost = map[string]int64{}
			}
			rep.Lost[what] += n
		}
	}
	if rep.Records != rep.Written+rep.Unfit {
		return fmt.Errorf("%d records were read, %d written and %d refused: records are lost", rep.Records, rep.Written, rep.Unfit)
	}
	// Everything is on the disk before anything is in its place: a disk that is full now leaves what a later run needs.
	if err := c.rejects.seal(); err != nil {
		return err
	}
	for _, o := range c.outs {
		if err := o.w.seal(); err != nil {
			return err
		}
	}
	// Rejects first: an output that is there has its rejects beside it.
	if err := c.rejects.publish(); err != nil {
		return err
	}
	if c.rejects.Count() > 0 {
		rep.Rejects = c.rejects.Path()
	}
	placed := []string{c.rejects.Path()}
	for _, o := range c.outs {
		if err := publish(o.path); err != nil {
			for _, path := range placed { // back, for a later run or for discard
				os.Rename(path, path+partialSuffix)
			}
			return err
		}
		placed = append(placed, o.path)
	}
	return nil
}
