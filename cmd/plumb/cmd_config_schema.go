package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"

	"plumb/configs"
	"plumb/internal/run"
)

// runConfigSchema prints the JSON schema of a stage, for editors that complete and check YAML.
func runConfigSchema(o configOptions, stdout io.Writer) error {
	s, err := stageSchema(o.Kind)
	if err != nil {
		return err
	}
	return printJSON(stdout, s)
}

// stageSchema describes a kind's stage: names, types and defaults of its keys. What values make sense is said by Validate, not here.
func stageSchema(kind string) (*jsonschema.Schema, error) {
	make, ok := kinds[kind]
	if !ok {
		names := kindNames()
		slices.Sort(names)
		return nil, run.Usage(fmt.Errorf("config schema %q: want one of %s", kind, strings.Join(names, ", ")))
	}
	stage := make(&experiment{Seed: 42, Compute: "auto"})
	// No key is required and none is shared between definitions: every struct stands where it is used.
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, DoNotReference: true, Anonymous: true}
	s := r.Reflect(stage)
	b, err := configs.Resolve(stage)
	if err != nil {
		return nil, err
	}
	defaults := map[string]any{}
	if err := yaml.Unmarshal(b, &defaults); err != nil {
		return nil, fmt.Errorf("config schema %s: %w", kind, err)
	}
	setDefaults(s, defaults)
	s.Title = "plumb " + kind
	s.Properties.Set("kind", &jsonschema.Schema{Type: "string", Description: "what a stage of another name does", Const: kind})
	return s, nil
}

func setDefaults(s *jsonschema.Schema, values map[string]any) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		under, isMap := values[p.Key].(map[string]any)
		if isMap && p.Value.Properties != nil {
			setDefaults(p.Value, under)
		} else if v, ok := values[p.Key]; ok {
			if text, isText := v.(string); isText && p.Value.Type == "number" { // 2e-05 has no point: a text to YAML 1.1
				if x, err := strconv.ParseFloat(text, 64); err == nil {
					v = x
				}
			}
			p.Value.Default = v
		}
	}
}
