package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"plumb/internal/hub"
	"plumb/internal/run"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name: "models", Usage: "list and pull models of the Hugging Face hub",
		Description: describe("Works on the Hugging Face cache (HF_HOME, HF_HUB_CACHE), so that models pulled by other programs are found and\n"+
			"theirs find these. HF_TOKEN and HF_ENDPOINT are used as usual.",
			"plumb models list", "plumb models pull HuggingFaceTB/SmolLM2-135M-Instruct"),
		Subcommands: []*cli.Command{modelsListCommand(), modelsPullCommand()},
	}
}

func modelsListCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "list", Usage: "list the models in the cache",
		Description: describe("Each can be named wherever a model is asked for.", "plumb models list --json"),
		Flags:       []cli.Flag{jsonFlag(&asJSON)},
		Action:      func(c *cli.Context) error { return runModelsList(asJSON, c.App.Writer) },
	}
}

func runModelsList(asJSON bool, stdout io.Writer) error {
	list, err := hub.List()
	if err != nil {
		return err
	}
	type entry struct {
		Name     string `json:"name"`
		Revision string `json:"revision"`
		Commit   string `json:"commit"`
		Dir      string `json:"dir"`
		Bytes    int64  `json:"bytes"`
	}
	entries := make([]entry, 0, len(list))
	rows := [][]string{{"model", "revision", "size", "folder"}}
	for _, m := range list {
		entries = append(entries, entry(m))
		rows = append(rows, []string{m.Name, m.Revision, bytesText(m.Bytes), m.Dir})
	}
	if asJSON {
		return printJSON(stdout, entries)
	}
	return table(stdout, rows)
}

type pullOptions struct {
	Name     string
	Revision string
	JSON     bool
}

func modelsPullCommand() *cli.Command {
	var o pullOptions
	return &cli.Command{
		Name: "pull", Usage: "bring a model into the cache", ArgsUsage: "NAME",
		Description: describe("Downloads what a model needs, continues where an earlier pull stopped and checks every file's SHA-256.",
			"plumb models pull HuggingFaceTB/SmolLM2-135M-Instruct", "plumb models pull openai-community/gpt2 --revision main"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "revision", Usage: "branch, tag or commit; default main", Destination: &o.Revision},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(fmt.Errorf("models pull: want one name, owner/model"))
			}
			o.Name = c.Args().First()
			return runPull(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runPull(ctx context.Context, o pullOptions, stdout, stderr io.Writer) error {
	if !hub.IsName(o.Name) {
		return run.Usage(fmt.Errorf("models pull %q: want the name of a model, owner/model", o.Name))
	}
	var bar *run.Progress
	dir, err := hub.Pull(ctx, o.Name, o.Revision, func(p hub.Progress) {
		if bar == nil {
			bar = run.NewProgress(stderr, o.Name+" KiB", int(p.Total>>10))
			bar.Resume(int(p.Done >> 10))
		}
		bar.Note(p.File)
		bar.Set(int(p.Done >> 10))
	})
	bar.Done()
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(stdout, map[string]string{"name": o.Name, "dir": dir})
	}
	_, err = fmt.Fprintln(stdout, dir)
	return err
}
