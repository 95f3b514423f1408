package datasets

import (
	"sort"
)

// format gives rows a meaning.
type format struct {
	name    string
	about   string
	order   int                                              // detection asks in this order
	detect  func(f fields) bool                              // do these fields look like it?
	decode  func(f fields, o *ReadOptions) ([]Record, error) // nil when group is set
	group   func(o *ReadOptions) grouper                     // for formats whose rows only together make records
	encode  func(r *Record) (any, error)                     // the row of a record; nil when the format is only read
	can     holds
	columns []string // the fields in order, for formats that fit a table of text
	notes   []string // what writing loses that the table of capabilities cannot say
	unread  []string // what reading leaves behind
}

// Format describes a format to people.
type Format struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Write bool   `json:"write"`
}

var formats = map[string]*format{}

func register(f *format) { formats[f.name] = f }

// FormatNames lists the formats by name.
func FormatNames() []string {
	names := make([]string, 0, len(formats))
	for n := range formats {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Formats describes every format, by name.
func Formats() []Format {
	list := make([]Format, 0, len(formats))
	for _, n := range FormatNames() {
		list = append(list, Format{n, formats[n].about, formats[n].encode != nil})
	}
	return list
}

// detect names the format that a row's fields belong to, or "".
func detect(f fields) string {
	best := ""
	for name, fm := range formats {
		if fm.detect(f) && (best == "" || fm.order < formats[best].order) {
			best = name
		}
	}
	return best
}

// holds is what a format can carry besides the texts themselves.
type holds struct {
	kinds  []Kind
	chat   bool // roles
	raw    bool // texts without roles
	tools  bool
	name   bool // names of speakers
	id     bool
	margin bool
	scores bool
	label  bool
	split  bool
	source bool
	copies bool
	meta   bool
}

func (h holds) kind(k Kind) bool {
	for _, x := range h.kinds {
		if x == k {
			return true
		}
	}
	return false
}

// What a record can lose, as reports name it.
const (
	lostTools  = "tool definitions"
	lostName   = "names of speakers and ids of tool calls"
	lostMargin = "margins"
	lostScores = "scores"
	lostLabel  = "labels"
	lostSplit  = "splits"
	lostCopies = "the number of copies a record stands for"
	lostMeta   = "metadata"
)

// lost counts what a record has and the format does not hold. Ids and provenance are in every record; Losses names them.
func (h *holds) lost(r *Record, count map[string]int64) {
	if !h.tools && r.Tools != "" {
		count[lostTools]++
	}
	if !h.name && (named(r.Prompt) || named(r.Chosen) || named(r.Rejected)) {
		count[lostName]++
	}
	if !h.margin && r.Margin != nil {
		count[lostMargin]++
	}
	if !h.scores && (r.ChosenScore != nil || r.RejectedScore != nil) {
		count[lostScores]++
	}
	if !h.label && r.Label != nil {
		count[lostLabel]++
	}
	if !h.split && r.Split != "" {
		count[lostSplit]++
	}
	if !h.copies && r.Copies > 1 {
		count[lostCopies]++
	}
	if !h.meta && len(r.Meta) > 0 {
		count[lostMeta]++
	}
}

func named(msgs []Message) bool {
	for i := range msgs {
		if msgs[i].Name != "" || msgs[i].ToolCallID != "" {
			return true
		}
	}
	return false
}
