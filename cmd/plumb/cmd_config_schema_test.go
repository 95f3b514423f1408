package main

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"plumb/configs"
)

// unknownKeys lists the keys below n that a schema without room for others does not have.
func unknownKeys(s *jsonschema.Schema, n *configs.Node, path string) (list []string) {
	if s.Properties == nil || s.AdditionalProperties != jsonschema.FalseSchema {
		return nil
	}
	for _, key := range n.Keys() {
		p, ok := s.Properties.Get(key)
		if !ok {
			list = append(list, path+key)
			continue
		}
		list = append(list, unknownKeys(p, n.Get(key), path+key+".")...)
	}
	return list
}

func TestStagesFitTheirSchema(t *testing.T) {
	names, err := fs.Glob(configs.FS, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		src, err := configs.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		root, err := configs.Parse(name, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		stages := root.Get("stages")
		for _, key := range stages.Keys() {
			kind := key
			if k := stages.Get(key).Get("kind"); k != nil {
				kind = k.Text()
			}
			s, err := stageSchema(kind)
			if err != nil {
				t.Fatal(err)
			}
			if list := unknownKeys(s, stages.Get(key), ""); len(list) > 0 {
				t.Errorf("%s: %s: the schema of %s has no %s", name, key, kind, strings.Join(list, ", "))
			}
			seen++
		}
	}
	if seen < 15 {
		t.Errorf("only %d stages were seen", seen)
	}
}

// TestSchemaSaysTypesAndDefaults also holds every resolved key of every kind against its schema.
func TestSchemaSaysTypesAndDefaults(t *testing.T) {
	for kind, make := range kinds {
		s, err := stageSchema(kind)
		if err != nil {
			t.Fatal(err)
		}
		b, err := configs.Resolve(make(&experiment{Seed: 42, Compute: "auto"}))
		if err != nil {
			t.Fatal(err)
		}
		root, err := configs.Parse(kind, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if list := unknownKeys(s, root, ""); len(list) > 0 {
			t.Errorf("%s: no %v", kind, list)
		}
		if len(s.Required) > 0 {
			t.Errorf("%s: requires %v: every key has a default", kind, s.Required)
		}
	}
	s, err := stageSchema("dpo")
	if err != nil {
		t.Fatal(err)
	}
	beta, _ := s.Properties.Get("beta")
	lora, _ := s.Properties.Get("lora")
	r, _ := lora.Properties.Get("r")
	rate, _ := s.Properties.Get("learning_rate")
	if rate.Default != 1e-6 {
		t.Errorf("learning_rate %v (%T)", rate.Default, rate.Default)
	}
	if beta.Type != "number" || beta.Default != 0.1 || r.Type != "integer" || r.Default != uint64(8) {
		t.Errorf("beta %s %v, lora.r %s %v (%T)", beta.Type, beta.Default, r.Type, r.Default, r.Default)
	}
	wrong, err := configs.Parse("x", []byte("lora: {rank: 8}\nbetta: 1\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if list := unknownKeys(s, wrong, ""); strings.Join(list, " ") != "lora.rank betta" {
		t.Errorf("wrong keys: %v", list)
	}
	if _, err := stageSchema("dance"); err == nil || !strings.Contains(err.Error(), "want one of") {
		t.Errorf("an unknown kind: %v", err)
	}
}
