package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/urfave/cli/v2"

	"plumb/internal/kernels"
)

type versionOptions struct{ JSON bool }

func versionCommand() *cli.Command {
	var o versionOptions
	return &cli.Command{
		Name: "version", Usage: "print what this program is",
		Description: describe("Prints the version, the Go release it was built with and the instruction set its kernels use here.",
			"plumb version", "plumb version --json"),
		Flags:  []cli.Flag{jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error { return runVersion(o, c.App.Writer) },
	}
}

func runVersion(o versionOptions, stdout io.Writer) error {
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		System  string `json:"system"`
		Kernel  string `json:"kernel"`
		Threads int    `json:"threads"`
	}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, kernels.Active().String(), kernels.Threads()}
	if o.JSON {
		return printJSON(stdout, v)
	}
	_, err := fmt.Fprintf(stdout, "plumb %s, %s, %s, kernels %s, %d threads\n", v.Version, v.Go, v.System, v.Kernel, v.Threads)
	return err
}
