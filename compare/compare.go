// Package compare sets policies side by side on the same prompts: what each answers, what a reward model and (where
// the data is synthetic) the known reward say of it, how far each went from the base, with paired intervals. It owns
// the statistics and the page. It must not know how a policy was trained, nor what computes a reward.
package compare

import (
	"context"
	"fmt"
	"io"
	"math"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/model"
	"plumb/internal/run"
)

// Answer is what a Scorer judges: a conversation and the text that answers it.
type Answer struct {
	Prompt []datasets.Message
	Answer string
}

// Scorer is a reward over text; package reward's model is one.
type Scorer interface {
	Score(ctx context.Context, answers []Answer) ([]float64, error)
}

// Policy is one of the runs to be compared.
type Policy struct {
	Name    string
	Adapter *adapters.Adapter
	Model   *model.Bundle // nil: the base of the comparison; with another one there is no KL
}

// Log is a metrics.jsonl whose figures the page draws.
type Log struct {
	Run  string
	Path string
}

// Inputs of a comparison.
type Inputs struct {
	Base      *model.Bundle
	Policies  []Policy // the base itself is added in front, best-of-n behind
	Prompts   []datasets.Record
	Reward    Scorer                              // nil: no reward model, and no best-of-n
	Gold      func(prompt, answer string) float64 // nil: the true reward is not known
	Constants []string                            // answers to try on every prompt, where gold is known
	Logs      []Log
}

// The figures a Difference can be about.
const (
	FigureGold   = "gold"
	FigureReward = "reward"
	FigureBytes  = "bytes"
)

// Run compares, writes report.json, report.html and samples.jsonl into the stage directory, and returns the report.
func Run(ctx context.Context, cfg Config, in Inputs, st *run.Stage) (Report, error) {
	report := Report{Samples: cfg.Samples, Temperature: cfg.Temperature, Seed: cfg.Seed}
	if faults := cfg.Validate(); len(faults) > 0 {
		return report, faults[0]
	}
	records := in.Prompts
	if cfg.Prompts > 0 && cfg.Prompts < len(records) {
		records = records[:cfg.Prompts]
	}
	if len(records) == 0 {
		return report, fmt.Errorf("compare: there are no prompts to compare on")
	}
	report.Prompts = len(records)

	policies := append([]Policy{{Name: cfg.Base}}, in.Policies...)
	stages := len(policies)
	if in.Reward != nil && cfg.BestOf > 1 {
		stages++
	}
	progress := st.Progress("compare", stages*len(records))
	defer progress.Done()
	var prompts []prompt
	for _, p := range policies {
		rr, err := measure(ctx, cfg, in, p, records, progress.Add)
		if err != nil {
			return report, fmt.Errorf("compare %s: %w", p.Name, err)
		}
		report.Runs = append(report.Runs, rr)
	}
	prompts, err := readPrompts(in.Base, records)
	if err != nil {
		return report, err
	}
	if stages > len(policies) {
		rr, err := bestOf(ctx, cfg, in, prompts, progress.Add)
		if err != nil {
			return report, fmt.Errorf("compare best of %d: %w", cfg.BestOf, err)
		}
		report.Runs = append(report.Runs, rr)
	}
	contrast(cfg, &report)
	if in.Gold != nil && len(in.Constants) > 0 {
		report.Constant = bestConstant(in.Gold, in.Constants, prompts)
	}
	report.Curves, err = readCurves(in.Logs)
	if err != nil {
		return report, err
	}
	report.Examples = examples(cfg, report.Runs, prompts)
	return report, write(&report, prompts, st)
}

// measure samples a policy's answers and takes every figure of them.
func measure(ctx context.Context, cfg Config, in Inputs, p Policy, records []datasets.Record, count func(int)) (RunReport, error) {
	bundle := p.Model
	if bundle == nil {
		bundle = in.Base
	}
	prompts, err := readPrompts(bundle, records)
	if err != nil {
		return RunReport{}, err
	}
	// All policies draw from one stream: common random numbers make the paired differences sharper.
	answers, err := drawAnswers(ctx, bundle, p.Adapter, prompts, cfg.Samples, cfg.Temperature, cfg, "compare/answers")
	if err != nil {
		return RunReport{}, err
	}
	rr, err := judge(ctx, cfg, in, p.Name, prompts, answers)
	if err != nil {
		return rr, err
	}
	switch {
	case bundle.Model != in.Base.Model:
		count(len(prompts))
	case p.Adapter == nil:
		rr.KL = &Interval{}
		count(len(prompts))
	default:
		if cfg.Temperature != 1 {
			if answers, err = drawAnswers(ctx, bundle, p.Adapter, prompts, cfg.Samples, 1, cfg, "compare/kl"); err != nil {
				return rr, err
			}
		}
		kl, err := sequenceKL(ctx, bundle, p.Adapter, prompts, answers, count)
		if err != nil {
			return rr, err
		}
		if err := finite("KL", kl); err != nil {
			return rr, err
		}
		rr.KL = interval(cfg, kl, "compare/kl/"+p.Name)
	}
	return rr, nil
}

// bestOf lets the reward model choose among the base's answers.
func bestOf(ctx context.Context, cfg Config, in Inputs, prompts []prompt, count func(int)) (RunReport, error) {
	name := fmt.Sprintf("best-of-%d", cfg.BestOf)
	drawn, err := drawAnswers(ctx, in.Base, nil, prompts, cfg.BestOf*cfg.Samples, cfg.Temperature, cfg, "compare/best_of")
	if err != nil {
		return RunReport{}, err
	}
	scores, err := score(ctx, in.Reward, prompts, drawn)
	if err != nil {
		return RunReport{}, err
	}
	best := make([][]answer, len(prompts))
	for i := range drawn {
		for from := 0; from < len(drawn[i]); from += cfg.BestOf {
			at := from
			for k := from + 1; k < from+cfg.BestOf; k++ {
				if scores[i][k] > scores[i][at] {
					at = k
				}
			}
			best[i] = append(best[i], drawn[i][at])
		}
	}
	rr, err := judge(ctx, cfg, in, name, prompts, best)
	bound := bestOfKL(cfg.BestOf)
	rr.KL, rr.KLBound = &Interval{bound, bound, bound}, true
	count(len(prompts))
	return rr, err
}

// judge takes the figures of answers that need no forward pass of the policy.
func judge(ctx context.Context, cfg Config, in Inputs, name string, prompts []prompt, answers [][]answer) (RunReport, error) {
	rr := RunReport{Name: name}
	seen, n := map[string]int{}, 0.0
	for i, group := range answers {
		var texts []string
		var gold, length float64
		for _, a := range group {
			texts = append(texts, a.text)
			seen[a.text]++
			n++
			rr.Tokens += float64(len(a.tokens))
			length += float64(len(a.text)) / float64(len(group))
			if a.stopped {
				rr.Stopped++
			}
			if in.Gold != nil {
				gold += in.Gold(prompts[i].text, a.text) / float64(len(group))
			}
		}
		rr.answers, rr.bytes = append(rr.answers, texts), append(rr.bytes, length)
		if in.Gold != nil {
			rr.gold = append(rr.gold, gold)
		}
	}
	for _, times := range seen {
		if times == 1 {
			rr.Distinct++
		}
	}
	rr.Tokens, rr.Stopped, rr.Distinct, rr.Bytes = rr.Tokens/n, rr.Stopped/n, rr.Distinct/n, mean(rr.bytes)
	if in.Reward != nil {
		scores, err := score(ctx, in.Reward, prompts, answers)
		if err != nil {
			return rr, err
		}
		for _, s := range scores {
			rr.reward = append(rr.reward, mean(s))
		}
		rr.Reward = interval(cfg, rr.reward, "compare/reward/"+name)
	}
	if in.Gold != nil {
		if err := finite("gold reward", rr.gold); err != nil {
			return rr, err
		}
		rr.Gold = interval(cfg, rr.gold, "compare/gold/"+name)
	}
	return rr, nil
}

// score asks the reward for every answer at once.
func score(ctx context.Context, s Scorer, prompts []prompt, answers [][]answer) ([][]float64, error) {
	var asked []Answer
	for i, group := range answers {
		for _, a := range group {
			asked = append(asked, Answer{prompts[i].messages, a.text})
		}
	}
	flat, err := s.Score(ctx, asked)
	if err != nil {
		return nil, err
	}
	if len(flat) != len(asked) {
		return nil, fmt.Errorf("the reward gave %d scores for %d answers", len(flat), len(asked))
	}
	if err := finite("reward", flat); err != nil {
		return nil, err
	}
	scores := make([][]float64, len(answers))
	for i, group := range answers {
		scores[i], flat = flat[:len(group)], flat[len(group):]
	}
	return scores, nil
}

func finite(what string, x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s number %d is %v, want a finite number", what, i+1, v)
		}
	}
	return nil
}

func interval(cfg Config, x []float64, purpose string) *Interval {
	iv := bootstrap(x, cfg.Resamples, run.Rand(cfg.Seed, purpose))
	return &iv
}

// contrast compares every run with the base, and every two runs by wins.
func contrast(cfg Config, r *Report) {
	base := &r.Runs[0]
	for i := 1; i < len(r.Runs); i++ {
		a := &r.Runs[i]
		for _, f := range figures(a) {
			d, length := minus(f.values(a), f.values(base)), minus(a.bytes, base.bytes)
			purpose := "compare/difference/" + f.name + "/" + a.Name
			r.Differences = append(r.Differences, Difference{A: a.Name, B: base.Name, Figure: f.name,
				Paired:  bootstrap(d, cfg.Resamples, run.Rand(cfg.Seed, purpose)),
				AtEqual: lengthControlled(d, length, cfg.Resamples, run.Rand(cfg.Seed, purpose+"/length"))})
		}
	}
	for i := range r.Runs {
		for j := range r.Runs[:i] {
			a, b := &r.Runs[i], &r.Runs[j]
			for _, f := range figures(a) {
				if f.name != FigureBytes {
					r.Wins = append(r.Wins, WinReport{a.Name, b.Name, f.name, wins(f.values(a), f.values(b))})
				}
			}
		}
	}
}

type figure struct {
	name   string
	values func(*RunReport) []float64 // by prompt
}

// figures lists what was measured of a run by prompt; all runs of a report have the same.
func figures(r *RunReport) []figure {
	var f []figure
	if r.gold != nil {
		f = append(f, figure{FigureGold, func(r *RunReport) []float64 { return r.gold }})
	}
	if r.reward != nil {
		f = append(f, figure{FigureReward, func(r *RunReport) []float64 { return r.reward }})
	}
	return append(f, figure{FigureBytes, func(r *RunReport) []float64 { return r.bytes }})
}

func bestConstant(gold func(prompt, answer string) float64, tried []string, prompts []prompt) *Constant {
	best := &Constant{Gold: math.Inf(-1), Tried: len(tried)}
	for _, a := range tried {
		sum := 0.0
		for _, p := range prompts {
			sum += gold(p.text, a)
		}
		if m := sum / float64(len(prompts)); m > best.Gold {
			best.Answer, best.Gold = a, m
		}
	}
	return best
}

func examples(cfg Config, runs []RunReport, prompts []prompt) []Example {
	var list []Example
	for i := range min(cfg.Examples, len(prompts)) {
		e := Example{Prompt: prompts[i].text}
		for _, r := range runs {
			a := ExampleAnswer{Run: r.Name, Text: r.answers[i][0]}
			if cfg.Samples == 1 && r.gold != nil {
				a.Gold = &r.gold[i]
			}
			if cfg.Samples == 1 && r.reward != nil {
				a.Reward = &r.reward[i]
			}
			e.Answers = append(e.Answers, a)
		}
		list = append(list, e)
	}
	return list
}

func write(r *Report, prompts []prompt, st *run.Stage) error {
	page, err := r.page()
	if err != nil {
		return err
	}
	if err := run.WriteFile(st.Path("report.html"), func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
		return err
	}
	if err := run.WriteFile(st.Path("samples.jsonl"), func(w io.Writer) error { return r.writeSamples(w, prompts) }); err != nil {
		return err
	}
	return run.WriteFile(st.Path("report.json"), r.writeJSON)
}
