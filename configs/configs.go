// Package configs owns the experiment files that come with Plumb and the strict loader of every configuration: it fills structs
// that arrive with their defaults, finds all faults at once with their lines, and writes a configuration as it was resolved.
//
// It must not know what any key means: meaning lives in the struct of the package that uses it. It imports nothing of the project.
package configs

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
)

// Load fills into, a pointer to a struct that holds the defaults, from YAML source and then from overrides "a.b=value", which
// pass the same checks. Name stands for the source in faults: usually its path.
//
// Keys are those of the fields' yaml tags. Faults are collected, never only the first: syntax, unknown and duplicate keys,
// wrong types (1.5 for an integer among them), and whatever the Validate() []error methods of into and of the structs in it say.
// An error of those with a FaultKey() string method is put at the line of that key. The error, if any, is a *Faults; values
// with a fault keep their default.
func Load(name string, src []byte, sets []string, into any) error {
	faults := &Faults{}
	root := parse(name, src, faults)
	if root == nil {
		return faults
	}
	for _, s := range sets {
		override(root, s, faults)
	}
	return root.decode(into, nil, faults)
}

// Parse reads a configuration without decoding it, with its overrides in place. The error, if any, is a *Faults.
func Parse(name string, src []byte, sets []string) (*Node, error) {
	faults := &Faults{}
	root := parse(name, src, faults)
	if root != nil {
		for _, s := range sets {
			override(root, s, faults)
		}
	}
	return root, faults.Err()
}

// Resolve writes a configuration as YAML with every default in place, in the order of the struct's fields; Load reads it back
// to the same values. Equal configurations give equal bytes.
func Resolve(into any) ([]byte, error) {
	b, err := yaml.MarshalWithOptions(into, yaml.UseSingleQuote(false))
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	if !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	return b, nil
}

// decode fills into, which must point to a struct, and validates it. Keys in skip are left to the caller.
func (n *Node) decode(into any, skip []string, faults *Faults) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("configs: Load into %T: want a pointer to a struct", into)
	}
	d := &decoder{faults: faults, root: n, top: v.Elem().Type()}
	d.structure(n, v.Elem(), skip)
	validate(n, n.path, v, faults)
	if len(faults.List) > 0 {
		faults.sort()
		return faults
	}
	return nil
}
