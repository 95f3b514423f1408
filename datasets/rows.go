package datasets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// row is one row of any container before it has a meaning: a JSON value and where it stood.
type row struct {
	n     int64  // from 1
	raw   []byte // the JSON text; valid until the next row is asked for
	bad   string // why the row cannot be read; raw then holds what stood there
	loose bool   // from CSV: every value is a string, and lists hide in strings
}

// rowSource yields rows; io.EOF ends it, any other error is one of the file.
type rowSource interface {
	next() (row, error)
	Close() error
}

// DefaultMaxRow is the longest row, in bytes, that is read: 64 MiB.
const DefaultMaxRow = 64 << 20

// jsonlSource reads JSON lines.
type jsonlSource struct {
	in    *input
	n     int64
	limit int
	line  []byte
}

func (s *jsonlSource) Close() error { return s.in.Close() }

func (s *jsonlSource) next() (row, error) {
	for {
		long, err := s.readLine()
		if err != nil {
			return row{}, err
		}
		s.n++
		line := bytes.TrimSpace(s.line)
		if long {
			return row{n: s.n, raw: s.line, bad: fmt.Sprintf("line longer than %d bytes", s.limit)}, nil
		}
		if len(line) == 0 {
			continue // an empty line is no row
		}
		return row{n: s.n, raw: line, bad: badJSON(line)}, nil
	}
}

// readLine fills s.line with the next line without its end. A line over the limit is read to its end but only its head is kept.
func (s *jsonlSource) readLine() (long bool, err error) {
	s.line = s.line[:0]
	any := false
	for {
		part, err := s.in.buf.ReadSlice('\n')
		any = any || len(part) > 0
		if len(s.line)+len(part) > s.limit {
			long = true
			part = part[:min(len(part), max(0, rejectTextLimit-len(s.line)))]
		}
		if !long || len(s.line) < rejectTextLimit {
			s.line = append(s.line, part...)
		}
		switch {
		case err == nil:
			return long, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && any:
			return long, nil
		default:
			return long, err
		}
	}
}

// badJSON says what keeps a text from being one JSON object, or "".
func badJSON(text []byte) string {
	if i := invalidUTF8(text); i >= 0 {
		return fmt.Sprintf("invalid UTF-8 at byte %d", i+1)
	}
	if len(text) > 0 && text[0] != '{' {
		if !json.Valid(text) {
			return "not JSON: " + jsonFault(text)
		}
		return "a JSON object was expected"
	}
	return badEscape(text) // whether an object is whole shows when it is taken apart: checking it here would read it twice
}

func jsonValid(text []byte) bool { return json.Valid(text) }

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// jsonFault words the fault of a JSON text and its byte.
func jsonFault(text []byte) string {
	var v json.RawMessage
	err := json.Unmarshal(text, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v at byte %d", err, syntax.Offset)
	}
	if err != nil {
		return err.Error()
	}
	return "unknown fault"
}

// badEscape finds a \ud800 escape without its other half. Decoders replace it silently, which would change the text.
func badEscape(text []byte) string {
	if !bytes.Contains(text, []byte(`\ud`)) && !bytes.Contains(text, []byte(`\uD`)) {
		return ""
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		hi, ok := surrogate(text[i:])
		if !ok {
			i++ // an escaped character, perhaps another backslash
			continue
		}
		if lo, ok := surrogate(text[i+6:]); hi < 0xdc00 && ok && lo >= 0xdc00 {
			i += 11
			continue
		}
		return fmt.Sprintf("half of a surrogate pair at byte %d", i+1)
	}
	return ""
}

// surrogate reads \uXXXX at the head of text if it is one of a surrogate pair.
func surrogate(text []byte) (int, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	v := 0
	for _, c := range text[2:6] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | int(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, v >= 0xd800 && v <= 0xdfff
}

// skip passes n rows.
func (s *jsonlSource) skip(n int64) error {
	for n > 0 {
		long, err := s.readLine()
		if err != nil {
			return err
		}
		s.n++
		if long || len(bytes.TrimSpace(s.line)) > 0 {
			n--
		}
	}
	return nil
}
