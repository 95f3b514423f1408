package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Set is all tensors of one model, each to be taken exactly once. It is not safe for concurrent use; the tensors are.
type Set struct {
	path    string
	tensors map[string]*Tensor
	state   map[string]state // taken or ignored; absent: still there
	meta    map[string]any
	gguf    *ggufModel
	close   []func() error
}

type state uint8

const (
	taken state = iota + 1
	ignored
)

// Open maps the weights at a path: a folder (model.safetensors, the shards of model.safetensors.index.json, or one .gguf
// file), a .safetensors file, or a .gguf file. Everything that can be checked without reading the values is checked here.
func Open(path string) (*Set, error) {
	s := &Set{path: path, tensors: map[string]*Tensor{}, state: map[string]state{}, meta: map[string]any{}}
	if err := s.open(path); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Set) open(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	if st.IsDir() {
		return s.openDir(path)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".safetensors":
		return s.addSafetensors(path, nil)
	case ".gguf":
		return s.addGGUF(path)
	case ".json":
		if strings.HasSuffix(path, ".safetensors.index.json") {
			return s.addShards(path)
		}
	}
	return fmt.Errorf("%s: not weights: want a folder, a .safetensors or a .gguf file", path)
}

func (s *Set) openDir(dir string) error {
	for _, name := range []string{"model.safetensors", "adapter_model.safetensors"} {
		if p := filepath.Join(dir, name); exists(p) {
			return s.addSafetensors(p, nil)
		}
	}
	if p := filepath.Join(dir, "model.safetensors.index.json"); exists(p) {
		return s.addShards(p)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	var ggufs []string
	pickled := ""
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".gguf":
			ggufs = append(ggufs, e.Name())
		case ".bin", ".pt", ".pth":
			pickled = e.Name()
		}
	}
	switch {
	case len(ggufs) == 1:
		return s.addGGUF(filepath.Join(dir, ggufs[0]))
	case len(ggufs) > 1:
		return fmt.Errorf("%s: several GGUF files (%s): name one of them", dir, strings.Join(ggufs, ", "))
	case pickled != "":
		return fmt.Errorf("%s: only pickled weights (%s), which can run code when loaded; save the model as safetensors", dir, pickled)
	}
	return fmt.Errorf("%s: no weights: want model.safetensors, model.safetensors.index.json or one .gguf file", dir)
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// addSafetensors adds one file. index, where given, is the names the file must hold, no more and no fewer.
func (s *Set) addSafetensors(path string, index map[string]bool) error {
	b, unmap, err := mapFile(path)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	s.close = append(s.close, unmap)
	tensors, meta, err := parseSafetensors(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range tensors {
		if s.tensors[t.Name] != nil {
			return fmt.Errorf("%s: tensor %s is also in another shard", path, t.Name)
		}
		if index != nil && !index[t.Name] {
			return fmt.Errorf("%s: tensor %s is not this shard's in the index", path, t.Name)
		}
		delete(index, t.Name)
		s.tensors[t.Name] = t
	}
	if len(index) > 0 {
		return fmt.Errorf("%s: lacks %s, which the index promises", path, list(index))
	}
	for k, v := range meta {
		s.meta[k] = v
	}
	return nil
}

func (s *Set) addShards(index string) error {
	b, err := os.ReadFile(index)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	var file struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return fmt.Errorf("%s: %w", index, err)
	}
	if len(file.WeightMap) == 0 {
		return fmt.Errorf("%s: weight_map is missing or empty", index)
	}
	shards := map[string]map[string]bool{}
	for name, shard := range file.WeightMap {
		// A shard lies beside its index: a path could reach anywhere.
		if shard == "" || shard != path.Base(shard) || shard != filepath.Base(shard) || shard == "." || shard == ".." {
			return fmt.Errorf("%s: tensor %s: %q is not a plain file name", index, name, shard)
		}
		if shards[shard] == nil {
			shards[shard] = map[string]bool{}
		}
		shards[shard][name] = true
	}
	for _, shard := range sorted(shards) {
		if err := s.addSafetensors(filepath.Join(filepath.Dir(index), shard), shards[shard]); err != nil {
			return err
		}
	}
	return nil
}

// Take hands out the tensor of a name and marks it used. Where a shape is given it must be that; -1 stands for any
// length. It is an error to take a tensor that is missing or was taken before.
func (s *Set) Take(name string, shape ...int) (*Tensor, error) {
	t := s.tensors[name]
	if t == nil {
		want := ""
		if len(shape) > 0 {
			want = ", expected with shape " + shapeString(shape)
		}
		return nil, fmt.Errorf("%s: tensor %s is missing%s", s.path, name, want)
	}
	if s.state[name] == taken {
		return nil, fmt.Errorf("%s: tensor %s is used twice", s.path, name)
	}
	if len(shape) > 0 && !fits(t.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %s has shape %s, expected %s", s.path, name, shapeString(t.Shape), shapeString(shape))
	}
	if s.gguf != nil {
		var err error
		if t, err = s.gguf.restore(t); err != nil {
			return nil, fmt.Errorf("%s: tensor %s: %w", s.path, name, err)
		}
	}
	s.state[name] = taken
	return t, nil
}

func fits(have, want []int) bool {
	if len(have) != len(want) {
		return false
	}
	for i, w := range want {
		if w >= 0 && have[i] != w {
			return false
		}
	}
	return true
}

// Has tells whether the model has a tensor of that name, taken or not.
func (s *Set) Has(name string) bool { return s.tensors[name] != nil }

// Shape is the shape of a tensor, nil when there is none of that name. It does not take the tensor.
func (s *Set) Shape(name string) []int {
	if t := s.tensors[name]; t != nil {
		return append([]int{}, t.Shape...)
	}
	return nil
}

// Names are all tensor names, sorted.
func (s *Set) Names() []string { return sorted(s.tensors) }

// Ignore marks the tensors not yet taken whose name matches a path.Match pattern ("*.attn.bias") as not wanted. A bad
// pattern matches nothing.
func (s *Set) Ignore(pattern string) {
	for name := range s.tensors {
		if ok, err := path.Match(pattern, name); ok && err == nil && s.state[name] == 0 {
			s.state[name] = ignored
		}
	}
}

// Unused is an error that names the tensors nobody took or ignored, nil when there are none.
func (s *Set) Unused() error {
	left := map[string]bool{}
	for name := range s.tensors {
		if s.state[name] == 0 {
			left[name] = true
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d tensors are not part of this architecture: %s", s.path, len(left), list(left))
}

// Metadata is what the file says beside its tensors. Safetensors: strings. GGUF: bool, string, (u)int8..64, float32,
// float64, and slices of these ([]string, []int32, ...; []any for arrays of arrays). The caller must not change it.
func (s *Set) Metadata() map[string]any { return s.meta }

// GGUF tells whether the weights come from a GGUF file.
func (s *Set) GGUF() bool { return s.gguf != nil }

// Close unmaps the files; no tensor may be read afterwards. A set that lives as long as the process needs no Close.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.close {
		errs = append(errs, f())
	}
	s.close, s.tensors = nil, nil
	return errors.Join(errs...)
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// list names up to ten members of a set.
func list(m map[string]bool) string {
	names := sorted(m)
	const most = 10
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
