package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// maxHeader is the reference implementation's limit on the JSON header.
const maxHeader = 100_000_000

// parseSafetensors reads the header of one file held in b and returns its tensors, whose Data are parts of b, sorted by
// name, and the __metadata__ strings. The rules are those of the reference implementation: the tensors cover the data
// exactly, without hole or overlap, and each one's bytes are what its type and shape need.
func parseSafetensors(b []byte) ([]*Tensor, map[string]string, error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("truncated: %d bytes, a safetensors file has at least 8", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader {
		return nil, nil, fmt.Errorf("header length %d is over the limit of %d: not a safetensors file, or a damaged one", n, maxHeader)
	}
	if n > uint64(len(b)-8) {
		return nil, nil, fmt.Errorf("truncated: header of %d bytes in a file of %d", n, len(b))
	}
	header, data := b[8:8+n], b[8+n:]
	if n == 0 || header[0] != '{' {
		return nil, nil, errors.New("header is not a JSON object")
	}
	tensors, ends, meta, err := parseHeader(header)
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	for i, t := range tensors {
		lo, hi := ends[i][0], ends[i][1]
		if lo > hi || hi > uint64(len(data)) {
			return nil, nil, fmt.Errorf("tensor %s: bytes %d to %d lie outside the %d bytes of data (truncated or damaged)", t.Name, lo, hi, len(data))
		}
		want, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if hi-lo != uint64(want) {
			return nil, nil, fmt.Errorf("tensor %s: %s %s needs %d bytes, the header gives %d", t.Name, t.DType, shapeString(t.Shape), want, hi-lo)
		}
		t.Data = data[lo:hi:hi]
	}
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := ends[order[a]], ends[order[b]]
		return x[0] < y[0] || x[0] == y[0] && x[1] < y[1]
	})
	at := uint64(0)
	for _, i := range order {
		if ends[i][0] != at {
			return nil, nil, fmt.Errorf("tensor %s starts at byte %d where %d was expected: overlap or hole", tensors[i].Name, ends[i][0], at)
		}
		at = ends[i][1]
	}
	if at != uint64(len(data)) {
		return nil, nil, fmt.Errorf("%d bytes of data belong to no tensor", uint64(len(data))-at)
	}
	sort.Slice(tensors, func(a, b int) bool { return tensors[a].Name < tensors[b].Name })
	return tensors, meta, nil
}

// parseHeader walks the JSON itself: encoding/json would let a second entry of a name replace the first silently.
func parseHeader(header []byte) (tensors []*Tensor, ends [][2]uint64, meta map[string]string, err error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	err = object(dec, func(key string) error {
		if key == "__metadata__" {
			if err := dec.Decode(&meta); err != nil {
				return fmt.Errorf("__metadata__: want an object of strings: %w", err)
			}
			return nil
		}
		t := &Tensor{Name: key}
		var end []uint64
		var dtype string
		seen := 0
		err := object(dec, func(field string) error {
			switch field {
			case "dtype":
				seen++
				return dec.Decode(&dtype)
			case "shape":
				seen++
				var shape []uint64
				if err := dec.Decode(&shape); err != nil {
					return err
				}
				t.Shape = make([]int, len(shape))
				for i, d := range shape {
					if d > maxElements {
						return fmt.Errorf("dimension %d is too large", d)
					}
					t.Shape[i] = int(d)
				}
				return nil
			case "data_offsets":
				seen++
				return dec.Decode(&end)
			}
			return fmt.Errorf("unknown field %q", field)
		})
		if err != nil {
			return fmt.Errorf("tensor %s: %w", key, err)
		}
		if seen != 3 || len(end) != 2 {
			return fmt.Errorf("tensor %s: want dtype, shape and two data_offsets", key)
		}
		var ok bool
		if t.DType, ok = safetensorsDTypes[dtype]; !ok {
			return fmt.Errorf("tensor %s: unsupported dtype %q", key, dtype)
		}
		tensors = append(tensors, t)
		ends = append(ends, [2]uint64{end[0], end[1]})
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, nil, errors.New("text after the JSON object")
	}
	return tensors, ends, meta, nil
}

// object calls field for each key of the JSON object that dec is about to read; field reads the value.
func object(dec *json.Decoder, field func(key string) error) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return fmt.Errorf("want an object, got %v", tok)
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return fmt.Errorf("want a key, got %v", tok)
		}
		if seen[key] {
			return fmt.Errorf("duplicate name %q", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
