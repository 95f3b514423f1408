package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

// printJSON writes one value as indented JSON, the form of every --json.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in columns; the first row is the header. Columns of numbers are for the caller to format.
func table(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// bytesText writes a size as people read it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// jsonFlag is the --json of every command.
func jsonFlag(into *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print the result as JSON", Destination: into}
}

// setFlag is the --set of every command that reads a configuration.
func setFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "set", Usage: "override one `KEY=VALUE` of the file (repeatable)"}
}

// describe is the help text of a command: what it does, then examples.
func describe(text string, examples ...string) string {
	return text + "\n\nExamples:\n   " + strings.Join(examples, "\n   ")
}

// uniqueSorted sorts a list of texts and leaves out repetitions.
func uniqueSorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// needFlags is the usage error for flags that were not given; names and values alternate.
func needFlags(pairs ...string) error {
	var missing []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			missing = append(missing, "--"+pairs[i])
		}
	}
	if missing == nil {
		return nil
	}
	return run.Usage(fmt.Errorf("want %s", strings.Join(missing, " and ")))
}

// computeFlag chooses the arithmetic of models.
func computeFlag(word *string) cli.Flag {
	known := func(_ *cli.Context, word string) error {
		if _, err := kernels.ParseCompute(word); err != nil {
			return run.Usage(fmt.Errorf("--compute: %w", err))
		}
		return nil
	}
	return &cli.StringFlag{Name: "compute", Usage: "arithmetic of models: " + strings.Join(computes, ", "), Value: "auto", Destination: word, Action: known}
}
