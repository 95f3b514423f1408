package compare

import (
	"context"
	"fmt"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/run"
)

// prompt is a prompt as one model reads it.
type prompt struct {
	messages []datasets.Message
	text     string // of its last message, for the report and for gold
	tokens   []int32
}

func readPrompts(b *model.Bundle, records []datasets.Record) ([]prompt, error) {
	enc := encode.Encoder{Tok: b.Tokenizer}
	prompts := make([]prompt, 0, len(records))
	for i := range records {
		rec := &records[i]
		if len(rec.Prompt) == 0 {
			return nil, fmt.Errorf("record %s has no prompt: compare needs prompts", rec.ID)
		}
		tokens, err := enc.Prompt(rec)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", rec.ID, err)
		}
		prompts = append(prompts, prompt{rec.Prompt, rec.Prompt[len(rec.Prompt)-1].Content, tokens})
	}
	return prompts, nil
}

// answer is one sampled answer.
type answer struct {
	tokens  []int32 // the stop token included
	text    string  // without it
	stopped bool
}

// drawAnswers samples n answers to each prompt. The stream is named by seed and purpose, and by the prompt's place in the
// list, so that no run's answers depend on which other runs are compared.
func drawAnswers(ctx context.Context, b *model.Bundle, a *adapters.Adapter, prompts []prompt, n int, temperature float64, cfg Config, purpose string) ([][]answer, error) {
	gen := make([]model.GenPrompt, len(prompts))
	for i, p := range prompts {
		gen[i] = model.GenPrompt{Tokens: p.tokens, N: n, Key: uint64(i)}
	}
	completions, err := b.Model.Generate(ctx, gen, a, model.GenOptions{
		MaxNew: cfg.MaxNewTokens, Temperature: temperature, TopP: 1, Stop: b.Tokenizer.StopIDs(),
		Seed: run.Rand(cfg.Seed, purpose).Uint64(), BatchSize: cfg.BatchSize,
	})
	if err != nil {
		return nil, err
	}
	answers := make([][]answer, len(prompts))
	for i, group := range completions {
		for _, c := range group {
			text := c.Tokens
			if c.Stopped && len(text) > 0 {
				text = text[:len(text)-1]
			}
			answers[i] = append(answers[i], answer{c.Tokens, b.Tokenizer.Decode(text, true), c.Stopped})
		}
	}
	return answers, nil
}

// treeRows bounds the rows of one forward pass; it changes no figure.
const treeRows = 4096

// sequenceKL returns, for each prompt, the KL from the base to the policy a in nats an answer: the exact KL over the
// vocabulary of each step at temperature 1, summed along answers that the policy sampled at temperature 1, mean over
// the prompt's answers. Its expectation is KL(policy || base) over whole answers.
func sequenceKL(ctx context.Context, b *model.Bundle, a *adapters.Adapter, prompts []prompt, answers [][]answer, count func(int)) ([]float64, error) {
	kl := make([]float64, len(prompts))
	for from := 0; from < len(prompts); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var tree batch.Tree
		var rows, owner []int
		next := from
		for ; next < len(prompts) && (next == from || tree.Rows() < treeRows); next++ {
			root := tree.Add(-1, prompts[next].tokens, uint64(next))
			for _, ans := range answers[next] {
				_, targets := tree.AddCompletion(root, ans.tokens, uint64(next))
				for _, t := range targets {
					rows, owner = append(rows, t.Row), append(owner, next)
				}
			}
		}
		if len(rows) > 0 {
			policy, base := b.Model.ForwardRows(nil, &tree, a, rows), b.Model.ForwardRows(nil, &tree, nil, rows)
			for k, v := range b.Model.TokenKL(policy, base, 1) {
				kl[owner[k]] += v / float64(len(answers[owner[k]]))
			}
		}
		count(next - from)
		from = next
	}
	return kl, nil
}
