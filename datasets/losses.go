package datasets

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Loss is one thing that a conversion cannot carry over.
type Loss struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Row  bool   `json:"row"` // records that have it are refused (and counted as rejected); otherwise they are written without it
}

// Unread says what reading a format leaves behind, in words.
func Unread(name string) []string {
	if fm, ok := formats[name]; ok {
		return fm.unread
	}
	return nil
}

// Losses says what a conversion from one format to another loses, by what the formats can hold. An empty list means that every record
// comes back equal. Names are those of Formats; a path names its container too, so that what CSV itself cannot hold is said.
func Losses(from, to string) ([]Loss, error) {
	a, _, err := formatAndContainer(from)
	if err != nil {
		return nil, err
	}
	b, c, err := formatAndContainer(to)
	if err != nil {
		return nil, err
	}
	if b.encode == nil {
		return nil, fmt.Errorf("format %q can be read but not written", b.name)
	}
	var out []Loss
	for _, k := range []Kind{Preference, Instruction, Unpaired, PromptOnly} {
		if a.can.kind(k) && !b.can.kind(k) {
			out = append(out, Loss{k.String() + " records", b.name + " has no form for them", true})
		}
	}
	for _, p := range []struct {
		from, to bool
		what     string
		row      bool
	}{
		{a.can.chat, b.can.chat, "conversations", true},
		{a.can.raw, b.can.raw, "raw texts without roles", true},
		{a.can.tools, b.can.tools, lostTools, false},
		{a.can.name, b.can.name, lostName, false},
		{a.can.id, b.can.id, "ids (rows get their number instead)", false},
		{a.can.margin, b.can.margin, lostMargin, false},
		{a.can.scores, b.can.scores, lostScores, false},
		{a.can.label, b.can.label, lostLabel, false},
		{a.can.split, b.can.split, lostSplit, false},
		{a.can.source, b.can.source, "provenance (file, row, hash of the original)", false},
		{a.can.copies, b.can.copies, lostCopies, false},
		{a.can.meta, b.can.meta, lostMeta, false},
	} {
		if p.from && !p.to {
			out = append(out, Loss{p.what, b.name + " has no field for it", p.row})
		}
	}
	for _, what := range a.unread {
		out = append(out, Loss{what, a.name + " is read without it", false})
	}
	if a != b {
		for _, n := range b.notes {
			out = append(out, Loss{"exact form", n, false})
		}
	}
	if c == containerCSV || c == containerTSV {
		out = append(out, Loss{"records with a carriage return", "CSV readers turn it into a line feed", true})
	}
	return out, nil
}

// formatAndContainer takes "hh", "out.csv" or "trl:out.csv".
func formatAndContainer(s string) (*format, container, error) {
	if fm, ok := formats[s]; ok {
		return fm, "", nil
	}
	name, path, found := strings.Cut(s, ":")
	if !found {
		name, path = "", s
	}
	c, _, err := containerOf(filepath.Base(path))
	if err != nil {
		return nil, "", fmt.Errorf("unknown format %q: expected one of %v, or a file name", s, FormatNames())
	}
	if name == "" {
		name = defaultFormat(c)
	}
	fm, ok := formats[name]
	if !ok {
		return nil, "", fmt.Errorf("unknown format %q: expected one of %v", name, FormatNames())
	}
	return fm, c, nil
}
