package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/internal/run"
)

// newApp lists the commands. Each is made in its own file.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      "plumb",
		Usage:     "align language models with human preferences, on CPUs",
		Version:   version(),
		Writer:    stdout,
		ErrWriter: stderr,
		Description: "Takes raw preference data to an aligned LoRA adapter: clean data, no near-duplicates, a reward model, PPO or DPO,\n" +
			"and a report that compares the results. Start with: plumb run configs/quickstart.yaml",
		DisableSliceFlagSeparator: true, // --set key=[a,b] is one value
		HideHelpCommand:           true,
		ExitErrHandler:            func(*cli.Context, error) {}, // main.go alone decides how the process ends
		OnUsageError:              usageError,
		Action:                    wantsCommand,
		Commands: []*cli.Command{
			runCommand(), dataCommand(), dedupCommand(), compareCommand(), generateCommand(), chatCommand(), modelsCommand(), adapterCommand(), configCommand(), planCommand(), doctorCommand(), benchCommand(), versionCommand(),
		},
	}
	app.Commands = slices.Insert(app.Commands, 3, trainCommands()...)
	finish(app.Commands)
	return app
}

// finish gives every command what all of them share.
func finish(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
		if len(c.Subcommands) > 0 {
			if c.Action == nil {
				c.Action = wantsCommand
			}
			finish(c.Subcommands)
		}
	}
}

func usageError(_ *cli.Context, err error, _ bool) error { return run.Usage(err) }

// wantsCommand is the action of what is only a group: help without arguments, an error with an unknown one.
func wantsCommand(c *cli.Context) error {
	commands := c.App.Commands
	if c.Command != nil && len(c.Command.Subcommands) > 0 {
		commands = c.Command.Subcommands
	}
	if c.Args().Len() == 0 {
		if c.Command != nil && c.Command.Name != "" && c.Command.Name != "plumb" {
			return cli.ShowSubcommandHelp(c)
		}
		return cli.ShowAppHelp(c)
	}
	var names []string
	for _, k := range commands {
		names = append(names, k.Name)
	}
	return run.Usage(fmt.Errorf("unknown command %q: want one of %s", c.Args().First(), strings.Join(names, ", ")))
}

// reorder moves flags before the arguments of a command, for the library stops looking for flags at the first argument and
// "plumb run FILE --set a=b" is how people write. What follows "--" stays as it is.
func reorder(app *cli.App, args []string) []string {
	commands, flags := app.Commands, []cli.Flag(nil)
	depth := 0
	for depth < len(args) {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[depth]) })
		if i < 0 {
			break
		}
		flags, commands = commands[i].Flags, commands[i].Subcommands
		depth++
	}
	if depth == 0 {
		return args
	}
	takesValue := map[string]bool{}
	for _, f := range flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var front, rest []string
	for i := depth; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		front = append(front, a)
		name := strings.TrimLeft(a, "-")
		if !strings.Contains(name, "=") && takesValue[name] && i+1 < len(args) {
			i++
			front = append(front, args[i])
		}
	}
	return slices.Concat(args[:depth], front, rest)
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
