package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/datasets"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/run"
)

type doctorOptions struct {
	File string
	Sets []string
	JSON bool
}

func doctorCommand() *cli.Command {
	var o doctorOptions
	return &cli.Command{
		Name: "doctor", Usage: "tell everything that is wrong with an experiment and its data, at once", ArgsUsage: "EXPERIMENT.yaml",
		Description: describe("Checks the configuration, opens the models that it names, and reads its data: rows that are rejected, pairs that say the\n"+
			"same on both sides, pairs too long for a stage, templates that are missing. Nothing is written. Exit code 2 for faults of\n"+
			"the configuration, 3 for warnings.",
			"plumb doctor configs/quickstart.yaml", "plumb doctor configs/hh-smollm2.yaml --set model=SmolLM2-135M-Instruct.gguf --json"),
		Flags: []cli.Flag{setFlag(), jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(errors.New("doctor: want one experiment file"))
			}
			o.File, o.Sets = c.Args().First(), c.StringSlice("set")
			return runDoctor(c.Context, o, c.App.Writer)
		},
	}
}

// remark is one thing that doctor has to say.
type remark struct {
	Level string `json:"level"` // error, warning or note
	Where string `json:"where"`
	Text  string `json:"text"`
}

type doctor struct {
	remarks []remark
	models  map[string]*model.Bundle
}

func (d *doctor) say(level, where, format string, args ...any) {
	d.remarks = append(d.remarks, remark{level, where, fmt.Sprintf(format, args...)})
}

func runDoctor(ctx context.Context, o doctorOptions, stdout io.Writer) error {
	src, err := readConfig(o.File)
	if err != nil {
		return err
	}
	d := &doctor{models: map[string]*model.Bundle{}}
	x, cerr := loadExperiment(o.File, src, stageSets(o.Sets), "", 0)
	var faults *configs.Faults
	if errors.As(cerr, &faults) {
		for _, f := range faults.List {
			where := f.File
			if f.Line > 0 {
				where = fmt.Sprintf("%s:%d", f.File, f.Line)
			}
			d.say("error", where, "%s: %s", f.Key, f.Msg)
		}
	}
	if err := kernels.LevelFault(); err != nil {
		d.say("warning", "environment", "%v", err)
	}
	for _, p := range x.plans {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.stage(p)
	}
	if o.JSON {
		if d.remarks == nil {
			d.remarks = []remark{}
		}
		err = printJSON(stdout, d.remarks)
	} else {
		err = d.print(stdout, len(x.plans))
	}
	if err != nil {
		return err
	}
	return d.verdict()
}

func (d *doctor) count(level string) int {
	n := 0
	for _, r := range d.remarks {
		if r.Level == level {
			n++
		}
	}
	return n
}

func (d *doctor) verdict() error {
	if n := d.count("error"); n > 0 {
		return run.Usage(fmt.Errorf("%d errors", n))
	}
	if n := d.count("warning"); n > 0 {
		return run.Findings(fmt.Errorf("%d warnings", n))
	}
	return nil
}

func (d *doctor) print(w io.Writer, stages int) error {
	for _, r := range d.remarks {
		if _, err := fmt.Fprintf(w, "%-8s%s: %s\n", r.Level, r.Where, r.Text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d stages, %d errors, %d warnings\n", stages, d.count("error"), d.count("warning"))
	return err
}

// stage looks at what a stage reads that is there already: what earlier stages will make cannot be looked at.
func (d *doctor) stage(p *plan) {
	for _, in := range p.inputs {
		if in.Stage != "" {
			continue
		}
		if _, err := os.Stat(in.Path); err != nil {
			continue // planning has said so
		}
		where := p.name + " " + in.Role
		switch in.Role {
		case roleModel, roleRewardModel:
			d.model(where, in.Path)
		case roleData, roleEval, roleTests:
			d.data(where, p, in.Path)
		}
	}
}

func (d *doctor) model(where, path string) *model.Bundle {
	if b, ok := d.models[path]; ok {
		return b
	}
	b, err := model.Open(path, model.Options{})
	d.models[path] = b
	if err != nil {
		d.say("error", where, "%v", err)
		return nil
	}
	t := b.Tokenizer
	if t.PAD() >= 0 && t.PAD() == t.EOS() {
		d.say("note", where, "its PAD token is its EOS token; scores are read at the real last token (some trainers read the one before it)")
	}
	if t.EOS() < 0 {
		d.say("warning", where, "its tokenizer has no EOS token: answers end only at their longest length")
	}
	if !t.HasTemplate() {
		d.say("warning", where, "its tokenizer has no chat template: conversations cannot be encoded, raw texts can")
	}
	return b
}

func (d *doctor) data(where string, p *plan, path string) {
	read := datasets.ReadOptions{OnReject: func(datasets.Reject) {}}
	if s, ok := p.body.(*dataStage); ok {
		read.Format, read.Pairs, read.DuplicateIDs = s.Format, s.Pairs, s.DuplicateIDs
	}
	in, err := datasets.Inspect(context.Background(), []string{path}, read, datasets.InspectOptions{Examples: 1, MaxLanguages: 1})
	if err != nil {
		d.say("error", where, "%v", err)
		return
	}
	d.say("note", where, "%s: %d records (%s)", path, in.Records, counts(in.Kinds))
	if in.Records == 0 {
		d.say("error", where, "%s holds no record", path)
	}
	for _, reason := range sortedKeys(in.Reasons) {
		d.say("warning", where, "%d rows are rejected: %s", in.Reasons[reason], reason)
	}
	if n := in.Pairs.Equal; n > 0 {
		d.say("warning", where, "%d pairs say the same on both sides", n)
	}
	if n := in.Pairs.EmptyAnswers; n > 0 {
		d.say("warning", where, "%d answers are empty", n)
	}
	if n := in.Duplicates.Flipped; n > 0 {
		d.say("warning", where, "%d pairs occur in both orders", n)
	}
	if n := in.Duplicates.Exact; n > 0 && !hasKind(p, "dedup") {
		d.say("warning", where, "%d records occur more than once, and no dedup stage removes them", n)
	}
	if share := in.Pairs.ChosenLonger; in.Pairs.Pairs >= 100 && (share > 0.65 || share < 0.35) {
		d.say("note", where, "chosen is longer in %.0f%% of the pairs: a reward model learns length first", 100*share)
	}
	d.lengths(where, p, path, read)
}

func hasKind(p *plan, kind string) bool {
	for _, q := range p.x.plans {
		if q.kind == kind {
			return true
		}
	}
	return false
}

// lengths counts what each trainer would drop, with the tokenizers that are at hand.
func (d *doctor) lengths(where string, p *plan, path string, read datasets.ReadOptions) {
	recs, err := datasets.ReadAll([]string{path}, read)
	if err != nil {
		return // Inspect has said why
	}
	for _, q := range p.x.plans {
		count, ok := q.body.(interface {
			dropped(b *model.Bundle, recs []datasets.Record) map[string]int
		})
		if !ok {
			continue
		}
		base := firstOf(q.inputs, roleModel)
		b := d.models[base]
		if b == nil && base != "" && q.fromUser(roleModel) {
			b = d.model(q.name+" "+roleModel, base)
		}
		if b == nil {
			continue
		}
		dropped := count.dropped(b, recs)
		for _, reason := range sortedKeys(dropped) {
			d.say("warning", where, "%s drops %d of %d records: %s", q.name, dropped[reason], len(recs), strings.TrimSpace(reason))
		}
	}
}

// fromUser tells whether an input of that role is the user's own, not another stage's.
func (p *plan) fromUser(role string) bool {
	for _, in := range p.inputs {
		if in.Role == role {
			return in.Stage == ""
		}
	}
	return false
}
