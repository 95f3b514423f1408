package adapters

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// selection is which layers a PEFT file says it adapts, by the rules of PEFT's check_target_module_exists: a string
// is a regular expression for the whole path, a list holds paths or their ends.
type selection struct {
	any                 bool // the file does not say, or in an expression that Go does not have: its tensors decide
	target, exclude     *regexp.Regexp
	targets, exclusions []string
	layers              []int // layers_to_transform; empty: all
	layersPattern       []string
}

// layerIndex finds the first numbered part of a path.
var layerIndex = regexp.MustCompile(`^.*?\.[^.]*\.(\d+)\.`)

func readSelection(raw map[string]json.RawMessage) (s selection, err error) {
	var known bool
	if s.target, s.targets, known, err = oneOrMany(raw["target_modules"]); err != nil {
		return s, fmt.Errorf("target_modules: %w", err)
	}
	s.any = !known || s.target == nil && len(s.targets) == 0
	if s.exclude, s.exclusions, known, err = oneOrMany(raw["exclude_modules"]); err != nil {
		return s, fmt.Errorf("exclude_modules: %w", err)
	}
	s.any = s.any || !known
	if v := raw["layers_to_transform"]; v != nil {
		var one *int
		if json.Unmarshal(v, &one) == nil && one != nil {
			s.layers = []int{*one}
		} else if err = json.Unmarshal(v, &s.layers); err != nil {
			return s, fmt.Errorf("layers_to_transform: %w", err)
		}
	}
	if v := raw["layers_pattern"]; v != nil {
		_ = json.Unmarshal(v, &s.layersPattern)
		var one string
		if json.Unmarshal(v, &one) == nil && one != "" {
			s.layersPattern = []string{one}
		}
	}
	return s, nil
}

// oneOrMany reads a regular expression or a list of names; known is false for an expression of Python's that Go lacks.
func oneOrMany(v json.RawMessage) (re *regexp.Regexp, names []string, known bool, err error) {
	if v == nil || json.Unmarshal(v, &names) == nil {
		return nil, names, true, nil
	}
	var expr string
	if err := json.Unmarshal(v, &expr); err != nil {
		return nil, nil, false, err
	}
	switch {
	case expr == "":
		return nil, nil, true, nil
	case expr == AllLinear:
		return nil, []string{AllLinear}, true, nil
	}
	re, err = regexp.Compile(`^(?:` + expr + `)$`)
	return re, nil, err == nil, nil
}

func named(re *regexp.Regexp, names []string, path string) bool {
	return re != nil && re.MatchString(path) || slices.ContainsFunc(names, func(n string) bool {
		return n == AllLinear || n == path || strings.HasSuffix(path, "."+n)
	})
}

// wants reports whether the file adapts the layer at path.
func (s selection) wants(path string) bool {
	if named(s.exclude, s.exclusions, path) || !named(s.target, s.targets, path) {
		return false
	}
	if len(s.layers) == 0 || s.target != nil { // PEFT looks at layers for lists only
		return true
	}
	find := []*regexp.Regexp{layerIndex}
	if len(s.layersPattern) > 0 {
		find = nil
		for _, p := range s.layersPattern {
			if re, err := regexp.Compile(`^(?:|.*?\.)` + p + `\.(\d+)\.`); err == nil {
				find = append(find, re)
			}
		}
	}
	for _, re := range find {
		if m := re.FindStringSubmatch(path); m != nil {
			i, err := strconv.Atoi(m[len(m)-1])
			return err == nil && slices.Contains(s.layers, i)
		}
	}
	return false
}
