package ppo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// External scorers receive each example as one JSON object:
//
//	{"prompt": "text" or [{"role": ..., "content": ...}, ...], "tools": ..., "answer": "text"}
type wireExample struct {
	Prompt any             `json:"prompt"`
	Tools  json.RawMessage `json:"tools,omitempty"`
	Answer string          `json:"answer"`
}

type wireMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func wire(xs []Example) ([]wireExample, error) {
	out := make([]wireExample, len(xs))
	for i, x := range xs {
		out[i].Answer = x.Answer
		if x.Tools != "" {
			if out[i].Tools = json.RawMessage(x.Tools); !json.Valid(out[i].Tools) {
				return nil, fmt.Errorf("example %d: its tools are not JSON", i+1)
			}
		}
		turns, text, chat := []wireMessage{}, "", false
		for _, m := range x.Prompt {
			turns = append(turns, wireMessage{m.Role, m.Content})
			text += m.Content
			chat = chat || m.Role != ""
		}
		if out[i].Prompt = any(text); chat {
			out[i].Prompt = turns
		}
	}
	return out, nil
}

// CommandScorer runs a program for each batch of examples: one JSON object a line on its standard input,
// one number a line on its standard output. What it writes to standard error is shown when it fails.
type CommandScorer struct {
	Args    []string
	Timeout time.Duration // for each example; 0: none
}

// Score runs the program once.
func (s CommandScorer) Score(ctx context.Context, examples []Example) ([]float64, error) {
	if len(s.Args) == 0 {
		return nil, errors.New("reward command: nothing to run")
	}
	xs, err := wire(examples)
	if err != nil {
		return nil, err
	}
	var in, out, msg bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, x := range xs {
		if err := enc.Encode(x); err != nil {
			return nil, err
		}
	}
	limit := s.Timeout * time.Duration(len(xs))
	ctx, cancel := limited(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Args[0], s.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &msg
	cmd.WaitDelay = 5 * time.Second // a child of the program may hold its output open
	if err := cmd.Run(); err != nil {
		if errors.Is(context.Cause(ctx), errTimeout) {
			err = tooLong(limit)
		}
		return nil, fmt.Errorf("reward command %s: %w%s", s.Args[0], err, tail(msg.String()))
	}
	var scores []float64
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		var v *float64 // null, as JavaScript writes NaN, is no number
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil || v == nil {
			return nil, fmt.Errorf("reward command %s: line %d is %.80q, want a number", s.Args[0], len(scores)+1, lines.Text())
		}
		scores = append(scores, *v)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reward command %s: %w", s.Args[0], err)
	}
	return scores, nil
}

// tail is the end of what a program said before it failed.
func tail(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	if len(s) > 500 {
		s = "..." + s[len(s)-500:]
	}
	return ": " + s
}

// HTTPScorer posts {"examples": [...]} to a URL and expects {"scores": [...]}. The environment
// variable PLUMB_REWARD_TOKEN, if set, is sent as a bearer token. Answers of 429 and 5xx, broken
// connections and what takes too long are tried again, with growing pauses.
type HTTPScorer struct {
	URL     string
	Client  *http.Client  // http.DefaultClient if nil
	Pause   time.Duration // before the first repetition, then doubled; half a second if 0
	Timeout time.Duration // of an attempt, for each example; 0: none
}

// TokenEnv names the variable that holds the bearer token of an HTTPScorer.
const TokenEnv = "PLUMB_REWARD_TOKEN"

// attempts is how often a request is sent at most.
const attempts = 6

// Score posts the examples in one request.
func (s HTTPScorer) Score(ctx context.Context, examples []Example) ([]float64, error) {
	xs, err := wire(examples)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"examples": xs})
	if err != nil {
		return nil, err
	}
	pause := s.Pause
	if pause <= 0 {
		pause = 500 * time.Millisecond
	}
	for n := 1; ; n++ {
		scores, again, err := s.post(ctx, body, s.Timeout*time.Duration(len(xs)))
		if err == nil {
			return scores, nil
		}
		if !again || n == attempts || ctx.Err() != nil {
			return nil, fmt.Errorf("reward service %s: %w (attempt %d)", s.URL, err, n)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// errTimeout is why a scorer that takes too long is given up.
var errTimeout = errors.New("timeout")

// limited returns a context of at most limit, and of ctx alone where that is 0.
func limited(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, errTimeout)
}

func tooLong(limit time.Duration) error {
	return fmt.Errorf("no answer within %v (see reward_timeout)", limit)
}

func (s HTTPScorer) post(ctx context.Context, body []byte, limit time.Duration) (scores []float64, again bool, err error) {
	ctx, cancel := limited(ctx, limit)
	defer cancel()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
			again, err = true, tooLong(limit)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token := os.Getenv(TokenEnv); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, true, err
	}
	if resp.StatusCode != http.StatusOK {
		again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		return nil, again, fmt.Errorf("%s%s", resp.Status, tail(string(b)))
	}
	var answer struct {
		Scores []*float64 `json:"scores"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, false, fmt.Errorf("the answer is not {\"scores\": [...]}: %w", err)
	}
	scores = make([]float64, len(answer.Scores))
	for i, v := range answer.Scores {
		if v == nil { // as JavaScript writes NaN
			return nil, false, fmt.Errorf("score %d is null, want a number", i+1)
		}
		scores[i] = *v
	}
	return scores, false, nil
}
