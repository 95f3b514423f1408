package datasets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// WriteOptions says how a file is written.
type WriteOptions struct {
	Format string // meaning of the rows in text containers: "plumb" (everything; the default but for CSV, where it is "trl") or another of Formats
	Kind   Kind   // refuse records of another kind
}

// Writer takes records. Nothing is at the path before Close, and then the whole file is; Discard gives up instead.
type Writer interface {
	Write(Record) error
	Close() error
	Discard() error
}

const partialSuffix = ".partial"

// Create starts a file. The extension says the container: .arrow (IPC stream), .feather (IPC file), .parquet, .jsonl, .json, .csv, .tsv,
// the text ones also with .gz or .zst.
func Create(path string, opt WriteOptions) (Writer, error) {
	kind, compression, err := containerOf(path)
	if err != nil {
		return nil, err
	}
	if opt.Format == "" {
		opt.Format = "plumb"
		if kind == containerCSV || kind == containerTSV {
			opt.Format = "trl"
		}
	}
	fm, ok := formats[opt.Format]
	if !ok {
		return nil, fmt.Errorf("unknown format %q: expected one of %v", opt.Format, FormatNames())
	}
	if fm.encode == nil {
		return nil, fmt.Errorf("format %q can be read but not written", opt.Format)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(path + partialSuffix)
	if err != nil {
		return nil, err
	}
	w := &writer{path: path, file: f, opt: opt, format: fm}
	w.sink, err = newSink(f, kind, compression, fm)
	if err != nil {
		w.Discard()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// sink encodes records into a file.
type sink interface {
	add(*Record) error
	finish() error
}

type writer struct {
	path   string
	file   *os.File
	sink   sink
	opt    WriteOptions
	format *format
	n      int64
	err    error
	closed bool
}

// UnfitError is what Write returns for a record that the format cannot hold. The writer is as before and takes the next record.
type UnfitError struct {
	ID     string
	Format string
	Reason string
}

// Error names record, format and reason.
func (e *UnfitError) Error() string {
	return fmt.Sprintf("record %q does not fit the format %s: %s", e.ID, e.Format, e.Reason)
}

// Write adds a record.
func (w *writer) Write(r Record) error {
	if w.closed {
		return errors.New("write to a closed data file")
	}
	if w.err != nil {
		return w.err
	}
	if reason := r.fault(w.opt.Kind); reason != "" {
		return &UnfitError{r.ID, w.format.name, reason}
	}
	if reason := r.badText(); reason != "" {
		return &UnfitError{r.ID, w.format.name, reason}
	}
	if !w.format.can.kind(r.Kind()) {
		return &UnfitError{r.ID, w.format.name, fmt.Sprintf("it holds no %s records", r.Kind())}
	}
	err := w.sink.add(&r)
	var unfit *UnfitError
	if err != nil && !errors.As(err, &unfit) {
		w.err = fmt.Errorf("%s: %w", w.path, err)
		return w.err
	}
	if err == nil {
		w.n++
	}
	return err
}

// Close writes the rest and puts the file in its place; after an error it removes it.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.err == nil {
		if err := w.sink.finish(); err != nil {
			w.err = fmt.Errorf("%s: %w", w.path, err)
		}
	}
	return commit(w.file, w.path, w.err)
}

// Discard removes what was written.
func (w *writer) Discard() error {
	if w.closed {
		return nil
	}
	w.closed = true
	w.file.Close()
	return os.Remove(w.path + partialSuffix)
}

// commit makes a partial file whole: synced, renamed, the folder synced; or removes it when err is not nil.
func commit(f *os.File, path string, err error) error {
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path + partialSuffix)
		return err
	}
	if err := os.Rename(path+partialSuffix, path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		d.Sync() // not every file system can; the rename itself has succeeded
		d.Close()
	}
	return nil
}

// newSink builds the encoder of a container over an open file.
func newSink(f *os.File, kind container, compression string, fm *format) (sink, error) {
	if kind == containerArrow || kind == containerFeather || kind == containerParquet {
		return newTableSink(f, kind, fm)
	}
	buf, flush, err := packer(f, compression)
	if err != nil {
		return nil, err
	}
	switch kind {
	case containerJSONL:
		return &jsonlSink{w: buf, format: fm, flush: flush}, nil
	case containerJSON:
		return &jsonArraySink{w: buf, format: fm, flush: flush}, nil
	case containerTSV:
		return newCSVSink(buf, '\t', fm, flush)
	}
	return newCSVSink(buf, ',', fm, flush)
}

// packer is a buffered writer that compresses; flush ends the compressed stream. Neither gzip nor zstd gets a time or more than one
// worker, so that equal records give equal bytes.
func packer(w io.Writer, compression string) (*bufio.Writer, func() error, error) {
	out := bufio.NewWriterSize(w, 1<<20)
	var pack io.WriteCloser
	switch compression {
	case "":
		return out, out.Flush, nil
	case "gz":
		pack = gzip.NewWriter(out)
	default:
		z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		pack = z
	}
	buf := bufio.NewWriterSize(pack, 1<<20)
	return buf, func() error {
		if err := buf.Flush(); err != nil {
			return err
		}
		if err := pack.Close(); err != nil {
			return err
		}
		return out.Flush()
	}, nil
}

func newTableSink(f *os.File, kind container, fm *format) (sink, error) {
	if fm.name != "plumb" {
		return nil, fmt.Errorf("tables have one schema: format %q goes to .jsonl, .json or .csv", fm.name)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	var w BatchWriter
	switch kind {
	case containerArrow:
		w = ipc.NewWriter(buf, ipc.WithSchema(Schema()))
	case containerFeather:
		fw, err := ipc.NewFileWriter(&seekBuffer{Writer: buf}, ipc.WithSchema(Schema()))
		if err != nil {
			return nil, err
		}
		w = fw
	case containerParquet:
		if parquetFormat.Create == nil {
			return nil, errNoParquet
		}
		pw, err := parquetFormat.Create(buf)
		if err != nil {
			return nil, err
		}
		w = pw
	}
	return &tableSink{enc: newTableEncoder(w), flush: buf.Flush}, nil
}

// tableSink writes record batches.
type tableSink struct {
	enc   *tableEncoder
	flush func() error
}

func (s *tableSink) add(r *Record) error { return s.enc.add(r) }

func (s *tableSink) finish() error {
	if err := s.enc.flush(); err != nil {
		return err
	}
	if err := s.enc.w.Close(); err != nil {
		return err
	}
	return s.flush()
}

// jsonlSink writes JSON lines.
type jsonlSink struct {
	w      io.Writer
	format *format
	line   bytes.Buffer
	flush  func() error
}

func (s *jsonlSink) add(r *Record) error {
	if err := encodeRow(&s.line, s.format, r); err != nil {
		return err
	}
	_, err := s.w.Write(s.line.Bytes())
	return err
}

func (s *jsonlSink) finish() error { return s.flush() }

// encodeRow puts the row of a record and a line end into b. HTML is not escaped: the text stays readable.
func encodeRow(b *bytes.Buffer, fm *format, r *Record) error {
	b.Reset()
	v, err := fm.encode(r)
	if err != nil {
		return &UnfitError{r.ID, fm.name, err.Error()}
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &UnfitError{r.ID, fm.name, err.Error()}
	}
	return nil
}
