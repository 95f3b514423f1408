// Package parquet lets datasets read and write Parquet: importing it, for its side effect, is all there is to do.
//
// It is a package of its own because Apache's Parquet library makes a program 38 MB larger. It knows Arrow tables only, nothing of what
// records mean.
package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"plumb/datasets"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

func init() { datasets.RegisterParquet(datasets.ParquetFormat{Open: open, Create: create}) }

// rows of a batch that is read at once, and of a row group that is written.
const (
	batchRows = 1024
	groupRows = 16 * 1024
	groupSize = 64 << 20
)

// table reads one row group after another.
type table struct {
	f      *os.File
	r      *file.Reader
	arrow  *pqarrow.FileReader
	schema *arrow.Schema
	batch  pqarrow.RecordReader
	group  int
}

func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("not a valid Parquet file: %v", p)
	}
}

func open(f *os.File) (t datasets.Table, err error) {
	defer guard(&err)
	r, err := file.NewParquetReader(f)
	if err != nil {
		return nil, fmt.Errorf("not a whole Parquet file: %w", err)
	}
	a, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.NewGoAllocator())
	if err != nil {
		return nil, fmt.Errorf("reading Parquet: %w", err)
	}
	schema, err := a.Schema()
	if err != nil {
		return nil, fmt.Errorf("reading Parquet: %w", err)
	}
	// What a file says of itself is kept beside the Arrow schema by some writers and inside it by others.
	meta := schema.Metadata()
	if v := r.MetaData().KeyValueMetadata().FindValue(datasets.SchemaKey); v != nil && meta.FindKey(datasets.SchemaKey) < 0 {
		meta = arrow.NewMetadata(append(meta.Keys(), datasets.SchemaKey), append(meta.Values(), *v))
		schema = arrow.NewSchema(schema.Fields(), &meta)
	}
	return &table{f: f, r: r, arrow: a, schema: schema}, nil
}

func (t *table) Schema() *arrow.Schema { return t.schema }

func (t *table) Next() (rec arrow.Record, err error) {
	defer guard(&err)
	for {
		if t.batch == nil {
			if t.group >= t.r.NumRowGroups() {
				return nil, io.EOF
			}
			if err := verify(t.r, t.group); err != nil {
				return nil, err
			}
			if t.batch, err = t.arrow.GetRecordReader(context.Background(), nil, []int{t.group}); err != nil {
				return nil, fmt.Errorf("reading Parquet: %w", err)
			}
			t.group++
		}
		rec, err = t.batch.Read()
		if err == nil {
			return rec, nil
		}
		t.batch.Release()
		t.batch = nil
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("broken Parquet file: %w", err)
		}
	}
}

func (t *table) Close() error {
	if t.batch != nil {
		t.batch.Release()
	}
	t.r.Close()
	if err := t.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// writer gathers batches in row groups of a size that readers like.
type writer struct {
	w     *pqarrow.FileWriter
	bytes int64
	rows  int64
}

func create(w io.Writer) (datasets.BatchWriter, error) {
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithCreatedBy("plumb"),
		parquet.WithDictionaryDefault(true), parquet.WithMaxRowGroupLength(groupRows))
	pw, err := pqarrow.NewFileWriter(datasets.Schema(), nopCloser{w}, props, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, err
	}
	if err := pw.AppendKeyValueMetadata(datasets.SchemaKey, fmt.Sprint(datasets.SchemaVersion)); err != nil {
		return nil, err
	}
	return &writer{w: pw}, nil
}

// nopCloser keeps the library from closing a file that is not its own.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (w *writer) Write(rec arrow.Record) (err error) {
	defer guard(&err)
	if w.rows+rec.NumRows() > groupRows || w.bytes > groupSize {
		w.w.NewBufferedRowGroup()
		w.rows, w.bytes = 0, 0
	}
	w.rows += rec.NumRows()
	for _, c := range rec.Columns() {
		w.bytes += size(c.Data())
	}
	return w.w.WriteBuffered(rec)
}

// size is the bytes of an array and its children.
func size(d arrow.ArrayData) int64 {
	n := int64(0)
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Len())
		}
	}
	for _, c := range d.Children() {
		n += size(c)
	}
	return n
}

func (w *writer) Close() error { return w.w.Close() }
