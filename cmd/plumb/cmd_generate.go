package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/run"
)

type generateOptions struct {
	sampling
	Prompts []string
	Data    string
	Format  string
	System  string
	Raw     bool
	N       int
	Limit   int
	NoStop  bool
	JSON    bool
}

func generateCommand() *cli.Command {
	var o generateOptions
	return &cli.Command{
		Name: "generate", Usage: "answer prompts with a model and any number of adapters on it",
		Description: describe("Each prompt is answered by the base, or by each adapter given. A chat model gets a prompt as a user's turn unless\n"+
			"--raw is set. The same seed gives the same answers, whatever else is answered beside them.",
			`plumb generate --model SmolLM2-135M-Instruct --prompt "Name three colours."`,
			"plumb generate --model runs/quickstart/sft/model --adapter runs/quickstart/dpo --data runs/quickstart/synth/held_out.arrow --limit 4"),
		Flags: append(o.sampling.flags(),
			&cli.StringSliceFlag{Name: "prompt", Aliases: []string{"p"}, Usage: "a `TEXT` to answer (repeatable)"},
			&cli.StringFlag{Name: "data", Usage: "answer the prompts of the records in `FILE`", Destination: &o.Data},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the rows of --data", Value: "auto", Destination: &o.Format},
			&cli.StringFlag{Name: "system", Usage: "system message `TEXT` before each prompt", Destination: &o.System},
			&cli.BoolFlag{Name: "raw", Usage: "the prompt is a text to go on with, not a user's turn", Destination: &o.Raw},
			&cli.IntFlag{Name: "n", Usage: "`N` answers a prompt", Value: 1, Destination: &o.N},
			&cli.IntFlag{Name: "limit", Usage: "at most `N` prompts of --data; 0: all", Destination: &o.Limit},
			&cli.BoolFlag{Name: "no-stop", Usage: "no token ends an answer before --max-new", Destination: &o.NoStop},
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Adapters, o.Prompts = c.StringSlice("adapter"), c.StringSlice("prompt")
			return runGenerate(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

type generated struct {
	Policy string  `json:"policy"`
	Prompt string  `json:"prompt"`
	Text   string  `json:"text"`
	Tokens int     `json:"tokens"`
	LogP   float64 `json:"logprob"` // of the whole answer at the sampling temperature
	Ended  bool    `json:"ended"`   // by a stop token
}

func runGenerate(ctx context.Context, o generateOptions, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.N < 1 {
		return run.Usage(fmt.Errorf("--n %d: want 1 or more", o.N))
	}
	records, err := o.records()
	if err != nil {
		return err
	}
	b, policies, err := o.open()
	if err != nil {
		return err
	}
	enc := encode.Encoder{Tok: b.Tokenizer, MaxLength: max(b.Model.MaxLen()-o.MaxNew, 1)}
	prompts := make([]model.GenPrompt, len(records))
	for i := range records {
		ids, err := enc.Prompt(&records[i])
		if err != nil {
			return fmt.Errorf("prompt %d: %w", i+1, err)
		}
		prompts[i] = model.GenPrompt{Tokens: ids, N: o.N, Key: uint64(i)}
	}
	opt := o.options(b)
	if o.NoStop {
		opt.Stop = nil
	}
	var all []generated
	tokens, start := 0, time.Now()
	for _, p := range policies {
		answers, err := b.Model.Generate(ctx, prompts, p.Adapter, opt)
		if err != nil {
			return err
		}
		for i, list := range answers {
			for _, a := range list {
				tokens += len(a.Tokens)
				g := generated{Policy: p.Name, Prompt: showMessages(records[i].Prompt), Tokens: len(a.Tokens), Ended: a.Stopped}
				g.Text = b.Tokenizer.Decode(a.Tokens, true)
				for _, lp := range a.LogProbs {
					g.LogP += float64(lp)
				}
				all = append(all, g)
			}
		}
	}
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(stderr, "%d tokens in %.3f s (%.1f tokens/s)\n", tokens, seconds, float64(tokens)/seconds)
	if o.JSON {
		return printJSON(stdout, all)
	}
	return printGenerated(stdout, all, len(policies) > 1)
}

// records collects the prompts of the flags and of the file.
func (o *generateOptions) records() ([]datasets.Record, error) {
	var list []datasets.Record
	for _, text := range o.Prompts {
		rec := datasets.Record{Prompt: datasets.Text(text)}
		if !o.Raw {
			rec.Prompt = nil
			if o.System != "" {
				rec.Prompt = append(rec.Prompt, datasets.Message{Role: "system", Content: o.System})
			}
			rec.Prompt = append(rec.Prompt, datasets.Message{Role: "user", Content: text})
		}
		list = append(list, rec)
	}
	if o.Data != "" {
		r, err := datasets.Open(o.Data, datasets.ReadOptions{Format: o.Format})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		for n := 0; o.Limit == 0 || n < o.Limit; n++ {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			rec.Prompt, _, _ = encode.Split(&rec) // the implicit prompt of a pair without one
			list = append(list, datasets.Record{ID: rec.ID, Tools: rec.Tools, Prompt: rec.Prompt})
		}
	}
	if len(list) == 0 {
		return nil, run.Usage(errors.New("generate: want --prompt or --data with at least one record"))
	}
	return list, nil
}

// showMessages is a conversation as people read it.
func showMessages(msgs []datasets.Message) string {
	var b strings.Builder
	for i, m := range msgs {
		if i > 0 {
			b.WriteString("\n")
		}
		if m.Role != "" && len(msgs) > 1 {
			b.WriteString(m.Role + ": ")
		}
		b.WriteString(m.Content)
	}
	return b.String()
}

func printGenerated(w io.Writer, all []generated, named bool) error {
	for i, g := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		head := g.Prompt
		if named {
			head = "[" + g.Policy + "] " + head
		}
		if _, err := fmt.Fprintf(w, "%s\n> %s\n", head, strings.ReplaceAll(g.Text, "\n", "\n  ")); err != nil {
			return err
		}
	}
	return nil
}
