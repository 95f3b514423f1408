package main

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/internal/run"
)

type configOptions struct {
	File string
	Sets []string
	Kind string
	JSON bool
}

func configCommand() *cli.Command {
	var o configOptions
	return &cli.Command{
		Name: "config", Usage: "show experiments, their defaults and what each key resolves to",
		Description: describe("Works on experiment files without running them.",
			"plumb config list", "plumb config show configs/quickstart.yaml --set synth.pairs=100", "plumb config defaults synth"),
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the experiments that come with Plumb",
				Description: describe("Each can be named in plumb run; its text is shown by plumb config source.", "plumb config list --json"),
				Flags:       []cli.Flag{jsonFlag(&o.JSON)},
				Action:      func(c *cli.Context) error { return runConfigList(o, c.App.Writer) },
			},
			{
				Name: "source", Usage: "print an experiment that comes with Plumb", ArgsUsage: "NAME",
				Description: describe("Prints the file, to be changed into one's own.", "plumb config source quickstart"),
				Action: func(c *cli.Context) error {
					o.File = c.Args().First()
					return runConfigSource(o, c.App.Writer)
				},
			},
			{
				Name: "show", Usage: "print an experiment as resolved", ArgsUsage: "EXPERIMENT.yaml",
				Description: describe("Prints each stage with every default in place, after the file and --set.", "plumb config show configs/quickstart.yaml"),
				Flags:       []cli.Flag{setFlag()},
				Action: func(c *cli.Context) error {
					o.File, o.Sets = c.Args().First(), c.StringSlice("set")
					return runConfigShow(o, c.App.Writer)
				},
			},
			{
				Name: "defaults", Usage: "print the defaults of a stage", ArgsUsage: "KIND",
				Description: describe("Without a kind, lists the kinds.", "plumb config defaults synth"),
				Action: func(c *cli.Context) error {
					o.Kind = c.Args().First()
					return runConfigDefaults(o, c.App.Writer)
				},
			},
			{
				Name: "schema", Usage: "print the JSON schema of a stage", ArgsUsage: "KIND",
				Description: describe("Names, types and defaults of a stage's keys, for editors that complete YAML.", "plumb config schema dpo"),
				Action: func(c *cli.Context) error {
					o.Kind = c.Args().First()
					return runConfigSchema(o, c.App.Writer)
				},
			},
		},
	}
}

func runConfigList(o configOptions, stdout io.Writer) error {
	names, err := fs.Glob(configs.FS, "*.yaml")
	if err != nil {
		return err
	}
	type entry struct {
		Name    string `json:"name"`
		Purpose string `json:"purpose"`
	}
	var list []entry
	rows := [][]string{{"name", "purpose"}}
	for _, n := range names {
		src, err := configs.FS.ReadFile(n)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(src), "\n")
		e := entry{strings.TrimSuffix(n, ".yaml"), strings.TrimPrefix(first, "# ")}
		list = append(list, e)
		rows = append(rows, []string{e.Name, e.Purpose})
	}
	if o.JSON {
		return printJSON(stdout, list)
	}
	return table(stdout, rows)
}

func runConfigSource(o configOptions, stdout io.Writer) error {
	src, err := configs.FS.ReadFile(o.File + ".yaml")
	if err != nil {
		return run.Usage(fmt.Errorf("config source %q: no such experiment; see plumb config list", o.File))
	}
	_, err = stdout.Write(src)
	return err
}

func runConfigShow(o configOptions, stdout io.Writer) error {
	if o.File == "" {
		return run.Usage(fmt.Errorf("config show: want an experiment file"))
	}
	src, err := readConfig(o.File)
	if err != nil {
		return err
	}
	x, err := loadExperiment(o.File, src, stageSets(o.Sets), "", 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "name: %s\nseed: %d\nout: %s\ncompute: %s\n", x.Name, x.Seed, x.Out, x.Compute)
	if x.Model != "" {
		fmt.Fprintf(stdout, "model: %s\n", x.Model)
	}
	fmt.Fprintln(stdout, "stages:")
	for _, p := range x.plans {
		b, err := configs.Resolve(p.body)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "  %s:\n", p.name)
		if p.kind != p.name {
			fmt.Fprintf(stdout, "    kind: %s\n", p.kind)
		}
		if err := indent(stdout, string(b)); err != nil {
			return err
		}
	}
	return nil
}

func indent(w io.Writer, text string) error {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if line == "{}" {
			continue
		}
		if _, err := fmt.Fprintln(w, "    "+line); err != nil {
			return err
		}
	}
	return nil
}

func runConfigDefaults(o configOptions, stdout io.Writer) error {
	if o.Kind == "" {
		_, err := fmt.Fprintln(stdout, strings.Join(kindNames(), "\n"))
		return err
	}
	make, ok := kinds[o.Kind]
	if !ok {
		names := kindNames()
		slices.Sort(names)
		return run.Usage(fmt.Errorf("config defaults %s: want one of %s", o.Kind, strings.Join(names, ", ")))
	}
	b, err := configs.Resolve(make(&experiment{Seed: 42, Compute: "auto"}))
	if err != nil {
		return err
	}
	_, err = stdout.Write(b)
	return err
}
