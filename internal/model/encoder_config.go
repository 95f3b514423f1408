package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// EncoderConfig is the shape of a BERT, RoBERTa or MPNet encoder.
type EncoderConfig struct {
	Type         string            `json:"model_type"`
	Hidden       int               `json:"hidden_size"`
	Layers       int               `json:"num_hidden_layers"`
	Heads        int               `json:"num_attention_heads"`
	Intermediate int               `json:"intermediate_size"`
	Vocab        int               `json:"vocab_size"`
	MaxPositions int               `json:"max_position_embeddings"`
	TypeVocab    int               `json:"type_vocab_size"`
	Eps          float64           `json:"layer_norm_eps"`
	Act          string            `json:"hidden_act"`
	Pad          int               `json:"pad_token_id"`
	PosType      string            `json:"position_embedding_type"`
	Buckets      int               `json:"relative_attention_num_buckets"`
	Labels       map[string]string `json:"id2label"`
	InitRange    float64           `json:"initializer_range"`
	// Restart gives the second text of a pair the positions of the first, so that what stands in the same place is seen to.
	// The key is ours: elsewhere the position ids must be given.
	Restart bool `json:"plumb_restart_positions"`
}

func parseEncoderConfig(src []byte) (c EncoderConfig, err error) {
	c = EncoderConfig{Eps: 1e-12, Act: "gelu", PosType: "absolute", TypeVocab: 2, Buckets: 32, InitRange: 0.02}
	if err := json.Unmarshal(src, &c); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	switch c.Type {
	case "bert", "roberta", "mpnet":
	case "xlm-roberta", "camembert":
		c.Type = "roberta"
	default:
		return c, fmt.Errorf("config.json: model_type %q: known encoders are bert, roberta and mpnet", c.Type)
	}
	return c, c.check()
}

// check returns every fault of the shape.
func (c *EncoderConfig) check() (err error) {
	for name, v := range map[string]int{"hidden_size": c.Hidden, "num_hidden_layers": c.Layers, "num_attention_heads": c.Heads,
		"intermediate_size": c.Intermediate, "vocab_size": c.Vocab, "max_position_embeddings": c.MaxPositions} {
		if v < 1 || v > maxDim {
			err = errors.Join(err, fmt.Errorf("config.json: %s is %d, want a number from 1 to %d", name, v, maxDim))
		}
	}
	if err != nil {
		return err
	}
	switch {
	case c.Hidden%c.Heads != 0:
		err = fmt.Errorf("config.json: hidden_size %d is not a multiple of num_attention_heads %d", c.Hidden, c.Heads)
	case c.Act != "gelu" && c.Act != "gelu_new":
		err = fmt.Errorf("config.json: hidden_act %q: known are gelu and gelu_new", c.Act)
	case c.PosType != "absolute":
		err = fmt.Errorf("config.json: position_embedding_type %q: only absolute is supported", c.PosType)
	}
	return err
}

// file returns the config.json that transformers loads as BertForSequenceClassification.
func (c *EncoderConfig) file() map[string]any {
	return map[string]any{
		"architectures": []string{"BertForSequenceClassification"}, "model_type": c.Type, "hidden_size": c.Hidden,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "intermediate_size": c.Intermediate, "vocab_size": c.Vocab,
		"max_position_embeddings": c.MaxPositions, "type_vocab_size": c.TypeVocab, "layer_norm_eps": c.Eps, "hidden_act": c.Act,
		"pad_token_id": c.Pad, "initializer_range": c.InitRange, "id2label": map[string]string{"0": "same"},
		"label2id": map[string]int{"same": 0}, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0,
		"torch_dtype": "float32", "plumb_restart_positions": c.Restart,
	}
}

// firstPosition is the row of the position table that the first token reads: RoBERTa and MPNet count from
// behind the padding index.
func (c *EncoderConfig) firstPosition() int {
	if c.Type == "bert" {
		return 0
	}
	return c.Pad + 1
}

// pooling says how token states become one vector, from a sentence-transformers folder.
type pooling struct {
	CLS       bool `json:"pooling_mode_cls_token"`
	Mean      bool `json:"pooling_mode_mean_tokens"`
	Max       bool `json:"pooling_mode_max_tokens"`
	SqrtLen   bool `json:"pooling_mode_mean_sqrt_len_tokens"`
	Weighted  bool `json:"pooling_mode_weightedmean_tokens"`
	Last      bool `json:"pooling_mode_lasttoken"`
	normalize bool
	maxLen    int
}

// readPooling reads modules.json and what it names. A plain encoder folder pools by the mean, without normalisation.
func readPooling(dir string) (p pooling, err error) {
	p = pooling{Mean: true}
	var limit struct {
		MaxSeqLength int `json:"max_seq_length"`
	}
	if err := readJSON(filepath.Join(dir, "sentence_bert_config.json"), &limit); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	p.maxLen = limit.MaxSeqLength
	var modules []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	if err := readJSON(filepath.Join(dir, "modules.json"), &modules); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
		return p, err
	}
	for _, m := range modules {
		switch filepath.Ext(m.Type) {
		case ".Transformer":
		case ".Pooling":
			p.Mean = false
			if err := readJSON(filepath.Join(dir, filepath.FromSlash(m.Path), "config.json"), &p); err != nil {
				return p, err
			}
		case ".Normalize":
			p.normalize = true
		default:
			return p, fmt.Errorf("modules.json: module %s is not supported", m.Type)
		}
	}
	if p.Max || p.SqrtLen || p.Weighted || p.Last || p.CLS == p.Mean {
		return p, errors.New("1_Pooling/config.json: exactly one of pooling_mode_cls_token and pooling_mode_mean_tokens is supported")
	}
	return p, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
