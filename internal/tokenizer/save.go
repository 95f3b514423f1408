package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Save writes the tokenizer into dir, which is made where it is missing: tokenizer.json, tokenizer_config.json,
// special_tokens_map.json and, where the stop ids are more than the end of sequence, generation_config.json. transformers'
// AutoTokenizer reads the folder and gives the same ids. The files of a tokenizer that came from a folder are copied.
// Each file appears whole or not at all.
func (t *Tokenizer) Save(dir string) error {
	files := t.files
	if t.source != nil {
		var err error
		if files, err = t.render(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range append([]string{"tokenizer.json"}, companions...) {
		if b, ok := files[name]; ok {
			if err := writeWhole(filepath.Join(dir, name), b); err != nil {
				return err
			}
		}
	}
	return nil
}

// render writes the files of a tokenizer that was made here.
func (t *Tokenizer) render() (map[string][]byte, error) {
	cfg := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
		"model_max_length": 1 << 30}
	for k, v := range t.named {
		cfg[k] = v
	}
	named := t.named
	if named == nil {
		named = map[string]string{}
	}
	if t.template != nil {
		cfg["chat_template"] = t.template.source
	}
	files := map[string][]byte{}
	for name, v := range map[string]any{"tokenizer.json": t.source, "tokenizer_config.json": cfg, "special_tokens_map.json": named} {
		b, err := pretty(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = b
	}
	if len(t.stop) > 1 || len(t.stop) == 1 && t.stop[0] != t.eos {
		b, err := pretty(map[string]any{"eos_token_id": t.stop})
		if err != nil {
			return nil, fmt.Errorf("generation_config.json: %w", err)
		}
		files["generation_config.json"] = b
	}
	return files, nil
}

// pretty is indented JSON without the escapes for HTML, with a line break at its end.
func pretty(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// writeWhole writes a file beside its place and renames it.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tokenizer-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
