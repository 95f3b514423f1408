// Command plumb aligns language models with human preferences on the machine at hand. This package joins the others: a file per
// command turns flags into one options struct and makes one call, the kind_*.go files do the same for the stages of an experiment.
// It must not hold mathematics, file formats or training loops of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"plumb/configs"
	"plumb/internal/run"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // from here on a second signal ends the process at once
	})
	os.Exit(realMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// realMain runs one command line and returns the exit code. Results go to stdout, everything else to stderr.
func realMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, append([]string{"plumb"}, reorder(app, args)...))
	code := exitCode(ctx, err)
	if err == nil || code == 0 {
		return code
	}
	var faults *configs.Faults
	if errors.As(err, &faults) {
		fmt.Fprintln(stderr, err) // a fault a line, each with its file: nothing to put before them
		if n := len(faults.List); n > 1 {
			fmt.Fprintf(stderr, "plumb: %d faults\n", n)
		}
		return code
	}
	fmt.Fprintf(stderr, "plumb: %v\n", err)
	return code
}

// Exit codes, as docs/README.md lists them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = run.CodeUsage
	exitFindings    = run.CodeFindings
	exitInterrupted = run.CodeInterrupted
)

// exitCode is the one place where errors become exit codes.
func exitCode(ctx context.Context, err error) int {
	var (
		exit   *run.ExitError
		faults *configs.Faults
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &faults):
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	default:
		return exitFailed
	}
}
