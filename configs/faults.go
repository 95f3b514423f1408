package configs

import (
	"fmt"
	"sort"
	"strings"
)

// A Fault is one thing wrong with a configuration.
type Fault struct {
	File string // name of the source, or "--set key=value"
	Line int    // 0 where there is none: an override, or a default
	Key  string // dotted path, "" for the whole source
	Msg  string
}

func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Msg)
	return b.String()
}

// FaultKey is the dotted path of the value at fault.
func (f Fault) FaultKey() string { return f.Key }

// Faults is everything wrong with a configuration, in the order of its lines. Its text is one fault a line.
type Faults struct{ List []Fault }

func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, fault := range f.List {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Add takes up the faults of another error: all of a *Faults, anything else as one fault of the named source. Nil adds nothing.
func (f *Faults) Add(file string, err error) {
	switch e := err.(type) {
	case nil:
	case *Faults:
		for _, fault := range e.List {
			f.put(fault)
		}
	case Fault:
		f.put(e)
	default:
		f.put(Fault{File: file, Msg: e.Error()})
	}
}

// Err is f in the order of lines, nil when there is no fault.
func (f *Faults) Err() error {
	if len(f.List) == 0 {
		return nil
	}
	f.sort()
	return f
}

// put adds a fault unless it is known: a struct and one inlined in it may both report it.
func (f *Faults) put(fault Fault) {
	for _, known := range f.List {
		if known == fault {
			return
		}
	}
	f.List = append(f.List, fault)
}

// covers tells whether a value, or something it is part of, has a fault already.
func (f *Faults) covers(key string) bool {
	for _, known := range f.List {
		if rest, ok := strings.CutPrefix(key, known.Key); ok && known.Key != "" && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// sort orders by line; faults without a line (overrides and defaults) come last, in the order they were found.
func (f *Faults) sort() {
	sort.SliceStable(f.List, func(i, j int) bool {
		a, b := f.List[i], f.List[j]
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line == 0
		}
		return a.Line < b.Line
	})
}
