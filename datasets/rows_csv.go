package datasets

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvSource reads CSV or TSV with a header. Every value is a string; empty cells are absent, but for an empty prompt or side of a
// pair: an absent prompt would turn into an implicit one.
type csvSource struct {
	in     *input
	csv    *csv.Reader
	tap    *tap
	header []string
	pairs  bool
	n      int64
	buf    []byte
}

// tap remembers the bytes of the row being read, so that a reject can show them.
type tap struct {
	r     io.Reader
	held  []byte
	base  int64 // offset of held[0]
	limit int
}

var errRowTooLong = errors.New("row too long")

func (t *tap) Read(p []byte) (int, error) {
	if len(t.held) > t.limit {
		return 0, errRowTooLong
	}
	n, err := t.r.Read(p)
	t.held = append(t.held, p[:n]...)
	return n, err
}

// upTo gives the bytes before offset and forgets them.
func (t *tap) upTo(offset int64) []byte {
	n := min(int64(len(t.held)), max(0, offset-t.base))
	part := t.held[:n:n]
	t.held = t.held[n:]
	t.base += n
	if len(t.held) == 0 {
		t.held = nil
	}
	return part
}

func newCSVSource(name string, in *input, comma rune, limit int) (*csvSource, error) {
	t := &tap{r: in.buf, limit: limit}
	s := &csvSource{in: in, tap: t, csv: csv.NewReader(t)}
	s.csv.Comma = comma
	s.csv.ReuseRecord = true
	header, err := s.csv.Read()
	if errors.Is(err, io.EOF) {
		return s, nil // an empty file has no rows
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the header cannot be read: %w", name, err)
	}
	t.upTo(s.csv.InputOffset())
	seen := map[string]bool{}
	for _, h := range header {
		h = strings.TrimSpace(h)
		if seen[h] {
			return nil, fmt.Errorf("%s: column %q occurs twice in the header", name, h)
		}
		seen[h] = true
		s.header = append(s.header, h)
	}
	s.pairs = seen["chosen"] && seen["rejected"]
	return s, nil
}

func (s *csvSource) Close() error { return s.in.Close() }

func (s *csvSource) next() (row, error) {
	cells, err := s.csv.Read()
	if errors.Is(err, io.EOF) {
		return row{}, io.EOF
	}
	s.n++
	var fault *csv.ParseError
	if err != nil && !errors.As(err, &fault) {
		if errors.Is(err, errRowTooLong) {
			return row{}, fmt.Errorf("row %d is longer than %d bytes: a quote may be open", s.n, s.tap.limit)
		}
		return row{}, err
	}
	raw := s.tap.upTo(s.csv.InputOffset())
	if fault != nil {
		reason := fmt.Sprintf("line %d: %v", fault.Line, fault.Err)
		if errors.Is(fault.Err, csv.ErrFieldCount) {
			reason = fmt.Sprintf("%d cells, the header has %d", len(cells), len(s.header))
		}
		return row{n: s.n, raw: bytes.TrimRight(raw, "\r\n"), bad: reason}, nil
	}
	if i := invalidUTF8(raw); i >= 0 {
		return row{n: s.n, raw: bytes.TrimRight(raw, "\r\n"), bad: fmt.Sprintf("invalid UTF-8 at byte %d of the row", i+1)}, nil
	}
	pair := false
	for i, h := range s.header {
		pair = pair || s.pairs && (h == "chosen" || h == "rejected") && cells[i] != ""
	}
	s.buf = append(s.buf[:0], '{')
	for i, h := range s.header {
		if cells[i] == "" && !(pair && (h == "prompt" || h == "chosen" || h == "rejected")) {
			continue
		}
		if len(s.buf) > 1 {
			s.buf = append(s.buf, ',')
		}
		s.buf = appendJSONString(s.buf, h)
		s.buf = append(s.buf, ':')
		s.buf = appendJSONString(s.buf, cells[i])
	}
	s.buf = append(s.buf, '}')
	return row{n: s.n, raw: s.buf, loose: true}, nil
}

// csvSink writes the JSON fields of a format as columns; lists and objects are JSON in their cell.
type csvSink struct {
	w      *packer
	csv    *csv.Writer
	cell   bytes.Buffer
	format *format
	line   bytes.Buffer
	cells  []string
	begun  bool
}

func newCSVSink(w *packer, comma rune, fm *format, n int64) (*csvSink, error) {
	if len(fm.columns) == 0 {
		return nil, fmt.Errorf("format %q has no table form: write it as .jsonl or .json", fm.name)
	}
	s := &csvSink{w: w, format: fm, cells: make([]string, len(fm.columns)), begun: n > 0}
	s.csv = csv.NewWriter(&s.cell)
	s.csv.Comma = comma
	return s, nil
}

// encode is the text of one line.
func (s *csvSink) encode(cells []string) ([]byte, error) {
	s.cell.Reset()
	if err := s.csv.Write(cells); err != nil {
		return nil, err
	}
	s.csv.Flush()
	return s.cell.Bytes(), s.csv.Error()
}

func (s *csvSink) head() error {
	if s.begun {
		return nil
	}
	s.begun = true
	line, err := s.encode(s.format.columns)
	if err != nil {
		return err
	}
	_, err = s.w.Write(line)
	return err
}

func (s *csvSink) add(r *Record) error {
	if err := encodeRow(&s.line, s.format, r); err != nil {
		return err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(s.line.Bytes(), &m); err != nil {
		return err
	}
	for i, name := range s.format.columns {
		s.cells[i] = ""
		if v := m[name]; len(v) > 0 && string(v) != "null" {
			s.cells[i] = metaValue(v)
		}
		if strings.Contains(s.cells[i], "\r") {
			return &UnfitError{r.ID, s.format.name, "a carriage return does not survive CSV"}
		}
		delete(m, name)
	}
	for name := range m {
		return fmt.Errorf("format %s: no column for the field %q", s.format.name, name)
	}
	if err := s.head(); err != nil {
		return err
	}
	line, err := s.encode(s.cells)
	if err != nil {
		return err
	}
	return s.w.row(line)
}

func (s *csvSink) finish() error {
	if err := s.head(); err != nil {
		return err
	}
	return s.w.finish()
}

func (s *csvSink) settle() (bool, error) { return s.w.settle() }
