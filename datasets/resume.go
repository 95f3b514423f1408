package datasets

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"syscall"
	"time"
)

// checkpoint is the state of a conversion that was interrupted. It lies beside the partial outputs. Outputs can go on from different
// records, because each can only between its batches or members; the reader goes back to the last position before all of them.
type checkpoint struct {
	Inputs      []inputState  `json:"inputs"`
	Options     string        `json:"options"`
	Records     int64         `json:"records"` // read so far
	ReadRejects int64         `json:"read_rejects"`
	Unfit       int64         `json:"unfit"`
	RejectBytes int64         `json:"reject_bytes"`
	Outputs     []outputState `json:"outputs"`
	Positions   []position    `json:"positions"` // ascending; the start is not among them
	IDFiles     []string      `json:"id_files"`
}

type inputState struct {
	Name  string    `json:"name"`
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
}

// outputState is a point that an output can go on from: records up to Records are in its first Bytes.
type outputState struct {
	Records int64            `json:"records"`
	Written int64            `json:"written"`
	Bytes   int64            `json:"bytes"`
	Lost    map[string]int64 `json:"lost,omitempty"`
}

// position is a place between two rows of an input, and what was known there.
type position struct {
	File    int              `json:"file"`
	Counts  Counts           `json:"counts"` // of this file
	Before  Counts           `json:"before"` // of the files before it
	Records int64            `json:"records"`
	Rejects int64            `json:"rejects"`
	Format  string           `json:"format"`
	Formats []string         `json:"formats"`
	IDs     int64            `json:"ids"`
	Made    map[string]int64 `json:"made,omitempty"`
}

// CheckpointPath is where a resumable conversion keeps its state until it is done.
func CheckpointPath(out string) string { return out + ".checkpoint.json" }

// idPath is where it keeps the ids that it has seen.
func idPath(out string) string { return out + ".checkpoint.ids" }

// start opens the outputs, where an earlier run left them if that fits, and says where to begin.
func (c *conversion) start() (position, error) {
	for _, p := range c.ins {
		info, err := os.Stat(p)
		if err != nil {
			return position{}, err
		}
		c.state.Inputs = append(c.state.Inputs, inputState{p, info.Size(), info.ModTime()})
	}
	r := c.opt.Read
	c.state.Options = fmt.Sprintf("%s|%s|%d|%s|%s|%d|%s|%d|%s|%s", r.Format, r.Source, r.MaxRow, r.Pairs, r.DuplicateIDs, r.Kind, c.opt.Write.Format,
		c.opt.Write.Kind, c.paths(), c.state.Options)
	c.ids.keep = c.opt.Resume
	if c.opt.Resume && c.earlier() {
		if at, err := c.resume(); err == nil {
			return at, nil
		}
		// What an earlier run left is gone or shorter than it should be: start over.
		c.leave()
		*c.report = ConvertReport{}
		c.from, c.rejects, c.idLog, c.read = checkpoint{}, NewRejectWriter(c.beside), nil, 0
		c.ids = newIDSet()
		c.ids.keep = true
		for _, o := range c.outs {
			*o = output{path: o.path}
		}
	}
	c.forget()
	for _, o := range c.outs {
		w, err := Create(o.path, c.opt.Write)
		if err != nil {
			return position{}, err
		}
		o.w = w.(*writer)
	}
	return position{}, nil
}

func (c *conversion) paths() (list []string) {
	for _, o := range c.outs {
		list = append(list, o.path)
	}
	return list
}

// earlier reads the checkpoint of an earlier run and tells whether it belongs to this conversion.
func (c *conversion) earlier() bool {
	b, err := os.ReadFile(CheckpointPath(c.beside))
	if err != nil || json.Unmarshal(b, &c.from) != nil {
		return false
	}
	same := c.from.Options == c.state.Options && len(c.from.Inputs) == len(c.state.Inputs) && len(c.from.Outputs) == len(c.outs)
	for i := 0; same && i < len(c.state.Inputs); i++ {
		a, b := c.from.Inputs[i], c.state.Inputs[i]
		same = a.Name == b.Name && a.Size == b.Size && a.Mtime.Equal(b.Mtime)
	}
	if !same {
		c.from = checkpoint{}
	}
	return same
}

// resume opens the partial files of the checkpoint in c.from.
func (c *conversion) resume() (position, error) {
	least := c.from.Records
	for i, o := range c.outs {
		o.last = c.from.Outputs[i]
		o.done = o.last.Records
		least = min(least, o.done)
		w, err := openWriter(o.path, c.opt.Write, &o.last)
		if err != nil {
			return position{}, err
		}
		o.w = w
	}
	if err := c.rejects.resume(c.from.RejectBytes, c.from.ReadRejects+c.from.Unfit); err != nil {
		return position{}, err
	}
	var at position
	for _, p := range c.from.Positions {
		if p.Records <= least {
			at = p
		}
	}
	if err := c.loadIDs(at.IDs); err != nil {
		return position{}, err
	}
	maps.Copy(c.ids.made, at.Made)
	if at.Records > 0 {
		c.state.Positions = []position{at}
	}
	c.read = at.Rejects
	*c.report = ConvertReport{Counts: at.Before, Unfit: c.from.Unfit, Resumed: least, Formats: at.Formats}
	c.report.Records = at.Records
	return at, nil
}

// loadIDs takes n entries from the file of ids and goes on behind them.
func (c *conversion) loadIDs(n int64) error {
	f, err := os.OpenFile(idPath(c.beside), os.O_RDWR, 0o666)
	if n == 0 && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.idLog = f
	if err := cutTo(f, n*idEntry); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReaderSize(f, 1<<20)
	var entry [idEntry]byte
	for ; n > 0; n-- {
		if _, err := io.ReadFull(in, entry[:]); err != nil {
			return err
		}
		c.ids.restore(entry[:])
	}
	c.ids.files = append([]string(nil), c.from.IDFiles...)
	_, err = f.Seek(0, io.SeekEnd)
	return err
}

// round is a checkpoint in the making: every output gets the time until the next one is due to come to a point that it can go on from.
type round struct {
	at      int64
	settled []bool
}

// mark is called behind every record, which went to output k, and makes the checkpoints.
func (c *conversion) mark(r *reader, file int, before Counts, k int) error {
	if !c.opt.Resume {
		return nil
	}
	now := c.report.Records
	if c.round == nil {
		if now-c.state.Records < c.opt.Checkpoint || now <= c.from.Records || len(r.pending) > 0 {
			return nil
		}
		c.round = &round{at: now, settled: make([]bool, len(c.outs))}
		if r.between() {
			c.state.Positions = append(c.state.Positions, position{File: file, Counts: r.counts, Before: before, Records: now, Rejects: c.read,
				Format: r.format, Formats: append([]string(nil), c.report.Formats...), IDs: c.ids.count, Made: maps.Clone(c.ids.made)})
		}
		for k := range c.outs {
			if err := c.settle(k); err != nil {
				return err
			}
		}
	} else if !c.round.settled[k] {
		if err := c.settle(k); err != nil {
			return err
		}
	}
	for _, ok := range c.round.settled {
		if !ok && now-c.round.at < c.opt.Checkpoint {
			return nil
		}
	}
	c.round = nil
	return c.save()
}

// settle notes where an output stands, if it can go on from there.
func (c *conversion) settle(k int) error {
	o := c.outs[k]
	ok, err := o.w.sink.settle()
	if err != nil || !ok {
		return err
	}
	end, err := o.w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	c.round.settled[k] = true
	o.last = outputState{Records: c.report.Records, Written: o.w.n, Bytes: end, Lost: maps.Clone(o.w.lost)}
	return nil
}

// save writes the checkpoint.
func (c *conversion) save() error {
	s := &c.state
	s.Records, s.ReadRejects, s.Unfit, s.IDFiles, s.Outputs = c.report.Records, c.read, c.report.Unfit, c.ids.files, nil
	least := s.Records
	for _, o := range c.outs {
		if err := o.w.file.Sync(); err != nil {
			return err
		}
		s.Outputs = append(s.Outputs, o.last)
		least = min(least, o.last.Records)
	}
	for len(s.Positions) > 1 && s.Positions[1].Records <= least {
		s.Positions = s.Positions[1:]
	}
	var err error
	if s.RejectBytes, err = c.rejects.settle(); err != nil {
		return err
	}
	if err := c.saveIDs(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := CheckpointPath(c.beside)
	f, err := os.Create(path + partialSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return commit(path, seal(f, err))
}

func (c *conversion) saveIDs() error {
	if len(c.ids.fresh) == 0 {
		return nil
	}
	if c.idLog == nil {
		f, err := os.Create(idPath(c.beside))
		if err != nil {
			return err
		}
		c.idLog = f
	}
	if _, err := c.idLog.Write(c.ids.fresh); err != nil {
		return err
	}
	c.ids.fresh = c.ids.fresh[:0]
	return c.idLog.Sync()
}

// goesOn tells whether a later run can go on after an error: one of the disk, behind a checkpoint.
func (c *conversion) goesOn(err error) bool {
	var disk syscall.Errno
	if !c.opt.Resume || !errors.As(err, &disk) {
		return false
	}
	_, err = os.Stat(CheckpointPath(c.beside))
	return err == nil
}

// forget removes the checkpoint.
func (c *conversion) forget() {
	if c.idLog != nil {
		c.idLog.Close()
		c.idLog = nil
	}
	os.Remove(CheckpointPath(c.beside))
	os.Remove(idPath(c.beside))
}

// place syncs a file and tells where its end is.
func place(f *os.File) (int64, error) {
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekCurrent)
}
