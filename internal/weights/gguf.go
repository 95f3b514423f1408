package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"unicode/utf8"
)

// Limits of the format and of good sense; the file's own size bounds every count besides.
const (
	ggufMaxDims  = 4
	ggufMaxDepth = 4
	ggufMaxAlign = 1 << 20
)

// cursor reads little-endian values and remembers the first error.
type cursor struct {
	b   []byte
	at  int
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("byte %d: %w", c.at, fmt.Errorf(format, args...))
	}
}

var errTruncated = errors.New("truncated")

// take returns the next n bytes; after an error, or past the end, nil.
func (c *cursor) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.b)-c.at) {
		c.fail("%w: %d bytes wanted, %d left", errTruncated, n, len(c.b)-c.at)
		return nil
	}
	c.at += int(n)
	return c.b[c.at-int(n) : c.at]
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) str() string { return string(c.take(c.u64())) }

// count reads a number of things of at least size bytes each, so that nothing is allocated for what cannot be there.
func (c *cursor) count(size uint64, what string) int {
	n := c.u64()
	if c.err == nil && n > uint64(len(c.b)-c.at)/size {
		c.fail("%w: %d %s in the %d bytes left", errTruncated, n, what, len(c.b)-c.at)
		return 0
	}
	return int(n)
}

// GGUF value types.
const (
	ggufU8 = iota
	ggufI8
	ggufU16
	ggufI16
	ggufU32
	ggufI32
	ggufF32
	ggufBool
	ggufString
	ggufArray
	ggufU64
	ggufI64
	ggufF64
)

var ggufSizes = map[uint32]uint64{
	ggufU8: 1, ggufI8: 1, ggufU16: 2, ggufI16: 2, ggufU32: 4, ggufI32: 4, ggufF32: 4, ggufBool: 1, ggufString: 8, ggufArray: 12,
	ggufU64: 8, ggufI64: 8, ggufF64: 8,
}

func (c *cursor) value(kind uint32, depth int) any {
	switch kind {
	case ggufString:
		return c.str()
	case ggufArray:
		return c.array(depth)
	case ggufU64:
		return c.u64()
	case ggufI64:
		return int64(c.u64())
	case ggufF64:
		return math.Float64frombits(c.u64())
	case ggufU32:
		return c.u32()
	case ggufI32:
		return int32(c.u32())
	case ggufF32:
		return math.Float32frombits(c.u32())
	}
	size, ok := ggufSizes[kind]
	if !ok {
		c.fail("unknown value type %d", kind)
		return nil
	}
	b := c.take(size)
	if b == nil {
		return nil
	}
	switch kind {
	case ggufU8:
		return b[0]
	case ggufI8:
		return int8(b[0])
	case ggufU16:
		return binary.LittleEndian.Uint16(b)
	case ggufI16:
		return int16(binary.LittleEndian.Uint16(b))
	}
	if b[0] > 1 {
		c.fail("a bool is %d", b[0])
	}
	return b[0] == 1
}

func (c *cursor) array(depth int) any {
	kind := c.u32()
	if depth >= ggufMaxDepth {
		c.fail("arrays nested deeper than %d", ggufMaxDepth)
		return nil
	}
	size, ok := ggufSizes[kind]
	if !ok {
		c.fail("array of unknown value type %d", kind)
		return nil
	}
	n := c.count(size, "array elements")
	switch kind {
	case ggufU8:
		return elements[uint8](c, kind, n)
	case ggufI8:
		return elements[int8](c, kind, n)
	case ggufU16:
		return elements[uint16](c, kind, n)
	case ggufI16:
		return elements[int16](c, kind, n)
	case ggufU32:
		return elements[uint32](c, kind, n)
	case ggufI32:
		return elements[int32](c, kind, n)
	case ggufF32:
		return elements[float32](c, kind, n)
	case ggufBool:
		return elements[bool](c, kind, n)
	case ggufString:
		return elements[string](c, kind, n)
	case ggufU64:
		return elements[uint64](c, kind, n)
	case ggufI64:
		return elements[int64](c, kind, n)
	case ggufF64:
		return elements[float64](c, kind, n)
	}
	out := make([]any, 0, n)
	for i := 0; i < n && c.err == nil; i++ {
		out = append(out, c.array(depth+1))
	}
	return out
}

func elements[T any](c *cursor, kind uint32, n int) []T {
	out := make([]T, 0, n)
	for i := 0; i < n; i++ {
		v := c.value(kind, 0)
		if c.err != nil {
			return nil
		}
		out = append(out, v.(T))
	}
	return out
}

// parseGGUF reads a GGUF file of version 2 or 3 held in b: its metadata and its tensors (llama.cpp's names, shapes in
// row-major order, so reversed from the file), whose Data are parts of b.
func parseGGUF(b []byte) ([]*Tensor, map[string]any, error) {
	c := &cursor{b: b}
	if string(c.take(4)) != "GGUF" {
		return nil, nil, errors.New("not a GGUF file: it does not begin with GGUF")
	}
	switch v := c.u32(); {
	case c.err != nil:
		return nil, nil, c.err
	case v == 2<<24 || v == 3<<24:
		return nil, nil, errors.New("big-endian GGUF; only little-endian files are read")
	case v != 2 && v != 3:
		return nil, nil, fmt.Errorf("GGUF version %d; versions 2 and 3 are read", v)
	}
	const leastTensor, leastPair = 8 + 4 + 4 + 8, 8 + 4 + 1
	nTensors := c.count(leastTensor, "tensors")
	nPairs := c.count(leastPair, "metadata entries")
	meta := make(map[string]any)
	for i := 0; i < nPairs && c.err == nil; i++ {
		key := c.str()
		kind := c.u32()
		if _, twice := meta[key]; twice {
			c.fail("metadata %q occurs twice", key)
		}
		if meta[key] = c.value(kind, 0); c.err != nil {
			return nil, nil, fmt.Errorf("metadata %q: %w", clip(key), c.err)
		}
	}
	align := uint64(32)
	if v, ok := meta["general.alignment"]; ok {
		a, isU32 := v.(uint32)
		if !isU32 || a == 0 || a&(a-1) != 0 || a > ggufMaxAlign {
			return nil, nil, fmt.Errorf("general.alignment is %v, want a power of two up to %d", v, ggufMaxAlign)
		}
		align = uint64(a)
	}
	var tensors []*Tensor
	var offsets []uint64
	seen := map[string]bool{}
	for i := 0; i < nTensors && c.err == nil; i++ {
		t, offset := c.tensorInfo()
		if c.err != nil {
			break
		}
		if seen[t.Name] {
			return nil, nil, fmt.Errorf("tensor %s occurs twice", t.Name)
		}
		seen[t.Name] = true
		if offset%align != 0 {
			return nil, nil, fmt.Errorf("tensor %s: offset %d is not a multiple of the alignment %d", t.Name, offset, align)
		}
		tensors, offsets = append(tensors, t), append(offsets, offset)
	}
	if c.err != nil {
		return nil, nil, fmt.Errorf("header: %w", c.err)
	}
	start := (uint64(c.at) + align - 1) / align * align
	if start > uint64(len(b)) {
		start = uint64(len(b)) // a file without tensor data may end at the header
	}
	return tensors, meta, slice(tensors, offsets, b[start:])
}

// tensorInfo reads one entry of the tensor table.
func (c *cursor) tensorInfo() (*Tensor, uint64) {
	t := &Tensor{Name: c.str()}
	if c.err == nil && (t.Name == "" || !utf8.ValidString(t.Name)) {
		c.fail("a tensor has an empty or garbled name")
	}
	n := c.u32()
	if n > ggufMaxDims {
		c.fail("tensor %s has %d dimensions, at most %d are possible", clip(t.Name), n, ggufMaxDims)
	}
	if c.err != nil {
		return t, 0
	}
	t.Shape = make([]int, n)
	for i := range t.Shape {
		d := c.u64()
		if d > maxElements {
			c.fail("tensor %s: dimension %d is too large", clip(t.Name), d)
			return t, 0
		}
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	kind := c.u32()
	var ok bool
	if t.DType, ok = ggufDTypes[kind]; !ok && c.err == nil {
		name := ggufTypeNames[kind]
		if name == "" {
			name = fmt.Sprintf("number %d", kind)
		}
		c.fail("tensor %s has type %s, which is not supported; requantise to Q4_K_M, Q8_0, F16 or BF16", clip(t.Name), name)
	}
	return t, c.u64()
}

// slice gives each tensor its part of data and refuses parts that leave it or overlap.
func slice(tensors []*Tensor, offsets []uint64, data []byte) error {
	order := make([]int, len(tensors))
	for i, t := range tensors {
		order[i] = i
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		lo := offsets[i]
		if lo > uint64(len(data)) || uint64(size) > uint64(len(data))-lo {
			return fmt.Errorf("tensor %s: %d bytes at %d lie outside the %d bytes of data (truncated or damaged)", t.Name, size, lo, len(data))
		}
		t.Data = data[lo : lo+uint64(size) : lo+uint64(size)]
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := order[a], order[b]
		return offsets[x] < offsets[y] || offsets[x] == offsets[y] && len(tensors[x].Data) < len(tensors[y].Data)
	})
	at := uint64(0)
	for _, i := range order {
		if offsets[i] < at {
			return fmt.Errorf("tensor %s starts at %d, inside the tensor before it", tensors[i].Name, offsets[i])
		}
		at = offsets[i] + uint64(len(tensors[i].Data))
	}
	return nil
}

// clip shortens a name from a hostile file for an error message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
