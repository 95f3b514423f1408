package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

func init() {
	register(&format{
		name: "ranked", about: `{"context", "responses": [{"text", "rank"}]}: rank 1 is the best; or "score", where more is better`, order: 15,
		detect: func(f fields) bool { return f.kind("responses") == '[' },
		decode: decodeRanked,
		encode: encodeRanked,
		can:    holds{kinds: []Kind{Preference, Instruction}, chat: true, name: true, id: true, scores: true, split: true, meta: true},
		notes:  []string{"a ranking of n answers is read as pairs and written as rankings of two"},
	})
	register(&format{
		name: "ultrafeedback", about: "instruction with completions, each a response with overall_score, fine-grained_score or annotations", order: 16,
		detect: func(f fields) bool { return f.kind("completions") == '[' },
		decode: decodeUltraFeedback,
		encode: encodeUltraFeedback,
		can:    holds{kinds: []Kind{Preference, Instruction}, chat: true, name: true, id: true, scores: true, split: true, meta: true},
		notes:  []string{"completions are read as pairs and written two by two", "a score is needed on both sides of a pair"},
		unread: []string{"critiques, principles and single ratings of completions"},
	})
	register(&format{
		name: "kto", about: "prompt, completion, label: unpaired answers that are good or bad", order: 45,
		detect:  func(f fields) bool { return f.has("prompt", "completion", "label") },
		decode:  decodeKTO,
		encode:  encodeTRL,
		can:     holds{kinds: []Kind{Unpaired}, chat: true, raw: true, tools: true, name: true, id: true, label: true, split: true, meta: true},
		columns: trlColumns,
	})
}

func decodeKTO(f fields, o *ReadOptions) ([]Record, error) {
	for _, n := range []string{"prompt", "completion", "label"} {
		if !f.has(n) {
			return nil, fmt.Errorf("field %q is missing", n)
		}
	}
	return decodeTRL(f, o)
}

// contextOf takes the prompt of a ranking: messages, an HH-RLHF transcript, or a text, which is the user's turn.
func contextOf(f fields, names ...string) ([]Message, error) {
	for _, n := range names {
		switch {
		case !f.has(n):
			continue
		case f.isMessages(n):
			return f.messages(n)
		}
		s, err := f.text(n)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(s, hhHuman) {
			msgs, err := parseHH(s)
			if k := len(msgs); err == nil && k > 0 && msgs[k-1].Role == "assistant" && msgs[k-1].Content == "" {
				msgs = msgs[:k-1] // the mark of the turn to come
			}
			return msgs, err
		}
		if s == "" {
			return nil, fmt.Errorf("%s is empty", n)
		}
		return []Message{{Role: "user", Content: s}}, nil
	}
	return nil, fmt.Errorf("one of the fields %v is missing", names)
}

var contextNames = []string{"context", "prompt", "question", "instruction", "query"}

func decodeRanked(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := rowFields(f)
	if err != nil {
		return nil, err
	}
	if rec.Prompt, err = contextOf(f, contextNames...); err != nil {
		return nil, err
	}
	list, err := f.array("responses")
	if err != nil {
		return nil, err
	}
	var answers []ranked
	for i, v := range list {
		a, err := rankedOf(v)
		if err != nil {
			return nil, fmt.Errorf("responses[%d]: %w", i, err)
		}
		answers = append(answers, a)
	}
	rec.Meta = f.rest(rec.Meta)
	return pairs(rec, answers, o.Pairs)
}

func rankedOf(v json.RawMessage) (ranked, error) {
	var a ranked
	f, err := objectOf(v, "response")
	if err != nil {
		return a, err
	}
	name := "text"
	for _, n := range []string{"text", "response", "content", "completion"} {
		if f.has(n) {
			name = n
			break
		}
	}
	if f.isMessages(name) {
		a.answer, err = f.messages(name)
	} else {
		var s string
		s, err = f.must(name)
		a.answer = []Message{{Role: "assistant", Content: s}}
	}
	if err != nil {
		return a, err
	}
	if a.rank, err = f.number("rank"); err != nil {
		return a, err
	}
	a.score, err = f.number("score")
	return a, err
}

type rankedRow struct {
	ID        string           `json:"id,omitempty"`
	Context   any              `json:"context"`
	Responses []rankedResponse `json:"responses"`
	Split     string           `json:"split,omitempty"`
	Meta      []metaEntry      `json:"meta,omitempty"`
}

type rankedResponse struct {
	Text  any      `json:"text"`
	Rank  *float64 `json:"rank,omitempty"`
	Score *float64 `json:"score,omitempty"`
}

// shortMessages is a single turn of the given role as a string, anything else as messages.
func shortMessages(msgs []Message, role string) any {
	if len(msgs) == 1 && msgs[0] == (Message{Role: role, Content: msgs[0].Content}) && msgs[0].Content != "" && !strings.HasPrefix(msgs[0].Content, hhHuman) {
		return msgs[0].Content
	}
	return toJSONMessages(msgs)
}

func encodeRanked(r *Record) (any, error) {
	if !r.Chat() {
		return nil, errors.New("a raw text has no roles: context and responses are turns")
	}
	row := rankedRow{ID: r.ID, Context: shortMessages(r.Prompt, "user"), Split: r.Split}
	one, two := 1.0, 2.0
	scored := r.ChosenScore != nil && r.RejectedScore != nil && *r.ChosenScore > *r.RejectedScore
	row.Responses = []rankedResponse{{Text: shortMessages(r.Chosen, "assistant"), Rank: &one}}
	if r.Kind() == Preference {
		row.Responses = append(row.Responses, rankedResponse{Text: shortMessages(r.Rejected, "assistant"), Rank: &two})
	}
	if scored {
		row.Responses[0].Score, row.Responses[1].Score = r.ChosenScore, r.RejectedScore
	} else if r.Kind() == Instruction {
		row.Responses[0].Score = r.ChosenScore
	}
	for _, e := range metaEntries(r.Meta) {
		if e.Key != "chosen_rank" && e.Key != "rejected_rank" {
			row.Meta = append(row.Meta, e)
		}
	}
	return row, nil
}

func decodeUltraFeedback(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := rowFields(f)
	if err != nil {
		return nil, err
	}
	if rec.Prompt, err = contextOf(f, "instruction", "prompt", "question"); err != nil {
		return nil, err
	}
	list, err := f.array("completions")
	if err != nil {
		return nil, err
	}
	var answers []ranked
	for i, v := range list {
		c, err := objectOf(v, fmt.Sprintf("completions[%d]", i))
		if err != nil {
			return nil, err
		}
		a := ranked{}
		name := "response"
		if !c.has(name) {
			name = "text"
		}
		s, err := c.must(name)
		if err != nil {
			return nil, fmt.Errorf("completions[%d]: %w", i, err)
		}
		a.answer = []Message{{Role: "assistant", Content: s}}
		if a.score, err = ultraScore(c); err != nil {
			return nil, fmt.Errorf("completions[%d]: %w", i, err)
		}
		if m := c.whole("model"); m != "" {
			a.meta = map[string]string{"model": m}
		}
		answers = append(answers, a)
	}
	f.took("models") // each completion says its own
	rec.Meta = f.rest(rec.Meta)
	return pairs(rec, answers, o.Pairs)
}

// ultraScore is the mean of the ratings of the annotated aspects; where there are none, fine-grained_score, then overall_score. The
// mean comes first because overall_score of UltraFeedback has rows where 1 was stored as 10.
func ultraScore(c fields) (*float64, error) {
	if notes, err := c.object("annotations"); err == nil {
		sum, n := 0.0, 0
		for _, aspect := range []string{"instruction_following", "honesty", "truthfulness", "helpfulness"} {
			a, err := notes.object(aspect)
			if err != nil {
				continue
			}
			if v, err := a.number("Rating"); err == nil && v != nil {
				sum += *v
				n++
			}
		}
		if n > 0 {
			mean := sum / float64(n)
			return &mean, nil
		}
	}
	return c.number("fine-grained_score", "overall_score", "score", "rating")
}

type ultraCompletion struct {
	Response string   `json:"response"`
	Score    *float64 `json:"overall_score,omitempty"`
	Model    string   `json:"model,omitempty"`
}

func encodeUltraFeedback(r *Record) (any, error) {
	row := struct {
		ID          string            `json:"id,omitempty"`
		Instruction any               `json:"instruction"`
		Completions []ultraCompletion `json:"completions"`
		Split       string            `json:"split,omitempty"`
		Meta        []metaEntry       `json:"meta,omitempty"`
	}{ID: r.ID, Instruction: shortMessages(r.Prompt, "user"), Split: r.Split}
	if !r.Chat() {
		return nil, errors.New("a raw text has no roles: instruction and completions are turns")
	}
	if r.Kind() == Preference && (r.ChosenScore == nil || r.RejectedScore == nil || *r.ChosenScore <= *r.RejectedScore) {
		return nil, errors.New("a pair needs a higher score on the chosen side")
	}
	for _, side := range []struct {
		msgs  []Message
		score *float64
		model string
	}{{r.Chosen, r.ChosenScore, r.Meta["chosen_model"]}, {r.Rejected, r.RejectedScore, r.Meta["rejected_model"]}} {
		if side.msgs == nil {
			continue
		}
		if len(side.msgs) != 1 || side.msgs[0].Role != "assistant" || side.msgs[0].ToolCalls != "" {
			return nil, errors.New("each completion must be one plain assistant turn")
		}
		row.Completions = append(row.Completions, ultraCompletion{side.msgs[0].Content, side.score, side.model})
	}
	for _, e := range metaEntries(r.Meta) {
		if e.Key != "chosen_model" && e.Key != "rejected_model" {
			row.Meta = append(row.Meta, e)
		}
	}
	return row, nil
}
