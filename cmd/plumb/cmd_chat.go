package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/run"
)

type chatOptions struct {
	sampling
	System string
}

func chatCommand() *cli.Command {
	var o chatOptions
	return &cli.Command{
		Name: "chat", Usage: "talk with a model, with or without an adapter",
		Description: describe("Reads a turn a line from standard input and answers it. With several adapters, /use N changes the one that answers;\n"+
			"/new starts over, /exit or the end of the input leaves.",
			"plumb chat --model SmolLM2-135M-Instruct --adapter runs/hh-smollm2/dpo",
			`plumb chat --model runs/quickstart/sft/model --system "Be brief." --temperature 0`),
		Flags: append(o.sampling.flags(),
			&cli.StringFlag{Name: "system", Usage: "system message `TEXT`", Destination: &o.System}),
		Action: func(c *cli.Context) error {
			o.Adapters = c.StringSlice("adapter")
			return runChat(c.Context, o, os.Stdin, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runChat(ctx context.Context, o chatOptions, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	b, policies, err := o.open()
	if err != nil {
		return err
	}
	if !b.Tokenizer.HasTemplate() {
		return run.Usage(fmt.Errorf("%s has no chat template: use plumb generate --raw", o.Model))
	}
	fmt.Fprintf(stderr, "%s\n", b.Model)
	s := &chat{options: o, bundle: b, policy: policies[0]}
	s.reset()
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 1<<20)
	for {
		fmt.Fprint(stderr, "> ")
		if !lines.Scan() {
			break
		}
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
			continue
		case line == "/exit":
			return nil
		case line == "/new":
			s.reset()
			continue
		case strings.HasPrefix(line, "/use "):
			var n int
			if _, err := fmt.Sscanf(line, "/use %d", &n); err != nil || n < 1 || n > len(policies) {
				fmt.Fprintf(stderr, "want /use 1 to %d\n", len(policies))
				continue
			}
			s.policy = policies[n-1]
			fmt.Fprintf(stderr, "now %s\n", s.policy.Name)
			continue
		}
		if err := s.turn(ctx, line, stdout); err != nil {
			return err
		}
	}
	fmt.Fprintln(stderr)
	return lines.Err()
}

// chat is a conversation so far.
type chat struct {
	options chatOptions
	bundle  *model.Bundle
	policy  policy
	turns   []datasets.Message
}

func (s *chat) reset() {
	s.turns = nil
	if s.options.System != "" {
		s.turns = append(s.turns, datasets.Message{Role: "system", Content: s.options.System})
	}
}

// turn answers one line, token by token. A conversation that leaves no room for an answer is an error that says how to go on.
func (s *chat) turn(ctx context.Context, line string, stdout io.Writer) error {
	turns := append(s.turns, datasets.Message{Role: "user", Content: line})
	enc := encode.Encoder{Tok: s.bundle.Tokenizer}
	ids, err := enc.Continue(turns, "")
	if err != nil {
		return err
	}
	if len(ids)+s.options.MaxNew > s.bundle.Model.MaxLen() {
		return errors.New("the conversation is longer than the model can read: start over, or use a smaller --max-new")
	}
	var (
		tokens []int32
		shown  string
	)
	opt := s.options.options(s.bundle)
	opt.OnToken = func(_, _ int, token int32) {
		tokens = append(tokens, token)
		// A character of several tokens shows as U+FFFD until its last one: wait for that.
		text := s.bundle.Tokenizer.Decode(tokens, true)
		if rest, ok := strings.CutPrefix(text, shown); ok && !strings.HasSuffix(text, "\uFFFD") {
			fmt.Fprint(stdout, rest)
			shown = text
		}
	}
	prompt := model.GenPrompt{Tokens: ids, N: 1, Key: uint64(len(turns))}
	answers, err := s.bundle.Model.Generate(ctx, []model.GenPrompt{prompt}, s.policy.Adapter, opt)
	if err != nil {
		return err
	}
	text := s.bundle.Tokenizer.Decode(answers[0][0].Tokens, true)
	if rest, ok := strings.CutPrefix(text, shown); ok {
		fmt.Fprint(stdout, rest)
	}
	s.turns = append(turns, datasets.Message{Role: "assistant", Content: text})
	_, err = fmt.Fprintln(stdout)
	return err
}
