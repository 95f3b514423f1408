package weights

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

// Named is a tensor to be written: F32 in row-major order of Shape, stored as As (F32, F16 or BF16; F32 when unset).
type Named struct {
	Name  string
	Shape []int
	F32   []float32
	As    DType
}

// WriteSafetensors writes a safetensors file. The bytes depend on the arguments only (tensors sorted by name, header keys
// sorted, header padded to 8 bytes with spaces), and the file appears whole or not at all.
func WriteSafetensors(path string, tensors []Named, meta map[string]string) error {
	tensors = append([]Named(nil), tensors...)
	sort.Slice(tensors, func(a, b int) bool { return tensors[a].Name < tensors[b].Name })
	header, err := safetensorsHeader(tensors, meta)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return run.WriteFile(path, func(file io.Writer) error {
		w := bufio.NewWriterSize(file, 1<<20)
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(header)))
		w.Write(size[:]) // bufio keeps the first error for Flush
		w.Write(header)
		for _, t := range tensors {
			writeValues(w, t)
		}
		return w.Flush()
	})
}

func safetensorsHeader(tensors []Named, meta map[string]string) ([]byte, error) {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	fields := map[string]any{} // encoding/json writes map keys sorted
	if len(meta) > 0 {
		fields["__metadata__"] = meta
	}
	at := 0
	for i := range tensors {
		t := &tensors[i]
		if t.As == Invalid {
			t.As = F32
		}
		if t.As != F32 && t.As != F16 && t.As != BF16 {
			return nil, fmt.Errorf("tensor %s: cannot write type %s", t.Name, t.As)
		}
		if t.Name == "" || t.Name == "__metadata__" {
			return nil, fmt.Errorf("a tensor is named %q", t.Name)
		}
		if _, twice := fields[t.Name]; twice {
			return nil, fmt.Errorf("tensor %s is given twice", t.Name)
		}
		size, err := byteSize(t.As, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if size != len(t.F32)*dtypes[t.As].bytes {
			return nil, fmt.Errorf("tensor %s: shape %s with %d values", t.Name, shapeString(t.Shape), len(t.F32))
		}
		fields[t.Name] = entry{t.As.String(), append([]int{}, t.Shape...), [2]int{at, at + size}}
		at += size
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		return nil, err
	}
	b.Truncate(b.Len() - 1) // Encode's newline
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return b.Bytes(), nil
}

func writeValues(w *bufio.Writer, t Named) {
	var b [4]byte
	for _, v := range t.F32 {
		switch t.As {
		case F32:
			putF32(b[:], v)
			w.Write(b[:4])
		case BF16:
			binary.LittleEndian.PutUint16(b[:], kernels.ToBF16(v))
			w.Write(b[:2])
		case F16:
			binary.LittleEndian.PutUint16(b[:], kernels.ToF16(v))
			w.Write(b[:2])
		}
	}
}

func putF32(b []byte, v float32) { binary.LittleEndian.PutUint32(b, math.Float32bits(v)) }
