package datasets

import (
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
)

// Table is a file of Arrow record batches that is read in order. Next ends with io.EOF; a batch is valid until the next call.
type Table interface {
	Schema() *arrow.Schema
	Next() (arrow.Record, error)
	Close() error
}

// streamTable reads an Arrow IPC stream.
type streamTable struct {
	in *input
	r  *ipc.Reader
}

func openArrowStream(in *input) (Table, error) { return openStream(in, &messages{r: in.buf}) }

func openStream(in *input, m *messages) (t Table, err error) {
	defer recoverArrow(&err)
	r, err := ipc.NewReaderFromMessageReader(m)
	if err != nil {
		return nil, fmt.Errorf("not a whole Arrow IPC stream: %w", err)
	}
	return &streamTable{in: in, r: r}, nil
}

func (t *streamTable) Schema() *arrow.Schema { return t.r.Schema() }

func (t *streamTable) Next() (rec arrow.Record, err error) {
	defer recoverArrow(&err)
	rec, err = t.r.Read()
	if err == io.EOF {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("broken Arrow IPC stream: %w", err)
	}
	if rec.NumRows() > maxBatch {
		return nil, fmt.Errorf("broken Arrow IPC stream: a batch of %d rows", rec.NumRows())
	}
	return rec, nil
}

func (t *streamTable) Close() error {
	t.r.Release()
	return t.in.Close()
}

// recoverArrow turns a panic of the Arrow library over hostile bytes into an error.
func recoverArrow(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("not a valid Arrow file: %v", p)
	}
}

// table finishes Open over a table: ours is read column by column, a foreign one row by row as if it were JSON.
func (r *reader) table(t Table, err error, in *input) (Reader, error) {
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("%s: %w", r.path, err)
	}
	r.from = t
	version, err := schemaVersion(t.Schema())
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("%s: %w", r.path, err)
	}
	if version > 0 && (r.format == "" || r.format == "plumb") {
		r.format = "plumb"
	}
	if r.format == "plumb" && version > 0 && t.Schema().NumFields() == Schema().NumFields() { // else somebody added columns: they become metadata
		r.recs = &ownTable{t: t}
		return r, nil
	}
	r.rows = &foreignTable{t: t}
	return r, nil
}

// ownTable reads records from tables in our schema.
type ownTable struct {
	t      Table
	batch  *ownBatch
	at     int
	n      int64
	filled []int64 // rows of each column that are not null
}

func (o *ownTable) Close() error { return o.t.Close() }

// fill makes sure that a row is at hand.
func (o *ownTable) fill() error {
	for o.batch == nil || o.at >= o.batch.rows {
		b, err := o.t.Next()
		if err != nil {
			return err
		}
		if o.batch, err = newOwnBatch(b); err != nil {
			return err
		}
		o.at = 0
		if o.filled == nil {
			o.filled = make([]int64, b.NumCols())
		}
		for i, c := range b.Columns() {
			o.filled[i] += int64(c.Len() - c.NullN())
		}
	}
	return nil
}

// skip passes n rows.
func (o *ownTable) skip(n int64) error {
	for n > 0 {
		if err := o.fill(); err != nil {
			return err
		}
		k := min(n, int64(o.batch.rows-o.at))
		o.at, o.n, n = o.at+int(k), o.n+k, n-k
	}
	return nil
}

func (o *ownTable) nextRecord() (rec Record, n int64, err error) {
	if err := o.fill(); err != nil {
		return Record{}, 0, err
	}
	defer recoverArrow(&err)
	o.n++
	i := o.at
	o.at++
	rec = o.batch.record(i)
	if reason := rec.unsound(); reason != "" {
		return Record{}, 0, &badRow{o.n, reason, fmt.Sprintf("id %q", rec.ID)}
	}
	return rec, o.n, nil
}

// ownBatch holds the typed columns of one batch.
type ownBatch struct {
	rows                     int
	id, tools, split         *array.String
	sides                    [3]messageList
	margin, chosen, rejected *array.Float64
	label                    *array.Boolean
	source                   *array.Struct
	file, hash               *array.String
	row, copies              *array.Int64
	meta                     *array.List
	metaKey, metaValue       *array.String
}

// messageList is a list column of messages with its children at hand.
type messageList struct {
	list   *array.List
	fields [5]*array.String
}

func newOwnBatch(b arrow.Record) (o *ownBatch, err error) {
	defer recoverArrow(&err)
	col := func(i int) arrow.Array { return b.Column(b.Schema().FieldIndices(Schema().Field(i).Name)[0]) }
	o = &ownBatch{rows: int(b.NumRows())}
	o.id, o.tools, o.split = col(colID).(*array.String), col(colTools).(*array.String), col(colSplit).(*array.String)
	for k, c := range []int{colPrompt, colChosen, colRejected} {
		l := col(c).(*array.List)
		o.sides[k].list = l
		items := l.ListValues().(*array.Struct)
		for j := range o.sides[k].fields {
			o.sides[k].fields[j] = items.Field(j).(*array.String)
		}
	}
	o.margin, o.chosen, o.rejected = col(colMargin).(*array.Float64), col(colChosenScore).(*array.Float64), col(colRejectedScore).(*array.Float64)
	o.label = col(colLabel).(*array.Boolean)
	o.source = col(colSource).(*array.Struct)
	o.file, o.row, o.hash = o.source.Field(0).(*array.String), o.source.Field(1).(*array.Int64), o.source.Field(2).(*array.String)
	o.copies = col(colCopies).(*array.Int64)
	o.meta = col(colMeta).(*array.List)
	pairs := o.meta.ListValues().(*array.Struct)
	o.metaKey, o.metaValue = pairs.Field(0).(*array.String), pairs.Field(1).(*array.String)
	return o, nil
}

// str copies a string out: batches are reused, records live on.
func str(a *array.String, i int) string {
	if a.IsNull(i) {
		return ""
	}
	return strings.Clone(a.Value(i))
}

func num(a *array.Float64, i int) *float64 {
	if a.IsNull(i) {
		return nil
	}
	v := a.Value(i)
	return &v
}

func (o *ownBatch) record(i int) Record {
	rec := Record{ID: str(o.id, i), Tools: str(o.tools, i), Margin: num(o.margin, i), ChosenScore: num(o.chosen, i),
		RejectedScore: num(o.rejected, i), Split: str(o.split, i)}
	rec.Prompt, rec.Chosen, rec.Rejected = o.sides[0].at(i), o.sides[1].at(i), o.sides[2].at(i)
	if !o.label.IsNull(i) {
		v := o.label.Value(i)
		rec.Label = &v
	}
	if !o.source.IsNull(i) {
		rec.Source = Provenance{File: str(o.file, i), Hash: str(o.hash, i)}
		if !o.row.IsNull(i) {
			rec.Source.Row = o.row.Value(i)
		}
	}
	if !o.copies.IsNull(i) {
		rec.Copies = int(o.copies.Value(i))
	}
	if from, to := span(o.meta, i); to > from {
		rec.Meta = make(map[string]string, to-from)
		for j := from; j < to; j++ {
			rec.Meta[str(o.metaKey, j)] = str(o.metaValue, j)
		}
	}
	return rec
}

func span(l *array.List, i int) (from, to int) {
	if l.IsNull(i) {
		return 0, 0
	}
	a, b := l.ValueOffsets(i)
	return int(a), int(b)
}

func (m *messageList) at(i int) []Message {
	from, to := span(m.list, i)
	if to <= from {
		return nil
	}
	out := make([]Message, 0, to-from)
	for j := from; j < to; j++ {
		out = append(out, Message{str(m.fields[0], j), str(m.fields[1], j), str(m.fields[2], j), str(m.fields[3], j), str(m.fields[4], j)})
	}
	return out
}
