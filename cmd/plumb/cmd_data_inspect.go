package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/run"
)

type inspectOptions struct {
	Files     []string
	Format    string
	Pairs     string
	IDs       string
	Tokenizer string
	Page      string
	Examples  int
	JSON      bool
}

func inspectCommand() *cli.Command {
	var o inspectOptions
	return &cli.Command{
		Name: "inspect", Usage: "tell what is in files of data", ArgsUsage: "FILE...",
		Description: describe("Counts records, kinds, turns, lengths, languages and duplicates, and shows examples. With --tokenizer lengths are also\n"+
			"in tokens; with --page everything is a page with plots that opens offline. Exit code 3 when rows were rejected.",
			"plumb data inspect harmless.jsonl.gz",
			"plumb data inspect pairs.arrow --tokenizer SmolLM2-135M-Instruct --page pairs.html"),
		Flags: append(readFlags(&o.Format, &o.Pairs, &o.IDs),
			&cli.StringFlag{Name: "tokenizer", Usage: "count tokens as this `MODEL` does", Destination: &o.Tokenizer},
			&cli.StringFlag{Name: "page", Usage: "write a page with plots to `FILE`", Destination: &o.Page},
			&cli.IntFlag{Name: "examples", Usage: "show `N` records", Value: 3, Destination: &o.Examples},
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Files = c.Args().Slice()
			return runInspect(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runInspect(ctx context.Context, o inspectOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("data inspect: want at least one file"))
	}
	opt := datasets.InspectOptions{Examples: o.Examples}
	if o.Tokenizer != "" {
		tok, err := openTokenizer(o.Tokenizer)
		if err != nil {
			return err
		}
		opt.Tokens = func(s string) int { return len(tok.Encode(s, false)) }
	}
	bar := &fileBar{stderr: stderr}
	in, err := datasets.Inspect(ctx, o.Files, datasets.ReadOptions{
		Format: o.Format, Pairs: o.Pairs, DuplicateIDs: o.IDs, OnReject: func(datasets.Reject) {},
		OnProgress: func(file string, done, size int64) { bar.show(datasets.Progress{File: file, Bytes: done, Size: size}) },
	}, opt)
	bar.done()
	if err != nil {
		return err
	}
	if o.Page != "" {
		err := run.WriteFile(o.Page, func(w io.Writer) error { return in.WriteHTML(w, strings.Join(o.Files, ", ")) })
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "page: %s\n", o.Page)
	}
	if o.JSON {
		err = printJSON(stdout, in)
	} else {
		err = printInspection(stdout, in)
	}
	if err == nil && in.Rejected > 0 {
		err = run.Findings(fmt.Errorf("%d of %d rows are rejected; plumb data convert writes them to a file", in.Rejected, in.Rows))
	}
	return err
}

func printInspection(w io.Writer, in datasets.Inspection) error {
	fmt.Fprintf(w, "%d records from %d rows (%s), %d rows rejected\n", in.Records, in.Rows, strings.Join(in.Formats, ", "), in.Rejected)
	for _, reason := range sortedKeys(in.Reasons) {
		fmt.Fprintf(w, "  rejected %d: %s\n", in.Reasons[reason], reason)
	}
	for _, reason := range sortedKeys(in.WhyUnused) {
		fmt.Fprintf(w, "  in no record %d: %s\n", in.WhyUnused[reason], reason)
	}
	for _, f := range in.Schemas {
		fmt.Fprintf(w, "schema     of %s (%s, %s)\n", f.File, f.Container, f.Format)
		var rows [][]string
		for _, c := range f.Columns {
			rows = append(rows, []string{"  " + c.Name, fmt.Sprint(c.Rows), c.Type})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "kinds      %s; %d conversations\n", counts(in.Kinds), in.Chat)
	fmt.Fprintf(w, "fields     %s\n", counts(in.Fields))
	if len(in.Roles) > 0 {
		fmt.Fprintf(w, "roles      %s\n", counts(in.Roles))
	}
	t := in.Turns
	fmt.Fprintf(w, "turns      min %d, median %d, mean %.1f, p90 %d, max %d\n", t.Min, t.Median, t.Mean, t.P90, t.Max)
	if len(in.Splits) > 0 {
		fmt.Fprintf(w, "splits     %s\n", counts(in.Splits))
	}
	fmt.Fprintf(w, "languages  %s\n", languages(in.Languages))
	d := in.Duplicates
	fmt.Fprintf(w, "duplicates %d exact, %d when folded; %d distinct prompts, %d with several records; %d flipped pairs\n", d.Exact, d.Folded, d.Prompts, d.SharedPrompts, d.Flipped)
	if p := in.Pairs; p.Pairs > 0 {
		fmt.Fprintf(w, "pairs      %d; chosen is longer in %.1f%%; %d say the same on both sides\n", p.Pairs, 100*p.ChosenLonger, p.Equal)
	}
	fmt.Fprintln(w)
	rows := [][]string{{"length", "of", "min", "median", "mean", "p90", "p99", "max"}}
	lengths := in.Lengths()
	for _, unit := range sortedKeys(lengths) {
		for _, side := range sortedKeys(lengths[unit]) {
			s := lengths[unit][side]
			rows = append(rows, []string{unit, side, fmt.Sprint(s.Min), fmt.Sprint(s.Median), fmt.Sprintf("%.1f", s.Mean), fmt.Sprint(s.P90), fmt.Sprint(s.P99), fmt.Sprint(s.Max)})
		}
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, x := range in.Examples {
		fmt.Fprintf(w, "\n[%s] %s\n", x.ID, x.Kind)
		for _, side := range [][2]string{{"prompt", x.Prompt}, {"chosen", x.Chosen}, {"rejected", x.Rejected}} {
			if side[1] != "" {
				fmt.Fprintf(w, "  %-9s%s\n", side[0], strings.ReplaceAll(side[1], "\n", "\n           "))
			}
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func counts(m map[string]int64) string {
	var list []string
	for _, k := range sortedKeys(m) {
		list = append(list, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(list, ", ")
}

func languages(list []datasets.Language) string {
	var parts []string
	for i, l := range list {
		if i == 6 {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, fmt.Sprintf("%s %.1f%%", l.Name, 100*l.Share))
	}
	return strings.Join(parts, ", ")
}
