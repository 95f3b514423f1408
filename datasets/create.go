package datasets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v17/arrow/ipc"
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
	w, err := openWriter(path, opt, nil)
	if err != nil {
		return nil, err // and no writer: a nil *writer in a Writer would not be nil
	}
	return w, nil
}

// defaultFormat is what a container holds when nobody says: everything, but for CSV, whose users expect plain columns.
func defaultFormat(kind container) string {
	if kind == containerCSV || kind == containerTSV {
		return "trl"
	}
	return "plumb"
}

// openWriter opens the partial file and its sink, from the start or where a checkpoint left it.
func openWriter(path string, opt WriteOptions, from *outputState) (*writer, error) {
	kind, compression, err := containerOf(path)
	if err != nil {
		return nil, err
	}
	if opt.Format == "" {
		opt.Format = defaultFormat(kind)
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
	flags := os.O_RDWR | os.O_CREATE
	if from == nil {
		flags |= os.O_TRUNC
		from = &outputState{}
	}
	f, err := os.OpenFile(path+partialSuffix, flags, 0o666)
	if err != nil {
		return nil, err
	}
	w := &writer{path: path, file: f, opt: opt, format: fm, n: from.Written, lost: map[string]int64{}}
	maps.Copy(w.lost, from.Lost)
	if err := cutTo(f, from.Bytes); err != nil {
		f.Close()
		return nil, err
	}
	w.sink, err = newSink(f, kind, compression, fm, w.n)
	if err != nil {
		w.Discard()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// cutTo drops what was written after a checkpoint and goes on from there.
func cutTo(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < size {
		return fmt.Errorf("%s is shorter than its checkpoint says", f.Name())
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	_, err = f.Seek(size, io.SeekStart)
	return err
}

// sink encodes records into a file.
type sink interface {
	add(*Record) error
	finish() error
	// settle brings everything to the file, if the file could go on from here after a restart without its bytes changing.
	settle() (ok bool, err error)
}

type writer struct {
	path   string
	file   *os.File
	sink   sink
	opt    WriteOptions
	format *format
	n      int64
	lost   map[string]int64 // records written without something that they had
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
	if reason := r.unsound(); reason != "" {
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
		w.format.can.lost(&r, w.lost)
	}
	return err
}

// Close writes the rest and puts the file in its place; after an error it removes it.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return commit(w.path, w.seal())
}

// seal writes the rest and closes the partial file, which stays where it is.
func (w *writer) seal() error {
	if w.err == nil {
		if err := w.sink.finish(); err != nil {
			w.err = fmt.Errorf("%s: %w", w.path, err)
		}
	}
	return seal(w.file, w.err)
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

// seal syncs and closes a partial file.
func seal(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// commit puts a sealed file in its place, or removes it when err is not nil.
func commit(path string, err error) error {
	if err == nil {
		err = publish(path)
	}
	if err != nil {
		os.Remove(path + partialSuffix)
	}
	return err
}

// publish renames a partial file and syncs its folder.
func publish(path string) error {
	if err := os.Rename(path+partialSuffix, path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		d.Sync() // not every file system can; the rename itself has succeeded
		d.Close()
	}
	return nil
}

// newSink builds the encoder of a container over an open file that already holds n records.
func newSink(f *os.File, kind container, compression string, fm *format, n int64) (sink, error) {
	if kind == containerArrow || kind == containerFeather || kind == containerParquet {
		return newTableSink(f, kind, fm, n)
	}
	p := newPacker(f, compression)
	switch kind {
	case containerJSONL:
		return &jsonlSink{w: p, format: fm}, nil
	case containerJSON:
		return &jsonArraySink{w: p, format: fm, n: n}, nil
	case containerTSV:
		return newCSVSink(p, '\t', fm, n)
	}
	return newCSVSink(p, ',', fm, n)
}

func newTableSink(f *os.File, kind container, fm *format, n int64) (sink, error) {
	if fm.name != "plumb" {
		return nil, fmt.Errorf("tables have one schema: format %q goes to .jsonl, .json or .csv", fm.name)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	s := &tableSink{flush: buf.Flush}
	switch kind {
	case containerArrow:
		var out io.Writer = buf
		if n > 0 {
			head, err := streamHead()
			if err != nil {
				return nil, err
			}
			out = &skipWriter{w: buf, skip: head} // the schema is in the file already
		}
		s.enc = newTableEncoder(ipc.NewWriter(out, ipc.WithSchema(Schema())))
		s.appends = true
	case containerFeather:
		w, err := ipc.NewFileWriter(&seekBuffer{Writer: buf}, ipc.WithSchema(Schema()))
		if err != nil {
			return nil, err
		}
		s.enc = newTableEncoder(w)
	case containerParquet:
		if parquetFormat.Create == nil {
			return nil, errNoParquet
		}
		w, err := parquetFormat.Create(buf)
		if err != nil {
			return nil, err
		}
		s.enc = newTableEncoder(w)
	}
	return s, nil
}

// streamHead is the length of the schema message at the head of our IPC streams.
func streamHead() (int, error) {
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(Schema())).Close(); err != nil {
		return 0, err
	}
	const endOfStream = 8
	return b.Len() - endOfStream, nil
}

// skipWriter swallows the first bytes.
type skipWriter struct {
	w    io.Writer
	skip int
}

func (s *skipWriter) Write(p []byte) (int, error) {
	n := min(len(p), s.skip)
	s.skip -= n
	if n == len(p) {
		return n, nil
	}
	m, err := s.w.Write(p[n:])
	return n + m, err
}

// tableSink writes record batches.
type tableSink struct {
	enc     *tableEncoder
	flush   func() error
	appends bool
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

// settle can be used between batches only: where a batch ends depends on the records, never on checkpoints.
func (s *tableSink) settle() (bool, error) {
	if !s.appends || s.enc.rows > 0 {
		return false, nil
	}
	return true, s.flush()
}

// jsonlSink writes JSON lines.
type jsonlSink struct {
	w      *packer
	format *format
	line   bytes.Buffer
}

func (s *jsonlSink) add(r *Record) error {
	if err := encodeRow(&s.line, s.format, r); err != nil {
		return err
	}
	return s.w.row(s.line.Bytes())
}

func (s *jsonlSink) finish() error { return s.w.finish() }

func (s *jsonlSink) settle() (bool, error) { return s.w.settle() }

// encodeRow puts the row of a record, or its rows, into b, each with a line end. HTML is not escaped: the text stays readable.
func encodeRow(b *bytes.Buffer, fm *format, r *Record) error {
	b.Reset()
	v, err := fm.encode(r)
	if err != nil {
		return &UnfitError{r.ID, fm.name, err.Error()}
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	rows, many := v.(manyRows)
	if !many {
		rows = manyRows{v}
	}
	for _, v := range rows {
		if err := enc.Encode(v); err != nil {
			return &UnfitError{r.ID, fm.name, err.Error()}
		}
	}
	return nil
}
