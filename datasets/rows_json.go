package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonSource reads the elements of a JSON array, or objects one after another, without holding the file. It cuts at commas outside of
// strings and brackets, so that one broken element does not take the rest with it.
type jsonSource struct {
	in     *input
	n      int64
	limit  int
	buf    []byte
	array  bool
	begun  bool
	nested []json.RawMessage // rows of an object that wraps a list
	single bool              // the file is one object: look inside it
}

func (s *jsonSource) Close() error { return s.in.Close() }

func (s *jsonSource) next() (row, error) {
	if !s.begun {
		s.begun = true
		switch c, err := s.skipSpace(); {
		case err != nil:
			return row{}, err // also io.EOF: an empty file has no rows
		case c == '[':
			s.in.buf.ReadByte()
			s.array = true
		default:
			s.single = true
		}
	}
	if len(s.nested) > 0 {
		r := row{raw: s.nested[0]}
		s.nested = s.nested[1:]
		s.n++
		r.n, r.bad = s.n, badJSON(r.raw)
		return r, nil
	}
	text, long, err := s.element()
	if err != nil {
		return row{}, err
	}
	if s.single && s.n == 0 && !long {
		if list := wrapped(text); list != nil {
			s.nested = list
			return s.next()
		}
	}
	s.n++
	if long {
		return row{n: s.n, raw: text, bad: fmt.Sprintf("element longer than %d bytes", s.limit)}, nil
	}
	return row{n: s.n, raw: text, bad: badJSON(text)}, nil
}

// wrapped finds the rows of {"data": [{...}, ...]}: an object that no format knows and that has exactly one list of objects.
func wrapped(text []byte) []json.RawMessage {
	f, err := parseFields(row{raw: text})
	if err != nil || detect(f) != "" {
		return nil
	}
	var found []json.RawMessage
	for name := range f.m {
		list, err := f.array(name)
		if err != nil || len(list) == 0 || len(list[0]) == 0 || list[0][0] != '{' {
			continue
		}
		if found != nil {
			return nil
		}
		found = list
	}
	return found
}

func (s *jsonSource) skipSpace() (byte, error) {
	for {
		c, err := s.in.buf.ReadByte()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, s.in.buf.UnreadByte()
		}
	}
}

// element takes the text of the next element.
func (s *jsonSource) element() (text []byte, long bool, err error) {
	s.buf = s.buf[:0]
	c, err := s.skipSpace()
	if err != nil {
		if s.array && errors.Is(err, io.EOF) {
			return nil, false, fmt.Errorf("the array is cut off: no ']' follows element %d", s.n)
		}
		return nil, false, err
	}
	if s.array && c == ']' {
		s.in.buf.ReadByte()
		if c, err := s.skipSpace(); err == nil {
			return nil, false, fmt.Errorf("%q follows the end of the array", c)
		}
		return nil, false, io.EOF
	}
	depth, inString, escaped := 0, false, false
	for {
		_, err := s.in.buf.Peek(1)
		if err != nil {
			if errors.Is(err, io.EOF) && !s.array && depth == 0 && !inString {
				return bytes.TrimSpace(s.buf), long, nil
			}
			if errors.Is(err, io.EOF) {
				return nil, false, fmt.Errorf("the file ends inside element %d", s.n+1)
			}
			return nil, false, err
		}
		chunk, _ := s.in.buf.Peek(s.in.buf.Buffered())
		for i, c := range chunk {
			switch {
			case escaped:
				escaped = false
			case inString:
				escaped = c == '\\'
				inString = c != '"'
			case c == '"':
				inString = true
			case c == '{' || c == '[':
				depth++
			case (c == '}' || c == ']') && depth > 0:
				depth--
				if depth == 0 && !s.array {
					long = s.keep(chunk[:i+1]) || long
					s.in.buf.Discard(i + 1)
					return s.buf, long, nil
				}
			case depth == 0 && s.array && (c == ',' || c == ']'):
				long = s.keep(chunk[:i]) || long
				if c == ',' {
					i++
				}
				s.in.buf.Discard(i)
				return bytes.TrimSpace(s.buf), long, nil
			}
		}
		long = s.keep(chunk) || long
		s.in.buf.Discard(len(chunk))
	}
}

// keep adds to the element; over the limit only the head stays.
func (s *jsonSource) keep(part []byte) (long bool) {
	if len(s.buf)+len(part) <= s.limit {
		s.buf = append(s.buf, part...)
		return false
	}
	s.buf = append(s.buf, part[:max(0, min(len(part), rejectTextLimit-len(s.buf)))]...)
	return true
}

// jsonArraySink writes a JSON array, one element a line.
type jsonArraySink struct {
	w      *packer
	format *format
	line   bytes.Buffer
	n      int64
}

func (s *jsonArraySink) add(r *Record) error {
	if err := encodeRow(&s.line, s.format, r); err != nil {
		return err
	}
	lead := ",\n"
	if s.n == 0 {
		lead = "[\n"
	}
	s.n++
	rows := bytes.ReplaceAll(bytes.TrimRight(s.line.Bytes(), "\n"), []byte("\n"), []byte(",\n")) // inside of JSON no line ends
	return s.w.row(append([]byte(lead), rows...))
}

func (s *jsonArraySink) finish() error {
	end := "\n]\n"
	if s.n == 0 {
		end = "[]\n"
	}
	if _, err := s.w.Write([]byte(end)); err != nil {
		return err
	}
	return s.w.finish()
}

func (s *jsonArraySink) settle() (bool, error) { return s.w.settle() }
