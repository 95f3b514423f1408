package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// reader turns the rows of one file into records.
type reader struct {
	path    string
	opt     ReadOptions
	in      *input
	rows    rowSource    // rows that still need a meaning
	recs    recordSource // or records, from a file in our own schema
	from    Table        // what both read from, when it is one
	format  string
	pending []Record
	group   grouper
	counts  Counts
	drained bool // no row is left, but groups may be
	ended   bool

	container container
}

// recordSource yields records with the number of their row; a bad row is a *badRow error.
type recordSource interface {
	nextRecord() (Record, int64, error)
	Close() error
}

// badRow is the error for one row of a recordSource.
type badRow struct {
	n      int64
	reason string
	text   string
}

func (b *badRow) Error() string { return fmt.Sprintf("row %d: %s", b.n, b.reason) }

// grouper collects rows that only together make records (the messages of one OASST tree).
type grouper interface {
	// add takes a row and gives the group that ends by it, if one does, and the row itself if it can be in none.
	add(n int64, f fields) group
	// flush ends the next waiting group; not ok when none is left.
	flush() (g group, ok bool)
}

// group is a group that has ended. Source.Row of a record says where it stood.
type group struct {
	recs  []Record
	parts [][]int  // of each record: which of rows it is made of
	rows  []Reject // the rows, each as the reject that it is when no record holds it, or as Unused
}

// Counts tells what was read so far.
func (r *reader) Counts() Counts { return r.counts }

// Format tells the format, detected or given.
func (r *reader) Format() string { return r.format }

// Close closes the file.
func (r *reader) Close() error {
	if r.recs != nil {
		return r.recs.Close()
	}
	return r.rows.Close()
}

// Next gives the next record.
func (r *reader) Next() (Record, error) {
	for {
		if len(r.pending) > 0 {
			rec := r.pending[0]
			r.pending[0] = Record{}
			r.pending = r.pending[1:]
			r.counts.Records++
			return rec, nil
		}
		if r.ended {
			return Record{}, io.EOF
		}
		if err := r.advance(); err != nil {
			return Record{}, err
		}
	}
}

// advance reads one more row into pending.
func (r *reader) advance() error {
	if r.opt.OnProgress != nil && r.counts.Rows%1024 == 0 {
		r.opt.OnProgress(r.path, r.in.read.n, r.in.size)
	}
	if r.recs != nil {
		return r.advanceRecord()
	}
	var row row
	err := io.EOF
	if !r.drained {
		row, err = r.rows.next()
	}
	if errors.Is(err, io.EOF) {
		r.drained = true
		if r.group != nil {
			if g, ok := r.group.flush(); ok {
				return r.accept(g)
			}
		}
		r.end()
		return nil
	}
	if err != nil {
		r.ended = true
		return fmt.Errorf("%s: after row %d: %w", r.path, r.counts.Rows, err)
	}
	r.counts.Rows++
	if row.bad != "" {
		return r.reject(row.n, row.bad, row.raw)
	}
	f, err := parseFields(row)
	if err != nil {
		return r.reject(row.n, err.Error(), row.raw)
	}
	if r.opt.columns != nil {
		r.opt.columns.add(f)
	}
	if r.format == "" {
		name := detect(f)
		if name == "" {
			return r.reject(row.n, "no known format has the fields "+f.names(), row.raw)
		}
		r.setFormat(name)
	} else if r.group == nil && formats[r.format].group != nil {
		r.setFormat(r.format)
	}
	if r.group != nil {
		f.raw = row.raw
		return r.accept(r.group.add(row.n, f))
	}
	recs, err := formats[r.format].decode(f, &r.opt)
	if err != nil {
		reason := err.Error()
		if other := detect(f); other != "" && other != r.format {
			reason = fmt.Sprintf("%s (the file is read as %s; this row looks like %s)", reason, r.format, other)
		}
		return r.reject(row.n, reason, row.raw)
	}
	if r.opt.Format == "" || r.opt.Format == "auto" {
		if other := r.otherwise(f, recs); other != "" {
			return r.reject(row.n, fmt.Sprintf("the file is read as %s; this row looks like %s, which would give something else", r.format, other), row.raw)
		}
	}
	return r.finish(row.n, recs, row.raw)
}

// otherwise names the format that a row of a detected file looks like, if that is another one and reads the row another way.
func (r *reader) otherwise(f fields, recs []Record) string {
	other := detect(f)
	if other == "" || other == r.format {
		return ""
	}
	if formats[other].group != nil {
		return other
	}
	alt, err := formats[other].decode(f, &r.opt)
	if err != nil {
		return ""
	}
	same := len(alt) == len(recs)
	for i := 0; same && i < len(recs); i++ {
		same = alt[i].ContentHash() == recs[i].ContentHash()
	}
	if same {
		return ""
	}
	return other
}

func (r *reader) setFormat(name string) {
	r.format = name
	if make := formats[name].group; make != nil {
		r.group = make(&r.opt)
	}
}

// advanceRecord reads one row of a file in our own schema.
func (r *reader) advanceRecord() error {
	rec, n, err := r.recs.nextRecord()
	var bad *badRow
	switch {
	case errors.Is(err, io.EOF):
		r.end()
		return nil
	case errors.As(err, &bad):
		r.counts.Rows++
		return r.reject(bad.n, bad.reason, []byte(bad.text))
	case err != nil:
		r.ended = true
		return fmt.Errorf("%s: after row %d: %w", r.path, r.counts.Rows, err)
	}
	r.counts.Rows++
	text := func() []byte {
		line, err := json.Marshal(toPlumb(&rec))
		if err != nil {
			return []byte(err.Error())
		}
		return line
	}
	if reason := rec.fault(r.opt.Kind); reason != "" {
		return r.reject(n, reason, text())
	}
	if reason := r.identify(&rec, n, 0); reason != "" {
		return r.reject(n, reason, text())
	}
	r.counts.Used++
	r.pending = append(r.pending[:0], rec)
	return nil
}

// finish gives the records of one row their ids and provenance, and lets them out.
func (r *reader) finish(n int64, recs []Record, raw []byte) error {
	if len(recs) == 0 {
		return r.reject(n, "nothing to learn from in this row", raw)
	}
	for i := range recs {
		if reason := recs[i].fault(r.opt.Kind); reason != "" {
			return r.reject(n, reason, raw)
		}
	}
	part := 0
	for i := range recs {
		if len(recs) > 1 {
			part = i + 1
		}
		if reason := r.identify(&recs[i], n, part); reason != "" {
			return r.reject(n, reason, raw)
		}
	}
	r.counts.Used++
	r.pending = append(r.pending[:0], recs...)
	return nil
}

// identify fills id, provenance and copies; a reason says why the id cannot stand.
func (r *reader) identify(rec *Record, n int64, part int) string {
	given := rec.ID != ""
	if !given {
		rec.ID = r.opt.Source + ":" + strconv.FormatInt(n, 10)
	}
	if part > 0 {
		rec.ID += "#" + strconv.Itoa(part)
	}
	if first, seen := r.opt.ids.take(rec.ID, r.opt.Source, n, given); seen {
		if given && r.opt.DuplicateIDs != "rename" { // a row is not refused for an id that we made
			return fmt.Sprintf("duplicate id %q, first seen in %s:%d", rec.ID, first.file, first.row)
		}
		rec.ID = r.opt.ids.rename(rec.ID, r.opt.Source, n)
	}
	if rec.Source == (Provenance{}) {
		rec.Source = Provenance{File: r.opt.Source, Row: n, Hash: rec.ContentHash()}
	}
	if rec.Copies == 0 {
		rec.Copies = 1
	}
	return ""
}

// accept takes what a grouper gives. A row is used when a record that stands holds it; else it is rejected, for what is wrong with a
// record that would have held it where there is one. Without one, a row with which nothing is wrong is unused.
func (r *reader) accept(g group) error {
	used := make([]bool, len(g.rows))
	why := make([]string, len(g.rows))
	r.pending = r.pending[:0]
	for i, rec := range g.recs {
		n := rec.Source.Row
		rec.Source = Provenance{}
		reason := rec.fault(r.opt.Kind)
		if reason == "" {
			reason = r.identify(&rec, n, 0)
		}
		if reason == "" {
			r.pending = append(r.pending, rec)
		}
		for _, k := range g.parts[i] {
			if reason == "" {
				used[k] = true
			} else if why[k] == "" {
				why[k] = reason
			}
		}
	}
	var first error
	for k, row := range g.rows {
		if used[k] {
			r.counts.Used++
			continue
		}
		if why[k] != "" {
			row.Reason, row.Unused = why[k], false
		}
		if row.Unused {
			r.unused(row)
			continue
		}
		if err := r.reject(row.Row, row.Reason, []byte(row.Text)); first == nil {
			first = err
		}
	}
	return first
}

// end is the end of the file.
func (r *reader) end() {
	r.ended = true
	if r.opt.OnProgress != nil {
		r.opt.OnProgress(r.path, r.in.size, r.in.size)
	}
}

// reject hands a bad row to the taker, or makes it the error of Next.
func (r *reader) reject(n int64, reason string, text []byte) error {
	r.counts.Rejected++
	rej := newReject(r.opt.Source, n, reason, text)
	if r.opt.OnReject == nil {
		return &RejectError{rej}
	}
	r.opt.OnReject(rej)
	return nil
}

// unused counts a row that is in no record although nothing is wrong with it.
func (r *reader) unused(row Reject) {
	r.counts.Unused++
	if r.opt.OnUnused != nil {
		told := newReject(r.opt.Source, row.Row, row.Reason, []byte(row.Text))
		told.Unused = true
		r.opt.OnUnused(told)
	}
}

// fault says why a decoded record cannot be used, or "".
func (r *Record) fault(want Kind) string {
	k := r.Kind()
	if k == Empty {
		return "neither prompt nor answer has any text"
	}
	if want != AnyKind && k != want {
		return fmt.Sprintf("expected a record of kind %s, this is %s", want, k)
	}
	return ""
}

// skipper is a source that can pass rows without looking into them.
type skipper interface{ skip(n int64) error }

// skipTo passes the rows that an earlier run took, and goes on as if it had read them.
func (r *reader) skipTo(p position) error {
	var err error
	switch s := any(r.rows).(type) {
	case nil:
		err = r.recs.(skipper).skip(p.Counts.Rows)
	case skipper:
		err = s.skip(p.Counts.Rows)
	default:
		for n := p.Counts.Rows; n > 0 && err == nil; n-- {
			_, err = r.rows.next()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: passing the %d rows that an earlier run had read: %w", r.path, p.Counts.Rows, err)
	}
	r.counts = p.Counts
	if r.format == "" {
		r.format = p.Format
	}
	return nil
}

// between reports whether the reader stands between two rows and holds none of them.
func (r *reader) between() bool { return len(r.pending) == 0 && r.group == nil }
