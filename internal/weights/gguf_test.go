package weights

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"plumb/internal/testpaths"
)

func TestBlockTypesEqualPythonGGUF(t *testing.T) {
	have := open(t, testpaths.Oracle(t, "gguf", "types.gguf"))
	want := open(t, testpaths.Oracle(t, "gguf", "types.safetensors"))
	if len(want.Names()) != 11 || !reflect.DeepEqual(have.Names(), want.Names()) {
		t.Fatalf("types %v, want %v", have.Names(), want.Names())
	}
	for _, name := range want.Names() {
		x, err := have.Take(name, 3, 256)
		if err != nil {
			t.Fatal(err)
		}
		y, err := want.Take(name, 3, 256)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ToLower(x.DType.String()) != name {
			t.Errorf("%s has type %s", name, x.DType)
		}
		equalBits(t, name, x.Float32(), y.Float32())
		row := make([]float32, 256)
		x.Row(2, row)
		equalBits(t, name+" row", row, y.Float32()[512:])
	}
	if got := have.Metadata()["test.strings"]; !reflect.DeepEqual(got, []string{"a", "", "é"}) {
		t.Errorf("strings %q", got)
	}
	if got := have.Metadata()["test.int32"]; !reflect.DeepEqual(got, []int32{1, -2, 3}) {
		t.Errorf("int32 %v", got)
	}
	if got := have.Metadata()["test.uint32"]; got != uint32(7) {
		t.Errorf("uint32 %v", got)
	}
	_, err := have.ConfigJSON()
	wantError(t, err, `unknown architecture "none"`)
}

// The files were written by Python's gguf as llama.cpp's converter writes them; transformers' own loader read them back to
// the same tensors when they were made.
func TestModelsComeBackAsHuggingFaceWroteThem(t *testing.T) {
	for _, arch := range []string{"llama", "gpt2"} {
		have := open(t, testpaths.Oracle(t, "gguf", arch+".gguf"))
		want := open(t, testpaths.Oracle(t, "gguf", arch+".safetensors"))
		for _, name := range want.Names() {
			y, err := want.Take(name)
			if err != nil {
				t.Fatal(err)
			}
			x, err := have.Take(name, y.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			equalBits(t, arch+" "+name, x.Float32(), y.Float32())
		}
		if err := have.Unused(); err != nil {
			t.Error(err)
		}
	}
}

func config(t *testing.T, s *Set) map[string]any {
	t.Helper()
	b, err := s.ConfigJSON()
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigFromMetadata(t *testing.T) {
	for arch, want := range map[string]map[string]any{
		"llama": {
			"model_type": "llama", "hidden_size": 32., "intermediate_size": 48., "num_hidden_layers": 2., "num_attention_heads": 4.,
			"num_key_value_heads": 2., "head_dim": 8., "max_position_embeddings": 131072., "rms_norm_eps": 1e-5, "rope_theta": 500000.,
			"vocab_size": 64., "tie_word_embeddings": false, "attention_bias": false, "hidden_act": "silu",
			"architectures": []any{"LlamaForCausalLM"},
			"rope_scaling": map[string]any{
				"rope_type": "llama3", "factor": 32., "low_freq_factor": 1., "high_freq_factor": 4., "original_max_position_embeddings": 8192.,
			},
		},
		"gpt2": {
			"model_type": "gpt2", "n_embd": 32., "n_inner": 128., "n_layer": 1., "n_head": 4., "n_positions": 128., "layer_norm_epsilon": 1e-5,
			"vocab_size": 64., "tie_word_embeddings": true, "activation_function": "gelu_new", "architectures": []any{"GPT2LMHeadModel"},
		},
	} {
		if got := config(t, open(t, testpaths.Oracle(t, "gguf", arch+".gguf"))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: config %v, want %v", arch, got, want)
		}
	}
	_, err := open(t, testpaths.Oracle(t, "gguf", "llama.safetensors")).ConfigJSON()
	wantError(t, err, "config.json")
}

// The golden is a SHA-256 of each tensor's f32 bytes as transformers' GGUF loader gives it.
func TestSmolLM2EqualsTransformers(t *testing.T) {
	path := testpaths.SmolLM2(t)
	b, err := os.ReadFile(testpaths.Oracle(t, "smollm2", "tensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if len(want) != 272 || len(s.Names()) != len(want) {
		t.Fatalf("%d tensors, golden %d, want 272", len(s.Names()), len(want))
	}
	for _, name := range s.Names() {
		x, err := s.Take(name)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		row, raw := make([]float32, x.Cols()), make([]byte, 4*x.Cols())
		for i := range x.Rows() {
			x.Row(i, row)
			for j, v := range row {
				putF32(raw[4*j:], v)
			}
			h.Write(raw)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want[name] {
			t.Errorf("%s differs from transformers", name)
		}
	}
	c := config(t, s)
	if c["hidden_size"] != 576. || c["num_key_value_heads"] != 3. || c["rope_theta"] != 100000. || c["vocab_size"] != 49152. || c["tie_word_embeddings"] != true {
		t.Errorf("config %v", c)
	}
	if n := len(s.Metadata()["tokenizer.ggml.tokens"].([]string)); n != 49152 {
		t.Errorf("%d tokens", n)
	}
}

// builder writes a GGUF file by hand, so that it can be wrong.
type builder struct{ bytes.Buffer }

func (b *builder) u32(v uint32) *builder { b.Write(binary.LittleEndian.AppendUint32(nil, v)); return b }
func (b *builder) u64(v uint64) *builder { b.Write(binary.LittleEndian.AppendUint64(nil, v)); return b }
func (b *builder) str(s string) *builder { b.u64(uint64(len(s))).WriteString(s); return b }
func (b *builder) tensor(name string, kind uint32, offset uint64, dims ...uint64) *builder {
	b.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(kind).u64(offset)
}

// data pads the header to the alignment and adds n bytes.
func (b *builder) data(n int) []byte {
	for b.Len()%32 != 0 {
		b.WriteByte(0)
	}
	b.Write(make([]byte, n))
	return b.Bytes()
}

func header(version uint32, tensors, pairs uint64) *builder {
	b := &builder{}
	b.WriteString("GGUF")
	return b.u32(version).u64(tensors).u64(pairs)
}

func TestHostileGGUF(t *testing.T) {
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, "not a GGUF file"},
		"magic":            {[]byte("GGML1234"), "not a GGUF file"},
		"only magic":       {[]byte("GGUF"), "truncated"},
		"version 1":        {header(1, 0, 0).Bytes(), "version 1"},
		"big-endian":       {header(3<<24, 0, 0).Bytes(), "big-endian"},
		"many tensors":     {header(3, 1<<62, 0).Bytes(), "truncated"},
		"many pairs":       {header(3, 0, 1<<62).Bytes(), "truncated"},
		"long key":         {header(3, 0, 1).u64(1 << 60).u64(0).u64(0).Bytes(), "truncated"},
		"value type":       {header(3, 0, 1).str("key").u32(99).u64(0).Bytes(), "unknown value type 99"},
		"array type":       {header(3, 0, 1).str("key").u32(ggufArray).u32(77).u64(0).Bytes(), "array of unknown value type 77"},
		"long array":       {header(3, 0, 1).str("key").u32(ggufArray).u32(ggufU32).u64(1 << 61).Bytes(), "truncated"},
		"bool 2":           {header(3, 0, 1).str("key").u32(ggufBool).u32(2).Bytes(), "a bool is 2"},
		"twice":            {header(3, 0, 2).str("k").u32(ggufU32).u32(1).str("k").u32(ggufU32).u32(1).Bytes(), "occurs twice"},
		"alignment 3":      {header(3, 0, 1).str("general.alignment").u32(ggufU32).u32(3).Bytes(), "power of two"},
		"alignment 0":      {header(3, 0, 1).str("general.alignment").u32(ggufU32).u32(0).Bytes(), "power of two"},
		"alignment string": {header(3, 0, 1).str("general.alignment").u32(ggufString).str("x").Bytes(), "power of two"},
		"dims":             {header(3, 1, 0).tensor("x", 0, 0, 1, 1, 1, 1, 1).data(4), "5 dimensions"},
		"dim overflow":     {header(3, 1, 0).tensor("x", 0, 0, 1<<40, 1<<40).data(4), "too large"},
		"huge dim":         {header(3, 1, 0).tensor("x", 0, 0, 1<<63).data(4), "too large"},
		"block cut":        {header(3, 1, 0).tensor("x", 8, 0, 33).data(64), "whole blocks of 32"},
		"no type":          {header(3, 1, 0).tensor("x", 555, 0, 1).data(4), "number 555"},
		"unsupported type": {header(3, 1, 0).tensor("x", 10, 0, 256).data(512), "Q2_K"},
		"offset":           {header(3, 1, 0).tensor("x", 0, 1<<40, 1).data(4), "outside the 4 bytes"},
		"offset wraps":     {header(3, 1, 0).tensor("x", 0, math.MaxUint64-31, 16).data(4), "outside"},
		"offset unaligned": {header(3, 1, 0).tensor("x", 0, 4, 1).data(64), "multiple of the alignment"},
		"past end":         {header(3, 1, 0).tensor("x", 0, 0, 100).data(4), "outside the 4 bytes"},
		"overlap":          {header(3, 2, 0).tensor("x", 0, 0, 16).tensor("y", 0, 32, 8).data(64), "inside the tensor before"},
		"same name":        {header(3, 2, 0).tensor("x", 0, 0, 8).tensor("x", 0, 32, 8).data(64), "occurs twice"},
		"no name":          {header(3, 1, 0).tensor("", 0, 0, 8).data(64), "name"},
		"garbled name":     {header(3, 1, 0).tensor("\xff", 0, 0, 8).data(64), "name"},
		"split":            {header(3, 0, 1).str("split.count").u32(ggufU32).u32(3).Bytes(), "split"},
		"heads":            {header(3, 0, 2).str("general.architecture").u32(ggufString).str("llama").str("llama.attention.head_count").u32(ggufF32).u32(0).Bytes(), "head_count"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(save(t, "bad.gguf", c.file))
			wantError(t, err, c.want, "bad.gguf")
		})
	}
	deep := header(3, 0, 1).str("key").u32(ggufArray)
	for range 100000 {
		deep.u32(ggufArray).u64(1)
	}
	_, err := Open(save(t, "deep.gguf", deep.Bytes()))
	wantError(t, err, "nested deeper")
}

func TestEveryTruncationOfAGGUFIsAnError(t *testing.T) {
	b, err := os.ReadFile(testpaths.Oracle(t, "gguf", "gpt2.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parseGGUF(b); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(b)-32; n += 1 + n/64 { // the last bytes may be padding
		if _, _, err := parseGGUF(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(b))
		}
	}
}

func TestUnknownTensorIsNamed(t *testing.T) {
	b := header(3, 2, 2).str("general.architecture").u32(ggufString).str("llama").str("llama.attention.head_count").u32(ggufU32).u32(3)
	b.tensor("blk.0.surprise.weight", 0, 0, 8).tensor("blk.0.attn_q.weight", 0, 32, 2, 4)
	s := open(t, save(t, "m.gguf", b.data(64)))
	_, err := s.Take("model.layers.0.self_attn.q_proj.weight", 4, 2)
	wantError(t, err, "halves of 3 heads")
	s.Ignore("model.*")
	wantError(t, s.Unused(), "blk.0.surprise.weight")
	_, err = s.ConfigJSON()
	wantError(t, err, "llama.embedding_length is missing", "llama.block_count is missing")
}

func FuzzGGUF(f *testing.F) {
	f.Add(header(3, 1, 1).str("a").u32(ggufArray).u32(ggufString).u64(1).str("b").tensor("x", 8, 0, 32, 2).data(68))
	f.Add(header(2, 1, 1).str("general.architecture").u32(ggufString).str("gpt2").tensor("blk.0.ffn_up.weight", 0, 0, 2, 3).data(24))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, _, err := parseGGUF(b)
		if err != nil {
			return
		}
		for _, x := range tensors {
			if len(x.Data) <= 1<<20 && x.Len() <= 1<<20 {
				x.Float32()
			}
		}
	})
}
