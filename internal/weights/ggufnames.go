package weights

import (
	"fmt"
	"regexp"
)

// ggufModel is what is needed to give llama.cpp's tensors back the names, row order and orientation of Hugging Face.
type ggufModel struct {
	arch           string
	heads, kvHeads int
	original       map[string]string // Hugging Face name -> llama.cpp name
	ropeFactors    []float32         // rope_freqs.weight: divisors of the rotary frequencies, nil when absent
}

var decoderNames = map[string]string{
	"token_embd.weight":  "model.embed_tokens.weight",
	"output_norm.weight": "model.norm.weight",
	"output.weight":      "lm_head.weight",
}

var decoderBlockNames = map[string]string{
	"attn_norm":   "input_layernorm",
	"attn_q":      "self_attn.q_proj",
	"attn_k":      "self_attn.k_proj",
	"attn_v":      "self_attn.v_proj",
	"attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm",
	"attn_k_norm": "self_attn.k_norm",
	"ffn_norm":    "post_attention_layernorm",
	"ffn_gate":    "mlp.gate_proj",
	"ffn_up":      "mlp.up_proj",
	"ffn_down":    "mlp.down_proj",
}

var gpt2Names = map[string]string{
	"token_embd.weight":    "transformer.wte.weight",
	"position_embd.weight": "transformer.wpe.weight",
	"output_norm.weight":   "transformer.ln_f.weight",
	"output_norm.bias":     "transformer.ln_f.bias",
	"output.weight":        "lm_head.weight",
}

var gpt2BlockNames = map[string]string{
	"attn_norm":   "ln_1",
	"attn_qkv":    "attn.c_attn",
	"attn_output": "attn.c_proj",
	"ffn_norm":    "ln_2",
	"ffn_up":      "mlp.c_fc",
	"ffn_down":    "mlp.c_proj",
}

// ggufArchs are the architectures whose names are known: global names, block names, the prefix of a block.
var ggufArchs = map[string]struct {
	global, block map[string]string
	prefix        string
}{
	"llama": {decoderNames, decoderBlockNames, "model.layers."},
	"qwen2": {decoderNames, decoderBlockNames, "model.layers."},
	"qwen3": {decoderNames, decoderBlockNames, "model.layers."},
	"gpt2":  {gpt2Names, gpt2BlockNames, "transformer.h."},
}

var (
	blockName = regexp.MustCompile(`^blk\.(0|[1-9][0-9]{0,5})\.([a-z_]+)\.(weight|bias)$`)
	permuted  = regexp.MustCompile(`\.attn_[qk]\.(weight|bias)$`)
	conv1D    = regexp.MustCompile(`\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$`)
)

// hfName is the Hugging Face name of a llama.cpp tensor; a name it does not know stays, so that Unused can say it.
func hfName(arch, name string) string {
	a := ggufArchs[arch]
	if to, ok := a.global[name]; ok {
		return to
	}
	if m := blockName.FindStringSubmatch(name); m != nil {
		if to, ok := a.block[m[2]]; ok {
			return a.prefix + m[1] + "." + to + "." + m[3]
		}
	}
	return name
}

// addGGUF adds a GGUF file under Hugging Face's names.
func (s *Set) addGGUF(path string) error {
	b, unmap, err := mapFile(path)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	s.close = append(s.close, unmap)
	tensors, meta, err := parseGGUF(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if n, err := metaInt(meta, "split.count", 0); err != nil || n > 1 {
		return fmt.Errorf("%s: one of several split GGUF files; join them with llama.cpp's gguf-split --merge", path)
	}
	g := &ggufModel{original: map[string]string{}}
	g.arch, _ = meta["general.architecture"].(string)
	if g.heads, err = metaInt(meta, g.arch+".attention.head_count", 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if g.kvHeads, err = metaInt(meta, g.arch+".attention.head_count_kv", g.heads); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.gguf, s.meta = g, meta
	for _, t := range tensors {
		if t.Name == "rope_freqs.weight" && t.DType == F32 {
			g.ropeFactors = t.Float32() // says what config.json says elsewhere: it is no weight
			continue
		}
		name := hfName(g.arch, t.Name)
		if s.tensors[name] != nil {
			return fmt.Errorf("%s: tensor %s occurs twice", path, name)
		}
		g.original[name] = t.Name
		t.Name = name
		if g.arch == "gpt2" && conv1D.MatchString(g.original[name]) && len(t.Shape) == 2 {
			t.Shape[0], t.Shape[1] = t.Shape[1], t.Shape[0] // as Conv1D stores it; restore turns the values
		}
		s.tensors[name] = t
	}
	return nil
}

// restore undoes what llama.cpp's converter did to the values: the row order of q and k in llama models, the transposition
// of GPT-2's Conv1D. Other tensors come back as they are, still mapped.
func (g *ggufModel) restore(t *Tensor) (*Tensor, error) {
	name := g.original[t.Name]
	switch {
	case g.arch == "llama" && permuted.MatchString(name):
		heads := g.heads
		if name[len(name)-len("k.weight")] == 'k' || name[len(name)-len("k.bias")] == 'k' {
			heads = g.kvHeads
		}
		return unpermute(t, heads)
	case g.arch == "gpt2" && conv1D.MatchString(name) && len(t.Shape) == 2:
		return transpose(t), nil
	}
	return t, nil
}

// unpermute puts rows back in Hugging Face's order. llama.cpp interleaves the two halves of every head, because its rotary
// embedding turns neighbouring values: row (head, 2*i+half) there is row (head, half, i) here.
func unpermute(t *Tensor, heads int) (*Tensor, error) {
	if len(t.Shape) == 0 || heads <= 0 || t.Shape[0]%(2*heads) != 0 {
		return nil, fmt.Errorf("shape %s does not divide into the halves of %d heads", shapeString(t.Shape), heads)
	}
	if len(t.Shape) == 1 && t.DType.Quantized() {
		return nil, fmt.Errorf("a vector of type %s cannot be reordered", t.DType)
	}
	rows := t.Shape[0]
	half := rows / heads / 2
	size := len(t.Data) / rows
	out := *t
	out.Data = make([]byte, len(t.Data))
	for r := range rows {
		h, in := r/(2*half), r%(2*half)
		from := h*2*half + in%half*2 + in/half
		copy(out.Data[r*size:(r+1)*size], t.Data[from*size:])
	}
	return &out, nil
}

// transpose turns a matrix whose Shape already says the wanted orientation and whose Data has the other. Blocks run along
// the stored rows, so the result is f32.
func transpose(t *Tensor) *Tensor {
	in, out := t.Shape[0], t.Shape[1]
	stored := Tensor{Name: t.Name, DType: t.DType, Shape: []int{out, in}, Data: t.Data}
	turned := Tensor{Name: t.Name, DType: F32, Shape: []int{in, out}, Data: make([]byte, 4*in*out)}
	row := make([]float32, in)
	for o := range out {
		stored.Row(o, row)
		for i, v := range row {
			putF32(turned.Data[4*(i*out+o):], v)
		}
	}
	return &turned
}
