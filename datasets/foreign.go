package datasets

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// foreignTable gives the rows of a table in somebody else's schema as JSON, so that every format is also read from Arrow and Parquet.
type foreignTable struct {
	t     Table
	batch arrow.Record
	at    int
	n     int64
	buf   []byte
}

func (s *foreignTable) Close() error { return s.t.Close() }

// fill makes sure that a row is at hand.
func (s *foreignTable) fill() error {
	for s.batch == nil || s.at >= int(s.batch.NumRows()) {
		b, err := s.t.Next()
		if err != nil {
			return err
		}
		s.batch, s.at = b, 0
	}
	return nil
}

// skip passes n rows.
func (s *foreignTable) skip(n int64) error {
	for n > 0 {
		if err := s.fill(); err != nil {
			return err
		}
		k := min(n, s.batch.NumRows()-int64(s.at))
		s.at, s.n, n = s.at+int(k), s.n+k, n-k
	}
	return nil
}

func (s *foreignTable) next() (r row, err error) {
	if err := s.fill(); err != nil {
		return row{}, err
	}
	defer recoverArrow(&err)
	s.n++
	s.buf = append(s.buf[:0], '{')
	for c, f := range s.batch.Schema().Fields() {
		if c > 0 {
			s.buf = append(s.buf, ',')
		}
		s.buf = appendJSONString(s.buf, f.Name)
		s.buf = append(s.buf, ':')
		if s.buf, err = appendCell(s.buf, s.batch.Column(c), s.at); err != nil {
			return row{}, fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	s.at++
	s.buf = append(s.buf, '}')
	bad := ""
	if i := invalidUTF8(s.buf); i >= 0 {
		bad = "invalid UTF-8 in a string"
	}
	return row{n: s.n, raw: s.buf, bad: bad}, nil
}

// appendCell writes one value of an Arrow array as JSON.
func appendCell(dst []byte, a arrow.Array, i int) ([]byte, error) {
	if a.IsNull(i) {
		return append(dst, "null"...), nil
	}
	switch a := a.(type) {
	case *array.String:
		return appendJSONString(dst, a.Value(i)), nil
	case *array.LargeString:
		return appendJSONString(dst, a.Value(i)), nil
	case *array.StringView:
		return appendJSONString(dst, a.Value(i)), nil
	case *array.Binary: // text written by those who do not care; what is not UTF-8 is found like in any other text
		return appendJSONString(dst, string(a.Value(i))), nil
	case *array.LargeBinary:
		return appendJSONString(dst, string(a.Value(i))), nil
	case *array.Float64:
		return appendFloat(dst, a.Value(i)), nil
	case *array.Float32:
		return appendFloat(dst, float64(a.Value(i))), nil
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		dst = append(dst, '[')
		var err error
		for j := from; j < to; j++ {
			if j > from {
				dst = append(dst, ',')
			}
			if dst, err = appendCell(dst, a.ListValues(), int(j)); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case *array.Struct:
		// A column's struct has the fields of all rows. Those that are null here are left out: the row had none before it was in a table.
		dst = append(dst, '{')
		fields := a.DataType().(*arrow.StructType).Fields()
		var err error
		head := len(dst)
		for j := range fields {
			end := len(dst)
			if end > head {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, fields[j].Name), ':')
			value := len(dst)
			if dst, err = appendCell(dst, a.Field(j), i); err != nil {
				return dst, err
			}
			if string(dst[value:]) == "null" {
				dst = dst[:end]
			}
		}
		return append(dst, '}'), nil
	case *array.Dictionary:
		return appendCell(dst, a.Dictionary(), a.GetValueIndex(i))
	}
	v, err := json.Marshal(a.GetOneForMarshal(i))
	if err != nil {
		return dst, fmt.Errorf("type %s: %w", a.DataType(), err)
	}
	return append(dst, v...), nil
}

func appendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	b, _ := json.Marshal(v)
	return append(dst, b...)
}

// appendJSONString writes a string as JSON but leaves invalid UTF-8 in it for the caller to find; encoding/json would hide it.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// unsound says what keeps a record from being written as JSON: a number that is not finite, or text that is not UTF-8; or "".
func (r *Record) unsound() string {
	for i, v := range [3]*float64{r.Margin, r.ChosenScore, r.RejectedScore} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return fmt.Sprintf("%s: a finite number was expected, got %g", [3]string{"margin", "chosen_score", "rejected_score"}[i], *v)
		}
	}
	return r.badText()
}

// badText says which text of a record is not UTF-8, or "".
func (r *Record) badText() string {
	if !utf8.ValidString(r.ID) || !utf8.ValidString(r.Tools) {
		return "invalid UTF-8 in id or tools"
	}
	for k, side := range [3][]Message{r.Prompt, r.Chosen, r.Rejected} {
		for i := range side {
			m := &side[i]
			if !utf8.ValidString(m.Content) || !utf8.ValidString(m.Role) || !utf8.ValidString(m.Name) || !utf8.ValidString(m.ToolCalls) || !utf8.ValidString(m.ToolCallID) {
				return fmt.Sprintf("invalid UTF-8 in %s[%d]", [3]string{"prompt", "chosen", "rejected"}[k], i)
			}
		}
	}
	for k, v := range r.Meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Sprintf("invalid UTF-8 in metadata %q", k)
		}
	}
	return ""
}
