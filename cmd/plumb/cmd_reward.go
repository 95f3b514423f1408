package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/run"
	"plumb/reward"
)

type rewardOptions struct {
	Model     string
	Base      string
	Data      string
	Format    string
	Out       string
	Compute   string
	MaxLength int
	Limit     int
	JSON      bool
}

func (o *rewardOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "the reward model: a run `DIR`ectory or its adapter", Destination: &o.Model},
		&cli.StringFlag{Name: "base", Usage: "the `MODEL` below it; default: the one that its file names", Destination: &o.Base},
		&cli.StringFlag{Name: "data", Usage: "the records in `FILE`", Destination: &o.Data},
		&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the rows", Value: "auto", Destination: &o.Format},
		computeFlag(&o.Compute),
		&cli.IntFlag{Name: "max-length", Usage: "at most `N` tokens of a text", Value: 1024, Destination: &o.MaxLength},
		&cli.IntFlag{Name: "limit", Usage: "the first `N` records; 0: all", Destination: &o.Limit},
		jsonFlag(&o.JSON),
	}
}

func rewardSubcommands() []*cli.Command {
	return []*cli.Command{rewardScoreCommand(), rewardEvalCommand()}
}

func rewardScoreCommand() *cli.Command {
	var o rewardOptions
	return &cli.Command{
		Name: "score", Usage: "score the answers of any records",
		Description: describe("Prints one line a record: the score of its chosen side and, where it has one, of its rejected side. With --out the\n"+
			"records are written with their scores.",
			"plumb reward score --model runs/quickstart/reward --data runs/quickstart/synth/held_out.arrow --limit 5",
			"plumb reward score --model runs/reward --data answers.jsonl --out scored.jsonl"),
		Flags: append(o.flags(), &cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the records with scores to `FILE`", Destination: &o.Out}),
		Action: func(c *cli.Context) error {
			return runRewardScore(c.Context, o, c.App.Writer)
		},
	}
}

// open reads the records and opens the reward model.
func (o *rewardOptions) open() (*reward.Model, []datasets.Record, error) {
	if err := needFlags("model", o.Model, "data", o.Data); err != nil {
		return nil, nil, err
	}
	if o.MaxLength < 1 {
		return nil, nil, run.Usage(fmt.Errorf("--max-length %d: want 1 or more", o.MaxLength))
	}
	recs, err := datasets.ReadAll([]string{o.Data}, datasets.ReadOptions{Format: o.Format})
	if err != nil {
		return nil, nil, err
	}
	if o.Limit > 0 && o.Limit < len(recs) {
		recs = recs[:o.Limit]
	}
	m, err := newModelCache().openReward(o.Model, o.Base, o.Compute, o.MaxLength)
	return m, recs, err
}

type scoreReport struct {
	ID       string   `json:"id"`
	Chosen   *float64 `json:"chosen,omitempty"`
	Rejected *float64 `json:"rejected,omitempty"`
}

func runRewardScore(ctx context.Context, o rewardOptions, stdout io.Writer) error {
	m, recs, err := o.open()
	if err != nil {
		return err
	}
	var (
		examples []reward.Example
		into     []**float64
		reports  = make([]scoreReport, len(recs))
	)
	for i := range recs {
		rec := &recs[i]
		reports[i].ID = rec.ID
		add := func(side []datasets.Message, place **float64) {
			if len(side) == 0 {
				return
			}
			last := len(side) - 1 // of several turns the earlier ones are part of what is answered
			prompt := append(append([]datasets.Message(nil), rec.Prompt...), side[:last]...)
			examples = append(examples, reward.Example{Prompt: prompt, Tools: rec.Tools, Answer: side[last].Content})
			into = append(into, place)
		}
		add(rec.Chosen, &reports[i].Chosen)
		add(rec.Rejected, &reports[i].Rejected)
	}
	if len(examples) == 0 {
		return fmt.Errorf("%s: no record has an answer to score", o.Data)
	}
	scores, err := m.Score(ctx, examples)
	if err != nil {
		return err
	}
	for i := range scores {
		*into[i] = &scores[i]
	}
	if o.Out != "" {
		for i := range recs {
			recs[i].ChosenScore, recs[i].RejectedScore = reports[i].Chosen, reports[i].Rejected
		}
		if err := writeRecords(o.Out, recs); err != nil {
			return err
		}
	}
	if o.JSON {
		return printJSON(stdout, reports)
	}
	rows := [][]string{{"record", "chosen", "rejected"}}
	for _, r := range reports {
		rows = append(rows, []string{r.ID, scoreText(r.Chosen), scoreText(r.Rejected)})
	}
	return table(stdout, rows)
}

func scoreText(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%+.4f", *x)
}

func rewardEvalCommand() *cli.Command {
	var o rewardOptions
	return &cli.Command{
		Name: "eval", Usage: "measure a reward model on held-out pairs",
		Description: describe("Accuracy with Wilson's 95% interval, loss, margin and calibration. Pairs that cannot be scored are counted; then the exit\n"+
			"code is 3.",
			"plumb reward eval --model runs/quickstart/reward --data runs/quickstart/synth/held_out.arrow"),
		Flags:  o.flags(),
		Action: func(c *cli.Context) error { return runRewardEval(c.Context, o, c.App.Writer) },
	}
}

func runRewardEval(ctx context.Context, o rewardOptions, stdout io.Writer) error {
	m, recs, err := o.open()
	if err != nil {
		return err
	}
	r, err := m.Evaluate(ctx, recs)
	if err != nil {
		return err
	}
	if o.JSON {
		err = printJSON(stdout, r)
	} else {
		fmt.Fprintf(stdout, "pairs     %d\naccuracy  %.4f [%.4f, %.4f]\nloss      %.4f\nmargin    %.4f (sd %.4f)\nrewards   %.4f to %.4f, mean %.4f\nece       %.4f\n\n",
			r.Pairs, r.Accuracy, r.Low, r.High, r.Loss, r.Margin, r.MarginSD, r.Min, r.Max, r.Mean, r.ECE)
		rows := [][]string{{"confidence", "pairs", "mean", "right"}}
		for _, b := range r.Calibration {
			if b.Pairs > 0 {
				rows = append(rows, []string{fmt.Sprintf("%.2f-%.2f", b.Low, b.High), fmt.Sprint(b.Pairs), fmt.Sprintf("%.3f", b.Confidence), fmt.Sprintf("%.3f", b.Accuracy)})
			}
		}
		err = table(stdout, rows)
	}
	if err != nil || len(r.Dropped) == 0 {
		return err
	}
	var list []error
	for _, reason := range sortedKeys(r.Dropped) {
		list = append(list, fmt.Errorf("%d records not scored: %s", r.Dropped[reason], reason))
	}
	return run.Findings(errors.Join(list...))
}
