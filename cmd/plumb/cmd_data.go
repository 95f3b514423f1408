package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
		Subcommands: []*cli.Command{convertCommand(), synthCommand(), formatsCommand()},
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

type convertOptions struct {
	Files        []string
	Out          string
	Format       string
	To           string
	Pairs        string
	DuplicateIDs string
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
			&cli.StringFlag{Name: "to", Usage: "`FORMAT` of the rows of a text file", Value: "plumb", Destination: &o.To},
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Files = c.Args().Slice()
			return runConvert(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

type convertReport struct {
	Out      string             `json:"out"`
	Records  int64              `json:"records"`
	Rejected int64              `json:"rejected"`
	Rejects  string             `json:"rejects,omitempty"` // where the rejected rows are
	Files    []convertFileCount `json:"files"`
}

type convertFileCount struct {
	File   string `json:"file"`
	Format string `json:"format"`
	datasets.Counts
}

func runConvert(ctx context.Context, o convertOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("data convert: want at least one file"))
	}
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	opt := datasets.ReadOptions{Format: o.Format, Pairs: o.Pairs, DuplicateIDs: o.DuplicateIDs}
	rep, err := convert(ctx, o.Files, o.Out, opt, datasets.WriteOptions{Format: o.To}, stderr)
	if err != nil {
		return err
	}
	if o.JSON {
		err = printJSON(stdout, rep)
	} else {
		_, err = fmt.Fprintf(stdout, "%d records in %s\n", rep.Records, rep.Out)
	}
	if err != nil {
		return err
	}
	return rejected(rep.Rejected, rep.Rejects)
}

// rejected is the finding of refused rows, nil when there are none.
func rejected(n int64, path string) error {
	if n == 0 {
		return nil
	}
	return run.Findings(fmt.Errorf("%d rows were rejected: see %s", n, path))
}

// convert streams files into one. Memory does not grow with them.
func convert(ctx context.Context, files []string, out string, ropt datasets.ReadOptions, wopt datasets.WriteOptions, stderr io.Writer) (rep convertReport, err error) {
	rep.Out = out
	rejects := datasets.NewRejectWriter(out)
	w, err := datasets.Create(out, wopt)
	if err != nil {
		return rep, run.Usage(err)
	}
	defer func() {
		if err != nil {
			w.Discard() // the first error is the one to report
		}
	}()
	ropt.OnReject = rejects.Add
	names := datasets.SourceNames(files)
	for i, file := range files {
		ropt.Source = names[i]
		n, err := convertFile(ctx, file, w, rejects, ropt, stderr)
		rep.Files = append(rep.Files, n)
		rep.Records += n.Records
		if err != nil {
			return rep, err
		}
	}
	rep.Rejected = rejects.Count()
	if rep.Rejected > 0 {
		rep.Rejects = rejects.Path()
	}
	if err := rejects.Close(); err != nil {
		return rep, err
	}
	return rep, w.Close()
}

func convertFile(ctx context.Context, file string, w datasets.Writer, rejects *datasets.RejectWriter, opt datasets.ReadOptions, stderr io.Writer) (n convertFileCount, err error) {
	n.File = file
	var bar *run.Progress
	opt.OnProgress = func(done, total int64) {
		if bar == nil {
			bar = run.NewProgress(stderr, filepath.Base(file)+" KiB", int(total>>10))
		}
		bar.Set(int(done >> 10))
	}
	in, err := datasets.Open(file, opt)
	if err != nil {
		return n, err
	}
	defer in.Close()
	unfit := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
		var bad *datasets.UnfitError
		if err := w.Write(rec); errors.As(err, &bad) {
			unfit++
			rejects.Add(datasets.Reject{File: rec.Source.File, Row: rec.Source.Row, Reason: bad.Error(), Text: rec.ID})
		} else if err != nil {
			return n, err
		}
	}
	bar.Done()
	n.Format, n.Counts = datasets.FormatOf(in), datasets.CountsOf(in)
	n.Records -= unfit
	return n, nil
}

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
