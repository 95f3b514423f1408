package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/abadojack/whatlanggo"
)

// InspectOptions says what an inspection looks at.
type InspectOptions struct {
	Tokens       func(string) int // counts the tokens of a text; nil leaves tokens out
	Examples     int              // records shown; default 3
	MaxLanguages int              // records whose language is detected; default 20,000, after them every sixteenth
}

// Inspection is what Inspect found. Lengths are of whole sides: the contents of their messages together.
type Inspection struct {
	Records     int64             `json:"records"`
	Rows        int64             `json:"rows"`
	Rejected    int64             `json:"rejected"`
	Reasons     map[string]int64  `json:"reject_reasons,omitempty"`
	Unused      int64             `json:"unused"` // rows in no record although nothing is wrong with them
	WhyUnused   map[string]int64  `json:"unused_reasons,omitempty"`
	Formats     []string          `json:"formats,omitempty"`
	Schemas     []FileSchema      `json:"schemas,omitempty"`
	Kinds       map[string]int64  `json:"kinds"`
	Chat        int64             `json:"chat"` // records with roles; the others are raw text
	Fields      map[string]int64  `json:"fields"`
	Roles       map[string]int64  `json:"roles"`
	Splits      map[string]int64  `json:"splits,omitempty"`
	Sources     map[string]int64  `json:"sources,omitempty"`
	MetaKeys    map[string]int64  `json:"meta_keys,omitempty"`
	Characters  map[string]Spread `json:"characters"`
	Tokens      map[string]Spread `json:"tokens,omitempty"`
	Turns       Spread            `json:"turns"`
	Languages   []Language        `json:"languages"`
	LanguagesOf int64             `json:"languages_of"` // how many records were looked at
	Duplicates  Duplicates        `json:"duplicates"`
	Pairs       PairFacts         `json:"pairs"`
	Examples    []Example         `json:"examples"`
}

// Spread is the distribution of a length.
type Spread struct {
	Count  int64   `json:"count"`
	Min    int     `json:"min"`
	Mean   float64 `json:"mean"`
	Median int     `json:"median"`
	P90    int     `json:"p90"`
	P99    int     `json:"p99"`
	Max    int     `json:"max"`
	Total  int64   `json:"total"`
	Bins   []Bin   `json:"bins,omitempty"`
}

// Bin is one bar of a histogram: From <= length < To.
type Bin struct {
	From  int   `json:"from"`
	To    int   `json:"to"`
	Count int64 `json:"count"`
}

// Language is how many records are written in one; "und" where it cannot be told.
type Language struct {
	Code    string  `json:"code"`
	Name    string  `json:"name"`
	Records int64   `json:"records"`
	Share   float64 `json:"share"`
}

// Duplicates counts what occurs again.
type Duplicates struct {
	Exact         int64 `json:"exact"`          // records whose whole content was seen before
	Folded        int64 `json:"folded"`         // the same after case, spacing and Unicode forms are folded
	Prompts       int64 `json:"prompts"`        // distinct prompts
	SharedPrompts int64 `json:"shared_prompts"` // prompts with more than one record
	OnShared      int64 `json:"on_shared"`      // records that stand on such a prompt
	Flipped       int64 `json:"flipped"`        // pairs that occur in both orders
}

// PairFacts are facts about preference pairs.
type PairFacts struct {
	Pairs        int64   `json:"pairs"`
	Equal        int64   `json:"equal"`         // chosen says the same as rejected
	EqualFolded  int64   `json:"equal_folded"`  // the same but for case, spacing and Unicode forms
	ChosenLonger float64 `json:"chosen_longer"` // share of the pairs where chosen has more characters: a reward model learns this first
	EmptyAnswers int64   `json:"empty_answers"` // sides without any text
}

// Example is a record as people read it.
type Example struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Prompt   string `json:"prompt,omitempty"`
	Chosen   string `json:"chosen,omitempty"`
	Rejected string `json:"rejected,omitempty"`
}

// Inspector gathers facts over a stream of records: about 100 bytes a record.
type Inspector struct {
	opt     InspectOptions
	out     Inspection
	chars   map[string][]int32
	tokens  map[string][]int32
	turns   []int32
	content map[uint64]struct{}
	folded  map[uint64]struct{}
	prompts map[uint64]uint32
	orders  map[uint64]uint8
	langs   map[whatlanggo.Lang]int64
	unknown int64
	longer  int64
}

// NewInspector starts an inspection.
func NewInspector(opt InspectOptions) *Inspector {
	if opt.Examples == 0 {
		opt.Examples = 3
	}
	if opt.MaxLanguages == 0 {
		opt.MaxLanguages = 20_000
	}
	return &Inspector{opt: opt, chars: map[string][]int32{}, tokens: map[string][]int32{}, content: map[uint64]struct{}{},
		folded: map[uint64]struct{}{}, prompts: map[uint64]uint32{}, orders: map[uint64]uint8{}, langs: map[whatlanggo.Lang]int64{},
		out: Inspection{Kinds: map[string]int64{}, Fields: map[string]int64{}, Roles: map[string]int64{}, Splits: map[string]int64{},
			Sources: map[string]int64{}, MetaKeys: map[string]int64{}, Reasons: map[string]int64{}, WhyUnused: map[string]int64{}}}
}

// Inspect reads files and tells what is in them.
func Inspect(ctx context.Context, paths []string, read ReadOptions, opt InspectOptions) (Inspection, error) {
	in := NewInspector(opt)
	also := func(taken func(Reject)) func(Reject) {
		return func(r Reject) {
			in.AddReject(r)
			if taken != nil {
				taken(r)
			}
		}
	}
	read.OnReject, read.OnUnused = also(read.OnReject), also(read.OnUnused)
	read.columns = columnCounts{}
	err := each(ctx, paths, read, func(r *Record) error {
		in.Add(r)
		return nil
	}, func(opened Reader) {
		r := opened.(*reader)
		in.out.Rows += r.counts.Rows
		in.out.Formats = append(in.out.Formats, r.format)
		in.out.Schemas = append(in.out.Schemas, FileSchema{r.path, string(r.container), r.format, r.columns()})
	})
	if err != nil {
		return in.out, err
	}
	return in.Result(), nil
}

// AddReject counts a reject or an unused row under its reason without the particulars.
func (in *Inspector) AddReject(r Reject) {
	reason, _, _ := strings.Cut(r.Reason, ":")
	if i := strings.IndexAny(reason, `"0123456789`); i > 0 {
		reason = strings.TrimRight(reason[:i], " ")
	}
	if r.Unused {
		in.out.Unused++
		in.out.WhyUnused[reason]++
		return
	}
	in.out.Rejected++
	in.out.Reasons[reason]++
}

// Add takes a record.
func (in *Inspector) Add(r *Record) {
	o := &in.out
	o.Records++
	kind := r.Kind()
	o.Kinds[kind.String()]++
	if r.Chat() {
		o.Chat++
	}
	in.fields(r)
	sides := map[string][]Message{"prompt": r.Prompt, "chosen": r.Chosen, "rejected": r.Rejected}
	total, totalTokens := 0, 0
	for _, name := range []string{"prompt", "chosen", "rejected"} {
		msgs := sides[name]
		if len(msgs) == 0 {
			continue
		}
		n, tok := 0, 0
		for i := range msgs {
			n += utf8.RuneCountInString(msgs[i].Content)
			if in.opt.Tokens != nil {
				tok += in.opt.Tokens(msgs[i].Content)
			}
			if msgs[i].Role != "" {
				o.Roles[msgs[i].Role]++
			}
		}
		in.chars[name] = append(in.chars[name], int32(n))
		total += n
		if in.opt.Tokens != nil {
			in.tokens[name] = append(in.tokens[name], int32(tok))
			totalTokens += tok
		}
	}
	in.chars["record"] = append(in.chars["record"], int32(total))
	if in.opt.Tokens != nil {
		in.tokens["record"] = append(in.tokens["record"], int32(totalTokens))
	}
	in.turns = append(in.turns, int32(len(r.Prompt)+max(len(r.Chosen), len(r.Rejected))))
	in.duplicates(r)
	if kind == Preference {
		in.pair(r)
	}
	in.language(r)
	if len(o.Examples) < in.opt.Examples {
		o.Examples = append(o.Examples, Example{r.ID, kind.String(), readable(r.Prompt), readable(r.Chosen), readable(r.Rejected)})
	}
}

func (in *Inspector) fields(r *Record) {
	f := in.out.Fields
	count := func(name string, has bool) {
		if has {
			f[name]++
		}
	}
	count("prompt", len(r.Prompt) > 0)
	count("chosen", len(r.Chosen) > 0)
	count("rejected", len(r.Rejected) > 0)
	count("tools", r.Tools != "")
	count("margin", r.Margin != nil)
	count("chosen_score", r.ChosenScore != nil)
	count("rejected_score", r.RejectedScore != nil)
	count("label", r.Label != nil)
	count("split", r.Split != "")
	count("meta", len(r.Meta) > 0)
	if r.Split != "" {
		in.out.Splits[r.Split]++
	}
	in.out.Sources[r.Source.File]++
	for k := range r.Meta {
		in.out.MetaKeys[k]++
	}
}

func key64(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.LittleEndian.Uint64(sum[:])
}

func (in *Inspector) duplicates(r *Record) {
	d := &in.out.Duplicates
	h := key64(r.ContentHash())
	if _, seen := in.content[h]; seen {
		d.Exact++
	}
	in.content[h] = struct{}{}
	folded := *r
	folded.MapText(Fold)
	h = key64(folded.ContentHash())
	if _, seen := in.folded[h]; seen {
		d.Folded++
	}
	in.folded[h] = struct{}{}
	if len(r.Prompt) > 0 {
		in.prompts[key64(HashMessages(r.Prompt))]++
	}
	if r.Kind() == Preference {
		c, j := HashMessages(folded.Chosen), HashMessages(folded.Rejected)
		if c == j {
			in.out.Pairs.EqualFolded++
			return
		}
		bit := uint8(1)
		if c > j {
			c, j, bit = j, c, 2
		}
		k := key64(HashMessages(folded.Prompt) + c + j)
		if in.orders[k] != 3 && in.orders[k]|bit == 3 {
			d.Flipped++
		}
		in.orders[k] |= bit
	}
}

func (in *Inspector) pair(r *Record) {
	p := &in.out.Pairs
	p.Pairs++
	if EqualMessages(r.Chosen, r.Rejected) {
		p.Equal++
	}
	length := func(msgs []Message) (n int) {
		for i := range msgs {
			n += utf8.RuneCountInString(msgs[i].Content)
		}
		if strings.TrimSpace(flat(msgs)) == "" {
			p.EmptyAnswers++
		}
		return n
	}
	if length(r.Chosen) > length(r.Rejected) {
		in.longer++
	}
}

// language looks at the first 600 characters or so of prompt and answer.
func (in *Inspector) language(r *Record) {
	if n := in.out.Records; n > int64(in.opt.MaxLanguages) && n%16 != 0 {
		return
	}
	in.out.LanguagesOf++
	text := flat(join(r.Prompt, r.Chosen))
	if len(text) > 1000 {
		cut := 1000
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	info := whatlanggo.Detect(text)
	if info.Lang < 0 || info.Confidence < 0.1 {
		in.unknown++
		return
	}
	in.langs[info.Lang]++
}

// Result finishes the counts.
func (in *Inspector) Result() Inspection {
	o := in.out
	if o.Rows == 0 {
		o.Rows = o.Records + o.Rejected + o.Unused
	}
	o.Characters = map[string]Spread{}
	for name, v := range in.chars {
		o.Characters[name] = spread(v)
	}
	if in.opt.Tokens != nil {
		o.Tokens = map[string]Spread{}
		for name, v := range in.tokens {
			o.Tokens[name] = spread(v)
		}
	}
	o.Turns = spread(in.turns)
	for _, n := range in.prompts {
		o.Duplicates.Prompts++
		if n > 1 {
			o.Duplicates.SharedPrompts++
			o.Duplicates.OnShared += int64(n)
		}
	}
	if o.Pairs.Pairs > 0 {
		o.Pairs.ChosenLonger = float64(in.longer) / float64(o.Pairs.Pairs)
	}
	o.Languages = []Language{}
	for l, n := range in.langs {
		o.Languages = append(o.Languages, Language{Code: l.Iso6391(), Name: l.String(), Records: n})
	}
	if in.unknown > 0 {
		o.Languages = append(o.Languages, Language{Code: "und", Name: "undetermined", Records: in.unknown})
	}
	sort.Slice(o.Languages, func(i, j int) bool {
		a, b := o.Languages[i], o.Languages[j]
		return a.Records > b.Records || a.Records == b.Records && a.Name < b.Name
	})
	for i := range o.Languages {
		o.Languages[i].Share = float64(o.Languages[i].Records) / float64(o.LanguagesOf)
	}
	if o.Examples == nil {
		o.Examples = []Example{}
	}
	return o
}

// spread sorts a copy of the lengths; percentiles are by nearest rank.
func spread(v []int32) Spread {
	s := Spread{Count: int64(len(v))}
	if len(v) == 0 {
		return s
	}
	sorted := append([]int32(nil), v...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(p float64) int { return int(sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]) }
	for _, x := range sorted {
		s.Total += int64(x)
	}
	s.Min, s.Max, s.Median, s.P90, s.P99 = int(sorted[0]), int(sorted[len(sorted)-1]), at(0.5), at(0.9), at(0.99)
	s.Mean = float64(s.Total) / float64(len(sorted))
	// Bars up to the 99th percentile; the last one takes the tail.
	const bars = 40
	width := max(1, (s.P99-s.Min+bars)/bars)
	for from := s.Min; from <= s.P99; from += width {
		s.Bins = append(s.Bins, Bin{From: from, To: from + width})
	}
	last := len(s.Bins) - 1
	for _, x := range sorted {
		s.Bins[min(last, (int(x)-s.Min)/width)].Count++
	}
	s.Bins[last].To = max(s.Bins[last].To, s.Max+1)
	return s
}

// readable is a conversation for people; long ones are cut.
func readable(msgs []Message) string {
	var b strings.Builder
	for i, m := range msgs {
		if i > 0 {
			b.WriteString("\n\n")
		}
		if m.Role != "" {
			b.WriteString(m.Role + ": ")
		}
		b.WriteString(m.Content)
		if m.ToolCalls != "" {
			b.WriteString(" " + m.ToolCalls)
		}
	}
	text := []rune(b.String())
	if len(text) > 2000 {
		return string(text[:2000]) + " [...]"
	}
	return string(text)
}
