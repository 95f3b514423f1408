package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"plumb/internal/kernels"
	"plumb/internal/testpaths"
)

func open(t *testing.T, path string) *Set {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// file builds a safetensors file from a header and its data.
func file(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func save(t *testing.T, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

// equalBits compares values bit for bit; any NaN equals any NaN.
func equalBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: value %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}

func TestStoredTypes(t *testing.T) {
	for _, c := range []struct {
		dtype, data string
		want        []float32
	}{
		{"F64", "\x00\x00\x00\x00\x00\x00\xf8\x3f", []float32{1.5}},
		{"F32", "\x00\x00\xc0\xbf", []float32{-1.5}},
		{"F16", "\x00\x3e\x01\x00\x00\xfc\x00\x80", []float32{1.5, 0x1p-24, float32(math.Inf(-1)), float32(math.Copysign(0, -1))}},
		{"BF16", "\xc0\x3f\x80\xff", []float32{1.5, float32(math.Inf(-1))}},
		{"F8_E4M3", "\x3c\xc8\x01\x7f\x7e", []float32{1.5, -4, 0x1p-9, float32(math.NaN()), 448}},
		{"F8_E5M2", "\x3e\xfc\x01", []float32{1.5, float32(math.Inf(-1)), 0x1p-16}},
		{"I64", "\xfe\xff\xff\xff\xff\xff\xff\xff", []float32{-2}},
		{"I32", "\xfe\xff\xff\xff", []float32{-2}},
		{"I16", "\xfe\xff", []float32{-2}},
		{"I8", "\xfe", []float32{-2}},
		{"U64", "\xfe\x00\x00\x00\x00\x00\x00\x00", []float32{254}},
		{"U32", "\xfe\x00\x00\x00", []float32{254}},
		{"U16", "\xfe\x00", []float32{254}},
		{"U8", "\xfe", []float32{254}},
		{"BOOL", "\x01\x00", []float32{1, 0}},
	} {
		n := len(c.want)
		header := `{"x":{"dtype":"` + c.dtype + `","shape":[` + itoa(n) + `],"data_offsets":[0,` + itoa(len(c.data)) + `]}}`
		s := open(t, save(t, "a.safetensors", file(header, c.data)))
		x, err := s.Take("x", n)
		if err != nil {
			t.Fatal(err)
		}
		equalBits(t, c.dtype, x.Float32(), c.want)
	}
}

func itoa(n int) string { return fmt.Sprint(n) }

const twoTensors = `{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[2],"data_offsets":[16,18]}}`

var twoData = "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x07\x08"

func TestEachTensorExactlyOnce(t *testing.T) {
	s := open(t, save(t, "m.safetensors", file(twoTensors, twoData)))
	if got := s.Names(); !reflect.DeepEqual(got, []string{"a.weight", "b"}) {
		t.Fatalf("names %v", got)
	}
	if s.Metadata()["format"] != "pt" || s.GGUF() || !s.Has("b") || s.Has("c") {
		t.Error("metadata or Has is wrong")
	}
	_, err := s.Take("c", 4, 4)
	wantError(t, err, "tensor c is missing", "(4, 4)", "m.safetensors")
	_, err = s.Take("a.weight", 2, 3)
	wantError(t, err, "a.weight has shape (2, 2), expected (2, 3)")
	_, err = s.Take("a.weight", 4)
	wantError(t, err, "expected (4)")
	wantError(t, s.Unused(), "2 tensors", "a.weight, b") // a refused Take takes nothing
	a, err := s.Take("a.weight", -1, 2)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 2)
	a.Row(1, row)
	equalBits(t, "row", row, []float32{3, 4})
	_, err = s.Take("a.weight")
	wantError(t, err, "a.weight is used twice")
	wantError(t, s.Unused(), "1 tensors", ": b")
	s.Ignore("b*")
	if err := s.Unused(); err != nil {
		t.Error(err)
	}
	if _, err := s.Take("b", 2); err != nil { // Ignore does not hide
		t.Error(err)
	}
}

func TestHostileSafetensors(t *testing.T) {
	entry := func(fields string) string { return `{"x":{` + fields + `}}` }
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, "truncated"},
		"short":            {[]byte{1, 2, 3}, "truncated"},
		"huge header":      {[]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"), "over the limit"},
		"header past end":  {[]byte("\x40\x00\x00\x00\x00\x00\x00\x00{}"), "truncated"},
		"not an object":    {file(`[1]`, ""), "not a JSON object"},
		"bad json":         {file(`{"x":`, ""), "header"},
		"trailing json":    {file(`{} {}`, ""), "after the JSON"},
		"html":             {[]byte("<!DOCTYPE html><html>"), "over the limit"},
		"duplicate":        {file(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "ab"), `duplicate name "x"`},
		"duplicate field":  {file(entry(`"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]`), "a"), "duplicate"},
		"unknown dtype":    {file(entry(`"dtype":"Q9","shape":[1],"data_offsets":[0,1]`), "a"), `unsupported dtype "Q9"`},
		"missing shape":    {file(entry(`"dtype":"U8","data_offsets":[0,1]`), "a"), "want dtype, shape"},
		"negative dim":     {file(entry(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`), "a"), "tensor x"},
		"fraction":         {file(entry(`"dtype":"U8","shape":[1.5],"data_offsets":[0,1]`), "a"), "tensor x"},
		"overflow":         {file(entry(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), ""), "too large"},
		"huge dim":         {file(entry(`"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]`), "abcd"), "too large"},
		"wrong size":       {file(entry(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`), "abcd"), "needs 8 bytes, the header gives 4"},
		"out of range":     {file(entry(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`), "abcd"), "outside the 4 bytes"},
		"reversed":         {file(entry(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`), "abcd"), "outside"},
		"three offsets":    {file(entry(`"dtype":"F32","shape":[1],"data_offsets":[0,4,4]`), "abcd"), "two data_offsets"},
		"overlap":          {file(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "abc"), "overlap or hole"},
		"hole":             {file(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, "abc"), "overlap or hole"},
		"trailing data":    {file(entry(`"dtype":"U8","shape":[1],"data_offsets":[0,1]`), "abc"), "belong to no tensor"},
		"metadata numbers": {file(`{"__metadata__":{"a":1}}`, ""), "object of strings"},
	} {
		t.Run(name, func(t *testing.T) {
			p := save(t, "bad.safetensors", c.file)
			_, err := Open(p)
			wantError(t, err, c.want, "bad.safetensors")
		})
	}
}

func TestShards(t *testing.T) {
	one := file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "\x01")
	two := file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "\x02")
	for name, c := range map[string]struct {
		index, want string
	}{
		"good":          {`{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, ""},
		"absent shard":  {`{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`, "3.safetensors"},
		"promised":      {`{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}`, "lacks c"},
		"not promised":  {`{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`, "tensor b is not this shard's"},
		"path":          {`{"weight_map":{"a":"../1.safetensors"}}`, "not a plain file name"},
		"dots":          {`{"weight_map":{"a":".."}}`, "not a plain file name"},
		"empty":         {`{"weight_map":{}}`, "missing or empty"},
		"broken":        {`{"weight_map":`, "index.json"},
		"wrong type":    {`{"weight_map":{"a":1}}`, "index.json"},
		"null":          {`null`, "missing or empty"},
		"absolute path": {`{"weight_map":{"a":"/etc/passwd"}}`, "not a plain file name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for f, b := range map[string][]byte{"1.safetensors": one, "2.safetensors": two, "model.safetensors.index.json": []byte(c.index)} {
				if err := os.WriteFile(filepath.Join(dir, f), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(dir)
			if c.want != "" {
				wantError(t, err, c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i, n := range []string{"a", "b"} {
				x, err := s.Take(n, 1)
				if err != nil {
					t.Fatal(err)
				}
				equalBits(t, n, x.Float32(), []float32{float32(i + 1)})
			}
		})
	}
}

func TestOpenNamesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir)
	wantError(t, err, "no weights")
	if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir)
	wantError(t, err, "pytorch_model.bin", "safetensors")
	for _, n := range []string{"a.gguf", "b.gguf"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(dir)
	wantError(t, err, "a.gguf, b.gguf")
	_, err = Open(filepath.Join(dir, "pytorch_model.bin"))
	wantError(t, err, "not weights")
	_, err = Open(filepath.Join(dir, "nothing"))
	wantError(t, err, "nothing")
}

func TestWriteSafetensors(t *testing.T) {
	dir := t.TempDir()
	tensors := []Named{
		{Name: "z", Shape: []int{2, 2}, F32: []float32{1, 2, 3, 4}},
		{Name: "h", Shape: []int{3}, F32: []float32{1.5, 65504, 0x1p-24}, As: F16},
		{Name: "b<", Shape: nil, F32: []float32{1.0 + 1.0/256}, As: BF16},
		{Name: "empty", Shape: []int{0, 4}, F32: nil},
	}
	meta := map[string]string{"format": "pt", "a": "b"}
	p, q := filepath.Join(dir, "p.safetensors"), filepath.Join(dir, "q.safetensors")
	if err := WriteSafetensors(p, tensors, meta); err != nil {
		t.Fatal(err)
	}
	tensors[0], tensors[3] = tensors[3], tensors[0]
	if err := WriteSafetensors(q, tensors, meta); err != nil {
		t.Fatal(err)
	}
	x, _ := os.ReadFile(p)
	y, _ := os.ReadFile(q)
	if len(x) == 0 || !bytes.Equal(x, y) {
		t.Error("bytes depend on the order of the tensors")
	}
	if n := binary.LittleEndian.Uint64(x); n%8 != 0 {
		t.Errorf("header of %d bytes: data is not aligned", n)
	}
	s := open(t, p)
	for name, want := range map[string][]float32{"z": {1, 2, 3, 4}, "h": {1.5, 65504, 0x1p-24}, "b<": {1}, "empty": {}} {
		got, err := s.Take(name)
		if err != nil {
			t.Fatal(err)
		}
		equalBits(t, name, got.Float32(), want)
	}
	if err := s.Unused(); err != nil {
		t.Error(err)
	}
	for want, bad := range map[string][]Named{
		"given twice":   {{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}},
		"with 1 values": {{Name: "a", Shape: []int{2}, F32: []float32{1}}},
		"cannot write":  {{Name: "a", Shape: []int{0}, As: I64}},
		`named ""`:      {{Shape: []int{0}}},
		"negative":      {{Name: "a", Shape: []int{-1, -1}, F32: []float32{1}}},
	} {
		wantError(t, WriteSafetensors(p, bad, nil), want)
	}
	if again, _ := os.ReadFile(p); !bytes.Equal(again, x) {
		t.Error("a refused write touched the file")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("%d files, want 2: temporary files are left", len(entries))
	}
}

func TestPanelsHoldTheRows(t *testing.T) {
	s := open(t, testpaths.Oracle(t, "gguf", "types.gguf"))
	x, err := s.Take("q4_k", 3, 256)
	if err != nil {
		t.Fatal(err)
	}
	p := x.Panels(kernels.PanelF32)
	got, want := make([]float32, 256), make([]float32, 256)
	for i := range 3 {
		p.Row(got, i)
		x.Row(i, want)
		equalBits(t, "row", got, want)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(file(twoTensors, twoData))
	f.Add(file(`{}`, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, _, err := parseSafetensors(b)
		if err != nil {
			return
		}
		n := 0
		for _, x := range tensors {
			if x.Len() > 1<<20 {
				continue // only possible with an empty dimension elsewhere or a large input
			}
			n += len(x.Data)
			x.Float32()
		}
		if n > len(b) {
			t.Fatalf("tensors hold %d bytes of a file of %d", n, len(b))
		}
	})
}
