package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

func init() {
	register(&format{
		name: "openai", about: "OpenAI fine-tuning: messages with tools, perhaps with KTO's label; or input, preferred_output and non_preferred_output",
		order: 30,
		detect: func(f fields) bool {
			return f.kind("messages") == '[' && !f.has("chosen") || f.has("preferred_output", "non_preferred_output")
		},
		decode: decodeOpenAI,
		encode: encodeOpenAI,
		can:    holds{kinds: []Kind{Preference, Instruction, PromptOnly}, chat: true, tools: true, name: true},
		notes:  []string{cutNote},
	})
	register(&format{
		name: "alpaca", about: "instruction, input, output, with system and history, perhaps kto_tag; or chosen and rejected instead of output",
		order: 40,
		detect: func(f fields) bool {
			return f.has("instruction") && (f.has("output") || f.has("chosen", "rejected")) && !f.has("completions")
		},
		decode: decodeAlpaca,
		encode: encodeAlpaca,
		can: holds{kinds: []Kind{Preference, Instruction, Unpaired}, chat: true, id: true, margin: true, scores: true, label: true, split: true,
			meta: true},
		columns: []string{"id", "system", "instruction", "input", "output", "chosen", "rejected", "kto_tag", "history", "margin", "chosen_score",
			"rejected_score", "split", "meta"},
		notes: []string{"only a system prompt and alternating user and assistant turns fit"},
	})
}

const cutNote = "the cut between prompt and answer is not written: it is read back before the last assistant message"

func decodeOpenAI(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := commonFields(f)
	if err != nil {
		return nil, err
	}
	if f.has("preferred_output") || f.has("non_preferred_output") {
		if err := openAIPrompt(f, &rec); err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
		if rec.Chosen, err = f.messages("preferred_output"); err != nil {
			return nil, err
		}
		if rec.Rejected, err = f.messages("non_preferred_output"); err != nil {
			return nil, err
		}
		if len(rec.Chosen) == 0 || len(rec.Rejected) == 0 {
			return nil, errors.New("preferred_output and non_preferred_output must not be empty")
		}
	} else {
		all, err := f.messages("messages")
		if err != nil {
			return nil, err
		}
		rec.Prompt, rec.Chosen = splitMessages(all)
		if rec.Label, err = f.verdict(); err != nil {
			return nil, err
		}
	}
	rec.Meta = f.rest(rec.Meta)
	return []Record{rec}, nil
}

// openAIPrompt reads the input of a pair: messages, and tools unless they stand beside it.
func openAIPrompt(f fields, rec *Record) error {
	in, err := f.object("input")
	if err != nil {
		return err
	}
	in.extra, in.read = f.extra, map[string]bool{}
	if rec.Prompt, err = in.messages("messages"); err != nil {
		return err
	}
	tools, err := in.tools()
	if err != nil {
		return err
	}
	if tools != "" && rec.Tools != "" && tools != rec.Tools {
		return errors.New("its tools differ from those beside it")
	}
	if tools != "" {
		rec.Tools = tools
	}
	for k, v := range in.m {
		if !in.read[k] {
			*f.extra = append(*f.extra, metaEntry{"input." + k, metaValue(v)})
		}
	}
	return nil
}

type openAIInput struct {
	Messages []jsonMessage   `json:"messages"`
	Tools    json.RawMessage `json:"tools,omitempty"`
}

func encodeOpenAI(r *Record) (any, error) {
	if !r.Chat() {
		return nil, errors.New("a raw text has no roles: messages are needed")
	}
	if r.Kind() == Preference {
		return struct {
			Input    openAIInput   `json:"input"`
			Chosen   []jsonMessage `json:"preferred_output"`
			Rejected []jsonMessage `json:"non_preferred_output"`
		}{openAIInput{toJSONMessages(r.Prompt), rawJSON(r.Tools)}, toJSONMessages(r.Chosen), toJSONMessages(r.Rejected)}, nil
	}
	if r.Kind() == PromptOnly && r.Prompt[len(r.Prompt)-1].Role == "assistant" {
		return nil, errors.New("a prompt that ends with an assistant turn would be read back as a demonstration")
	}
	return openAIInput{toJSONMessages(join(r.Prompt, r.Chosen)), rawJSON(r.Tools)}, nil
}

// alpacaInput is the metadata key under which the input field waits for the way back: in the prompt it is joined to the instruction.
const alpacaInput = "alpaca.input"

func decodeAlpaca(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := commonFields(f)
	if err != nil {
		return nil, err
	}
	instruction, err := f.must("instruction")
	if err != nil {
		return nil, err
	}
	input, err := f.text("input")
	if err != nil {
		return nil, err
	}
	system, err := f.text("system")
	if err != nil {
		return nil, err
	}
	if system != "" {
		rec.Prompt = append(rec.Prompt, Message{Role: "system", Content: system})
	}
	if f.has("history") {
		turns, err := f.array("history")
		if err != nil {
			return nil, err
		}
		for i, t := range turns {
			var pair []string
			if err := json.Unmarshal(t, &pair); err != nil || len(pair) != 2 {
				return nil, fmt.Errorf("history[%d]: a pair [instruction, answer] was expected, got %s", i, excerpt(t))
			}
			rec.Prompt = append(rec.Prompt, Message{Role: "user", Content: pair[0]}, Message{Role: "assistant", Content: pair[1]})
		}
	}
	question := instruction
	if input != "" {
		question = strings.TrimPrefix(instruction+"\n"+input, "\n")
	}
	if question == "" {
		return nil, errors.New("instruction is empty")
	}
	rec.Prompt = append(rec.Prompt, Message{Role: "user", Content: question})
	if f.has("chosen", "rejected") {
		for _, side := range []struct {
			name string
			to   *[]Message
		}{{"chosen", &rec.Chosen}, {"rejected", &rec.Rejected}} {
			s, err := f.text(side.name)
			if err != nil {
				return nil, err
			}
			*side.to = []Message{{Role: "assistant", Content: s}}
		}
	} else {
		s, err := f.must("output")
		if err != nil {
			return nil, err
		}
		rec.Chosen = []Message{{Role: "assistant", Content: s}}
		if rec.Label, err = f.verdict(); err != nil {
			return nil, err
		}
	}
	rec.Meta = f.rest(rec.Meta)
	if input != "" {
		if rec.Meta == nil {
			rec.Meta = map[string]string{}
		}
		rec.Meta[alpacaInput] = input
	}
	return []Record{rec}, nil
}

type alpacaRow struct {
	ID            string      `json:"id,omitempty"`
	System        string      `json:"system,omitempty"`
	Instruction   string      `json:"instruction"`
	Input         string      `json:"input"`
	Output        *string     `json:"output,omitempty"`
	Chosen        *string     `json:"chosen,omitempty"`
	Rejected      *string     `json:"rejected,omitempty"`
	Label         *bool       `json:"kto_tag,omitempty"`
	History       [][2]string `json:"history,omitempty"`
	Margin        *float64    `json:"margin,omitempty"`
	ChosenScore   *float64    `json:"chosen_score,omitempty"`
	RejectedScore *float64    `json:"rejected_score,omitempty"`
	Split         string      `json:"split,omitempty"`
	Meta          []metaEntry `json:"meta,omitempty"`
}

func encodeAlpaca(r *Record) (any, error) {
	row := alpacaRow{ID: r.ID, Label: r.Label, Margin: r.Margin, ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore, Split: r.Split}
	turns := r.Prompt
	if len(turns) > 0 && turns[0].Role == "system" {
		row.System = turns[0].Content
		turns = turns[1:]
	}
	if len(turns)%2 == 0 {
		return nil, errors.New("the prompt must end with a user turn after alternating ones")
	}
	for i := range turns {
		if want := [2]string{"user", "assistant"}[i%2]; turns[i].Role != want || turns[i].ToolCalls != "" {
			return nil, fmt.Errorf("turn %d of the prompt is %q: a plain %s turn is needed", i+1, turns[i].Role, want)
		}
		if i%2 == 1 {
			row.History = append(row.History, [2]string{turns[i-1].Content, turns[i].Content})
		}
	}
	row.Instruction = turns[len(turns)-1].Content
	meta := r.Meta
	if input, ok := meta[alpacaInput]; ok {
		head, found := strings.CutSuffix(row.Instruction, input)
		if found && (head == "" || strings.HasSuffix(head, "\n")) {
			row.Instruction, row.Input = strings.TrimSuffix(head, "\n"), input
		}
	}
	for _, e := range metaEntries(meta) {
		if e.Key != alpacaInput {
			row.Meta = append(row.Meta, e)
		}
	}
	answer := func(msgs []Message) (*string, error) {
		if len(msgs) != 1 || msgs[0].Role != "assistant" || msgs[0].ToolCalls != "" {
			return nil, errors.New("the answer must be one plain assistant turn")
		}
		return &msgs[0].Content, nil
	}
	var err error
	if r.Kind() != Preference {
		row.Output, err = answer(r.Chosen)
		return row, err
	}
	if row.Chosen, err = answer(r.Chosen); err != nil {
		return nil, err
	}
	row.Rejected, err = answer(r.Rejected)
	return row, err
}
