package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	_ "plumb/datasets/parquet" // data files ending in .parquet
	"plumb/datasets/synth"
	"plumb/internal/run"
)

func dataCommand() *cli.Command {
	return &cli.Command{
		Name: "data", Usage: "convert, look into and split preference data, or make some",
		Description: describe("Reads and writes preference, instruction and prompt data. Formats are detected; rejected rows go to a file\n"+
			"beside the output, with the reason, and the exit code is then 3.",
			"plumb data convert raw.jsonl.gz --out pairs.arrow", "plumb data synth --out world"),
		Subcommands: []*cli.Command{convertCommand(), inspectCommand(), splitCommand(), exportCommand(), synthCommand(), formatsCommand()},
	}
}

// readFlags are shared by every command that reads data.
func readFlags(format, pairs, ids *string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the rows (plumb data formats lists them)", Value: "auto", Destination: format},
		&cli.StringFlag{Name: "pairs", Usage: "how a ranking becomes pairs: all, best or ends", Value: "all", Destination: pairs},
		&cli.StringFlag{Name: "duplicate-ids", Usage: "ids seen before: reject or rename", Value: "reject", Destination: ids},
	}
}

func resumeFlag(to *bool) cli.Flag {
	return &cli.BoolFlag{Name: "resume", Usage: "leave checkpoints, and go on where an earlier run over the same files was stopped", Value: true, Destination: to}
}

type convertOptions struct {
	Files        []string
	Out          string
	Format       string
	To           string
	Pairs        string
	DuplicateIDs string
	Resume       bool
	JSON         bool
}

func convertCommand() *cli.Command {
	var o convertOptions
	return &cli.Command{
		Name: "convert", Usage: "read files of any known format and write one file", ArgsUsage: "FILE...",
		Description: describe("The extension of --out says its container: .arrow, .parquet, .jsonl, .json, .csv, the text ones also with .gz or\n"+
			".zst. What the output format cannot hold is refused row by row, never dropped in silence.",
			"plumb data convert harmless.jsonl.gz --format hh --out pairs.arrow",
			"plumb data convert a.jsonl b.csv --out all.jsonl --to trl"),
		Flags: append(readFlags(&o.Format, &o.Pairs, &o.DuplicateIDs),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `FILE` to write", Destination: &o.Out},
			&cli.StringFlag{Name: "to", Usage: "`FORMAT` of the rows of a text file; \"\": plumb, in CSV trl", Destination: &o.To},
			resumeFlag(&o.Resume),
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Files = c.Args().Slice()
			return runConvert(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// convertReport is a conversion as --json prints it.
type convertReport struct {
	Out string `json:"out"`
	datasets.ConvertReport
}

func runConvert(ctx context.Context, o convertOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("data convert: want at least one file"))
	}
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	rep, err := convert(ctx, o.Files, o.Out, datasets.ConvertOptions{
		Read:   datasets.ReadOptions{Format: o.Format, Pairs: o.Pairs, DuplicateIDs: o.DuplicateIDs},
		Write:  datasets.WriteOptions{Format: o.To},
		Resume: o.Resume,
	}, stderr)
	if err != nil {
		return err
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(rep.Formats))) {
		for _, what := range datasets.Unread(name) {
			fmt.Fprintf(stderr, "%s: read without %s\n", name, what)
		}
	}
	for _, what := range sortedKeys(rep.Lost) {
		fmt.Fprintf(stderr, "%d records were written without %s: the format has no field for it\n", rep.Lost[what], what)
	}
	if rep.Unused > 0 {
		fmt.Fprintf(stderr, "%d rows are in no record, though nothing is wrong with them: see %s\n", rep.Unused, rep.Rejects)
	}
	if o.JSON {
		err = printJSON(stdout, convertReport{o.Out, rep})
	} else {
		_, err = fmt.Fprintf(stdout, "%d records in %s\n", rep.Written, o.Out)
	}
	if err != nil {
		return err
	}
	return rejected(rep)
}

// rejected is the finding of refused rows, nil when there are none.
func rejected(rep datasets.ConvertReport) error {
	if n := rep.Rejected + rep.Unfit; n > 0 {
		return run.Findings(fmt.Errorf("%d rows were rejected: see %s", n, rep.Rejects))
	}
	return nil
}

// convert runs a conversion with a display of its progress.
func convert(ctx context.Context, files []string, out string, opt datasets.ConvertOptions, stderr io.Writer) (datasets.ConvertReport, error) {
	bar := &fileBar{stderr: stderr}
	opt.OnProgress = bar.show
	rep, err := datasets.Convert(ctx, files, out, opt)
	bar.done()
	if rep.Resumed > 0 {
		fmt.Fprintf(stderr, "%d records were done before\n", rep.Resumed)
	}
	return rep, err
}

// fileBar shows how far the reading of files is, one bar a file.
type fileBar struct {
	stderr io.Writer
	bar    *run.Progress
	file   string
	at     int64
}

func (b *fileBar) show(p datasets.Progress) {
	if p.File != b.file || p.Bytes < b.at {
		b.bar.Done()
		b.file, b.bar = p.File, run.NewProgress(b.stderr, filepath.Base(p.File)+" KiB", int(p.Size>>10))
	}
	b.at = p.Bytes
	if p.Records > 0 { // an inspection does not say
		b.bar.Note(fmt.Sprintf("%d records", p.Records))
	}
	b.bar.Set(int(p.Bytes >> 10))
}

func (b *fileBar) done() { b.bar.Done() }

type synthOptions struct {
	Out    string
	Config synth.Config
	JSON   bool
}

func synthCommand() *cli.Command {
	o := synthOptions{Config: synth.Defaults()}
	return &cli.Command{
		Name: "synth", Usage: "make preference data whose true reward is known",
		Description: describe("Writes pairs.arrow, held_out.arrow, demonstrations.arrow and stats.json. The same seed and counts give the same bytes.",
			"plumb data synth --out world", "plumb data synth --out shuffled --seed 7 --pairs 1000 --shuffle-labels"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `DIR`ectory to write", Destination: &o.Out},
			&cli.Uint64Flag{Name: "seed", Usage: "`N`umber that all draws depend on", Value: 42, Destination: &o.Config.Seed},
			&cli.IntFlag{Name: "pairs", Usage: "`N`umber of pairs to train on", Value: o.Config.Pairs, Destination: &o.Config.Pairs},
			&cli.IntFlag{Name: "held-out", Usage: "`N`umber of pairs of other orders", Value: o.Config.HeldOut, Destination: &o.Config.HeldOut},
			&cli.IntFlag{Name: "demonstrations", Usage: "`N`umber of answers to imitate", Value: o.Config.Demonstrations, Destination: &o.Config.Demonstrations},
			&cli.IntFlag{Name: "exact-copies", Usage: "`N`umber of planted copies", Value: o.Config.ExactCopies, Destination: &o.Config.ExactCopies},
			&cli.IntFlag{Name: "near-copies", Usage: "`N`umber of planted near copies", Value: o.Config.NearCopies, Destination: &o.Config.NearCopies},
			&cli.Float64Flag{Name: "tau", Usage: "noise of the labels", Value: o.Config.Tau, Destination: &o.Config.Tau},
			&cli.BoolFlag{Name: "shuffle-labels", Usage: "a control: labels by coin", Destination: &o.Config.ShuffleLabels},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error { return runSynth(o, c.App.Writer) },
	}
}

func runSynth(o synthOptions, stdout io.Writer) error {
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	if faults := o.Config.Validate(); len(faults) > 0 {
		return run.Usage(errors.Join(faults...))
	}
	w, err := synth.Generate(o.Config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(o.Out, name) }
	if err := writeWorld(w, at("pairs.arrow"), at("held_out.arrow"), at("demonstrations.arrow"), at("stats.json")); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(stdout, w.Stats)
	}
	_, err = fmt.Fprint(stdout, w.Stats.String())
	return err
}

func formatsCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "formats", Usage: "list the formats of rows",
		Description: describe("Every format can be named by --format; most are detected.", "plumb data formats"),
		Flags:       []cli.Flag{jsonFlag(&asJSON)},
		Action:      func(c *cli.Context) error { return runFormats(asJSON, c.App.Writer) },
	}
}

func runFormats(asJSON bool, stdout io.Writer) error {
	list := datasets.Formats()
	if asJSON {
		return printJSON(stdout, list)
	}
	rows := [][]string{{"format", "written", "what"}}
	for _, f := range list {
		written := "no"
		if f.Write {
			written = "yes"
		}
		rows = append(rows, []string{f.Name, written, f.About})
	}
	return table(stdout, rows)
}
