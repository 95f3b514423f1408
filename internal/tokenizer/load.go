package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// companions are the files beside tokenizer.json that belong to a tokenizer.
var companions = []string{"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"}

// Load reads a model folder: tokenizer.json and, where present, tokenizer_config.json, special_tokens_map.json,
// chat_template.jinja and generation_config.json. An error names the file and the feature that is missing or unknown.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, "tokenizer.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t, err := build(&f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.source = nil
	t.files = map[string][]byte{"tokenizer.json": raw}
	for _, name := range companions {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		t.files[name] = b
	}
	if err := t.configure(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return t, nil
}

// tokenName is a token in a config file: a string, or an object with its content.
type tokenName string

func (n *tokenName) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var o struct{ Content string }
		if err := json.Unmarshal(b, &o); err != nil {
			return err
		}
		*n = tokenName(o.Content)
		return nil
	}
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s != nil {
		*n = tokenName(*s)
	}
	return nil
}

// tokenRoles are the special tokens that config files name.
var tokenRoles = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// configure reads the companions.
func (t *Tokenizer) configure() error {
	configs := map[string]map[string]json.RawMessage{}
	t.named = map[string]string{}
	for _, name := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		b := t.files[name]
		if b == nil {
			continue
		}
		var cfg map[string]json.RawMessage
		if err := json.Unmarshal(b, &cfg); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		configs[name] = cfg
		for _, role := range tokenRoles {
			var tok tokenName
			if raw, ok := cfg[role]; ok {
				if err := json.Unmarshal(raw, &tok); err != nil {
					return fmt.Errorf("%s: %s: %w", name, role, err)
				}
			}
			if tok != "" && t.named[role] == "" {
				t.named[role] = string(tok)
			}
		}
	}
	id := func(role string) int32 {
		if id, ok := t.ids[t.named[role]]; ok && t.named[role] != "" {
			return id
		}
		return -1
	}
	t.bos, t.eos, t.pad = id("bos_token"), id("eos_token"), id("pad_token")
	if err := t.readStops(); err != nil {
		return err
	}
	if b := t.files["chat_template.jinja"]; b != nil {
		t.template = &template{source: string(b)}
		return nil
	}
	source, err := templateSource(configs["tokenizer_config.json"]["chat_template"])
	if err != nil {
		return fmt.Errorf("tokenizer_config.json: chat_template: %w", err)
	}
	if source != "" {
		t.template = &template{source: source}
	}
	return nil
}

// templateSource takes the only template, or the one named "default" of a list.
func templateSource(b json.RawMessage) (string, error) {
	if isNull(b) {
		return "", nil
	}
	if b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		return s, err
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(b, &list); err != nil {
		return "", err
	}
	for _, e := range list {
		if e.Name == "default" {
			return e.Template, nil
		}
	}
	return "", nil
}

// readStops fills t.stop from the end of sequence and from generation_config.json, whose eos_token_id is an id or a list.
func (t *Tokenizer) readStops() error {
	if t.eos >= 0 {
		t.stop = append(t.stop, t.eos)
	}
	if b := t.files["generation_config.json"]; b != nil {
		var g struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if err := json.Unmarshal(b, &g); err != nil {
			return fmt.Errorf("generation_config.json: %w", err)
		}
		if !isNull(g.EOS) {
			var one int32
			var many []int32
			if json.Unmarshal(g.EOS, &one) == nil {
				many = []int32{one}
			} else if err := json.Unmarshal(g.EOS, &many); err != nil {
				return fmt.Errorf("generation_config.json: eos_token_id: expected an id or a list of ids: %w", err)
			}
			t.stop = append(t.stop, many...)
		}
	}
	slices.Sort(t.stop)
	t.stop = slices.Compact(t.stop)
	return nil
}
