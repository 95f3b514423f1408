// Package encode turns records into token ids and prefix trees, as TRL's trainers do: which text
// is the prompt, where the completion starts, what is cut and what is dropped.
//
// It must not know models, losses or files.
package encode

import (
	"fmt"
	"strings"

	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/tokenizer"
)

// Encoder encodes records for one tokenizer. It is safe for concurrent use.
type Encoder struct {
	Tok       *tokenizer.Tokenizer
	MaxLength int // tokens a sequence may have; 0: no limit
	Vocab     int // ids that the model knows; 0: not checked
}

// Dropped is why a record cannot be used. Reason has no part that differs between records of the
// same fault, so that reasons can be counted.
type Dropped struct{ Reason string }

func (d *Dropped) Error() string { return d.Reason }

func drop(format string, args ...any) error { return &Dropped{fmt.Sprintf(format, args...)} }

// Pair is one encoded preference. Prompt + Chosen and Prompt + Rejected are the sequences; for
// DPO the completions are what is scored, for a reward model the split is only the common prefix.
type Pair struct {
	Prompt, Chosen, Rejected []int32
	Margin                   float64 // of the record, 0 when it has none
	HasMargin                bool
}

// Example is one encoded demonstration: Tokens[From:] are its labels. The loss runs over those that have a
// predecessor, which the first token has not.
type Example struct {
	Tokens []int32
	From   int
}

// Pair encodes a preference for DPO. A text gets EOS appended where absent; a record without a
// prompt has an implicit one; the completion starts where the tokens of the prompt alone
// and those of both full sequences part. Each side is cut to MaxLength from the end
// (keep_start); a pair whose prompt leaves no room is dropped.
func (e *Encoder) Pair(rec *datasets.Record) (Pair, error) {
	if rec.Kind() != datasets.Preference {
		return Pair{}, drop("not a preference record: it needs chosen and rejected")
	}
	prompt, chosen, rejected := Split(rec)
	if datasets.EqualMessages(chosen, rejected) {
		return Pair{}, drop("chosen equals rejected")
	}
	var pair Pair
	p, c, r, err := e.sides(rec, prompt, chosen, rejected)
	if err != nil {
		return pair, err
	}
	n := min(batch.CommonPrefix(p, c), batch.CommonPrefix(p, r))
	if e.MaxLength > 0 {
		if n >= e.MaxLength {
			return pair, drop("the prompt alone fills max_length %d", e.MaxLength)
		}
		c, r = c[:min(len(c), e.MaxLength)], r[:min(len(r), e.MaxLength)]
	}
	if len(c) == n || len(r) == n {
		return pair, drop("a completion has no tokens")
	}
	if n == 0 && (len(c) < 2 || len(r) < 2) {
		return pair, drop("a completion of one token without a prompt has nothing to predict it from")
	}
	pair.Prompt, pair.Chosen, pair.Rejected = p[:n], c[n:], r[n:]
	pair.margin(rec)
	return pair, nil
}

// RewardPair encodes a preference for a reward model: both whole texts with EOS appended where
// absent, split at their longest common token prefix. A pair with a side over MaxLength is
// dropped, not cut: its last token is what is scored.
func (e *Encoder) RewardPair(rec *datasets.Record) (Pair, error) {
	if rec.Kind() != datasets.Preference {
		return Pair{}, drop("not a preference record: it needs chosen and rejected")
	}
	if datasets.EqualMessages(rec.Chosen, rec.Rejected) {
		return Pair{}, drop("chosen equals rejected")
	}
	var pair Pair
	_, c, r, err := e.sides(rec, rec.Prompt, rec.Chosen, rec.Rejected)
	if err != nil {
		return pair, err
	}
	if e.MaxLength > 0 && max(len(c), len(r)) > e.MaxLength {
		return pair, drop("a side is over max_length %d", e.MaxLength)
	}
	if len(c) == 0 || len(r) == 0 {
		return pair, drop("a side has no tokens")
	}
	n := batch.CommonPrefix(c, r)
	pair.Prompt, pair.Chosen, pair.Rejected = c[:n], c[n:], r[n:]
	pair.margin(rec)
	return pair, nil
}

func (p *Pair) margin(rec *datasets.Record) {
	if rec.Margin != nil {
		p.Margin, p.HasMargin = *rec.Margin, true
	}
}

// sides returns the tokens of the prompt alone and of both whole sequences.
func (e *Encoder) sides(rec *datasets.Record, prompt, chosen, rejected []datasets.Message) (p, c, r []int32, err error) {
	if rec.Chat() {
		if p, err = e.chat(prompt, rec.Tools, true); err == nil {
			if c, err = e.chat(join(prompt, chosen), rec.Tools, false); err == nil {
				r, err = e.chat(join(prompt, rejected), rec.Tools, false)
			}
		}
		return p, c, r, err
	}
	before := text(prompt)
	if p, err = e.tokens(before, true); err == nil {
		if c, err = e.tokens(before+e.withEOS(text(chosen)), true); err == nil {
			r, err = e.tokens(before+e.withEOS(text(rejected)), true)
		}
	}
	return p, c, r, err
}

// Example encodes a demonstration. With completionOnly the loss runs over the answer alone, from
// where the tokens of the prompt and of the whole part; else, and for a text without a prompt,
// over all of it. The end is cut to MaxLength; an example with no token
// left to learn is dropped.
func (e *Encoder) Example(rec *datasets.Record, completionOnly bool) (Example, error) {
	if len(rec.Chosen) == 0 {
		return Example{}, drop("not a demonstration: it has no answer")
	}
	var prompt, whole []int32
	var err error
	if rec.Chat() {
		if len(rec.Prompt) > 0 {
			if prompt, err = e.chat(rec.Prompt, rec.Tools, true); err != nil {
				return Example{}, err
			}
		}
		if whole, err = e.chat(join(rec.Prompt, rec.Chosen), rec.Tools, false); err != nil {
			return Example{}, err
		}
	} else {
		before := text(rec.Prompt)
		if before != "" {
			if prompt, err = e.tokens(before, true); err != nil {
				return Example{}, err
			}
		}
		if whole, err = e.tokens(before+e.withEOS(text(rec.Chosen)), true); err != nil {
			return Example{}, err
		}
	}
	from := 0
	if completionOnly {
		from = batch.CommonPrefix(prompt, whole)
	}
	if e.MaxLength > 0 {
		whole = whole[:min(len(whole), e.MaxLength)]
	}
	if max(from, 1) >= len(whole) {
		return Example{}, drop("no token of the answer is left within max_length %d", e.MaxLength)
	}
	return Example{Tokens: whole, From: from}, nil
}

// Prompt encodes what generation starts from: the prompt, implicit or not, with the template's
// generation prompt for a chat. A prompt over MaxLength is dropped.
func (e *Encoder) Prompt(rec *datasets.Record) ([]int32, error) {
	prompt := rec.Prompt
	if len(prompt) == 0 && rec.Kind() == datasets.Preference {
		prompt, _, _ = Split(rec)
	}
	ids, err := e.Continue(prompt, rec.Tools)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, drop("the prompt has no tokens")
	}
	if e.MaxLength > 0 && len(ids) > e.MaxLength {
		return nil, drop("the prompt is over max_length %d", e.MaxLength)
	}
	return ids, nil
}

// Continue encodes messages that an answer is to follow.
func (e *Encoder) Continue(prompt []datasets.Message, tools string) ([]int32, error) {
	if chat(prompt) {
		return e.chat(prompt, tools, true)
	}
	return e.tokens(text(prompt), true)
}

// Text encodes a prompt with an answer for scoring: the whole conversation for a chat, the text with EOS appended
// where absent otherwise. Past MaxLength the beginning is cut, since the last token is what is scored.
func (e *Encoder) Text(prompt []datasets.Message, tools, answer string) ([]int32, error) {
	var ids []int32
	var err error
	if chat(prompt) {
		ids, err = e.chat(join(prompt, []datasets.Message{{Role: "assistant", Content: answer}}), tools, false)
	} else {
		ids, err = e.tokens(text(prompt)+e.withEOS(answer), true)
	}
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, drop("the text has no tokens")
	}
	if e.MaxLength > 0 && len(ids) > e.MaxLength {
		ids = ids[len(ids)-e.MaxLength:]
	}
	return ids, nil
}

// tokens encodes a text and checks that the model knows every id.
func (e *Encoder) tokens(s string, special bool) ([]int32, error) {
	ids := e.Tok.Encode(s, special)
	if e.Vocab > 0 {
		for _, id := range ids {
			if int(id) >= e.Vocab {
				return nil, fmt.Errorf("token %d (%q) is outside the model's vocabulary of %d: the tokenizer is not this model's", id, e.Tok.Token(id), e.Vocab)
			}
		}
	}
	return ids, nil
}

// withEOS appends the end-of-sequence token where the text does not end with it.
func (e *Encoder) withEOS(s string) string {
	if id := e.Tok.EOS(); id >= 0 {
		if eos := e.Tok.Token(id); !strings.HasSuffix(s, eos) {
			return s + eos
		}
	}
	return s
}

func (e *Encoder) chat(msgs []datasets.Message, tools string, generate bool) ([]int32, error) {
	if !e.Tok.HasTemplate() {
		return nil, fmt.Errorf("the data are conversations and the tokenizer has no chat template: give it one (chat_template.jinja) or train on text")
	}
	s, err := e.Tok.ApplyTemplate(messages(msgs), tokenizer.TemplateOptions{AddGenerationPrompt: generate, Tools: tools})
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return e.tokens(s, false)
}

func messages(in []datasets.Message) []tokenizer.Message {
	out := make([]tokenizer.Message, len(in))
	for i, m := range in {
		out[i] = tokenizer.Message{Role: m.Role, Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID, ToolCalls: m.ToolCalls}
	}
	return out
}

func join(a, b []datasets.Message) []datasets.Message {
	return append(append(make([]datasets.Message, 0, len(a)+len(b)), a...), b...)
}

func chat(msgs []datasets.Message) bool {
	for _, m := range msgs {
		if m.Role != "" {
			return true
		}
	}
	return false
}

func text(msgs []datasets.Message) string {
	var b strings.Builder
	for _, m := range msgs {
		b.WriteString(m.Content)
	}
	return b.String()
}
