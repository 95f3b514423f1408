package datasets

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// A batch ends after this many rows or bytes of text, whichever comes first. Both depend on the records alone, so the bytes of a file do.
const (
	batchRows  = 1024
	batchBytes = 16 << 20
)

// BatchWriter takes record batches: an Arrow IPC stream or file, or Parquet.
type BatchWriter interface {
	Write(arrow.Record) error
	Close() error
}

// tableEncoder gathers records into batches of the schema.
type tableEncoder struct {
	b     *array.RecordBuilder
	w     BatchWriter
	rows  int
	bytes int
}

func newTableEncoder(w BatchWriter) *tableEncoder {
	return &tableEncoder{b: array.NewRecordBuilder(memory.NewGoAllocator(), Schema()), w: w}
}

func appendOptional(b *array.StringBuilder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	b.Append(s)
}

func appendNumber(b *array.Float64Builder, v *float64) {
	if v == nil {
		b.AppendNull()
		return
	}
	b.Append(*v)
}

func (e *tableEncoder) add(r *Record) error {
	e.b.Field(colID).(*array.StringBuilder).Append(r.ID)
	appendOptional(e.b.Field(colTools).(*array.StringBuilder), r.Tools)
	e.bytes += len(r.ID) + len(r.Tools) + 256
	for k, side := range [][]Message{r.Prompt, r.Chosen, r.Rejected} {
		e.messages(e.b.Field(colPrompt+k).(*array.ListBuilder), side, k == 0)
	}
	appendNumber(e.b.Field(colMargin).(*array.Float64Builder), r.Margin)
	appendNumber(e.b.Field(colChosenScore).(*array.Float64Builder), r.ChosenScore)
	appendNumber(e.b.Field(colRejectedScore).(*array.Float64Builder), r.RejectedScore)
	if l := e.b.Field(colLabel).(*array.BooleanBuilder); r.Label == nil {
		l.AppendNull()
	} else {
		l.Append(*r.Label)
	}
	appendOptional(e.b.Field(colSplit).(*array.StringBuilder), r.Split)
	source := e.b.Field(colSource).(*array.StructBuilder)
	source.Append(true)
	source.FieldBuilder(0).(*array.StringBuilder).Append(r.Source.File)
	source.FieldBuilder(1).(*array.Int64Builder).Append(r.Source.Row)
	source.FieldBuilder(2).(*array.StringBuilder).Append(r.Source.Hash)
	e.b.Field(colCopies).(*array.Int64Builder).Append(int64(max(1, r.Copies)))
	meta := e.b.Field(colMeta).(*array.ListBuilder)
	meta.Append(true)
	pair := meta.ValueBuilder().(*array.StructBuilder)
	for _, m := range metaEntries(r.Meta) {
		pair.Append(true)
		pair.FieldBuilder(0).(*array.StringBuilder).Append(m.Key)
		pair.FieldBuilder(1).(*array.StringBuilder).Append(m.Value)
		e.bytes += len(m.Key) + len(m.Value)
	}
	e.rows++
	if e.rows >= batchRows || e.bytes >= batchBytes {
		return e.flush()
	}
	return nil
}

func (e *tableEncoder) messages(b *array.ListBuilder, msgs []Message, always bool) {
	if len(msgs) == 0 && !always {
		b.AppendNull()
		return
	}
	b.Append(true)
	s := b.ValueBuilder().(*array.StructBuilder)
	for i := range msgs {
		m := &msgs[i]
		s.Append(true)
		s.FieldBuilder(0).(*array.StringBuilder).Append(m.Role)
		s.FieldBuilder(1).(*array.StringBuilder).Append(m.Content)
		appendOptional(s.FieldBuilder(2).(*array.StringBuilder), m.Name)
		appendOptional(s.FieldBuilder(3).(*array.StringBuilder), m.ToolCallID)
		appendOptional(s.FieldBuilder(4).(*array.StringBuilder), m.ToolCalls)
		e.bytes += len(m.Role) + len(m.Content) + len(m.Name) + len(m.ToolCallID) + len(m.ToolCalls)
	}
}

// flush writes what is gathered as one batch.
func (e *tableEncoder) flush() error {
	if e.rows == 0 {
		return nil
	}
	rec := e.b.NewRecord()
	defer rec.Release()
	e.rows, e.bytes = 0, 0
	return e.w.Write(rec)
}
