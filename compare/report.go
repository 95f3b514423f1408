package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Report is what a comparison found. Figures are means over prompts; a pointer is nil where the figure does not
// exist (no gold reward, no reward model, another base).
type Report struct {
	Prompts     int          `json:"prompts"`
	Samples     int          `json:"samples"`
	Temperature float64      `json:"temperature"`
	Seed        uint64       `json:"seed"`
	Runs        []RunReport  `json:"runs"` // the base first
	Differences []Difference `json:"differences"`
	Wins        []WinReport  `json:"wins"`
	Constant    *Constant    `json:"constant,omitempty"`
	Curves      []Curve      `json:"curves,omitempty"`
	Examples    []Example    `json:"examples,omitempty"`
}

// RunReport is one run's figures.
type RunReport struct {
	Name     string    `json:"name"`
	Gold     *Interval `json:"gold,omitempty"`
	Reward   *Interval `json:"reward,omitempty"`
	KL       *Interval `json:"kl,omitempty"`       // nats an answer, exact over the vocabulary at each sampled step, temperature 1
	KLBound  bool      `json:"kl_bound,omitempty"` // KL is best-of-n's bound, not measured
	Tokens   float64   `json:"tokens"`             // an answer, the stop token included
	Bytes    float64   `json:"bytes"`              // of an answer's text
	Stopped  float64   `json:"stopped"`            // share of answers that ended by themselves
	Distinct float64   `json:"distinct"`           // share of answers that differ from all others

	answers [][]string // by prompt and sample
	gold    []float64  // by prompt
	reward  []float64
	bytes   []float64
}

// Difference is run A minus run B on the same prompts.
type Difference struct {
	A       string   `json:"a"`
	B       string   `json:"b"`
	Figure  string   `json:"figure"` // gold, reward or bytes
	Paired  Interval `json:"paired"`
	AtEqual Interval `json:"at_equal_length"` // length-controlled
}

// WinReport is the share of prompts on which A beats B.
type WinReport struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Figure string `json:"figure"`
	Wins   `json:"wins"`
}

// Constant is the best answer that ignores the prompt, among those tried.
type Constant struct {
	Answer string  `json:"answer"`
	Gold   float64 `json:"gold"`
	Tried  int     `json:"tried"`
}

// Curve is a figure over a run's steps.
type Curve struct {
	Run    string    `json:"run"`
	Figure string    `json:"figure"`
	Steps  []float64 `json:"steps"`
	Values []float64 `json:"values"`
}

// Example is a prompt and what each run answered.
type Example struct {
	Prompt  string          `json:"prompt"`
	Answers []ExampleAnswer `json:"answers"`
}

// ExampleAnswer is a run's first answer to an example's prompt.
type ExampleAnswer struct {
	Run    string   `json:"run"`
	Text   string   `json:"text"`
	Gold   *float64 `json:"gold,omitempty"`
	Reward *float64 `json:"reward,omitempty"`
}

// Run returns the figures of the run of that name, nil if there is none.
func (r *Report) Run(name string) *RunReport {
	for i := range r.Runs {
		if r.Runs[i].Name == name {
			return &r.Runs[i]
		}
	}
	return nil
}

// Difference returns how a differs from b in a figure, nil if that was not compared.
func (r *Report) Difference(a, b, figure string) *Difference {
	for i := range r.Differences {
		if d := &r.Differences[i]; d.A == a && d.B == b && d.Figure == figure {
			return d
		}
	}
	return nil
}

func (r *Report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// String is the table that the command prints.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d prompts, %d answer(s) each at temperature %g\n\n", r.Prompts, r.Samples, r.Temperature)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "run\tgold\treward\tKL\tbytes\tended\tdistinct\t")
	for _, run := range r.Runs {
		kl := number(run.KL)
		if run.KLBound {
			kl = "<= " + kl
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f\t%.0f%%\t%.0f%%\t\n", run.Name, number(run.Gold), number(run.Reward), kl,
			run.Bytes, 100*run.Stopped, 100*run.Distinct)
	}
	t.Flush()
	fmt.Fprintln(&b)
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "difference\tfigure\tmean\t95% interval\tat equal length\t")
	for _, d := range r.Differences {
		fmt.Fprintf(t, "%s - %s\t%s\t%s\t%s\t%s\t\n", d.A, d.B, d.Figure, signed(d.Paired.Mean), bounds(d.Paired), signed(d.AtEqual.Mean))
	}
	t.Flush()
	if c := r.Constant; c != nil {
		fmt.Fprintf(&b, "\nbest of %d constant answers: gold %.3f, %q\n", c.Tried, c.Gold, c.Answer)
	}
	return b.String()
}

func number(i *Interval) string {
	if i == nil || math.IsNaN(i.Mean) {
		return "-"
	}
	return fmt.Sprintf("%.3f", i.Mean)
}

func signed(x float64) string { return fmt.Sprintf("%+.3f", x) }

func bounds(i Interval) string { return fmt.Sprintf("[%+.3f, %+.3f]", i.Low, i.High) }
