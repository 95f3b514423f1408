package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

type benchOptions struct {
	Model   string
	Compute string
	Rows    int
	Seconds float64
	JSON    bool
}

func benchCommand() *cli.Command {
	var o benchOptions
	return &cli.Command{
		Name: "bench", Usage: "measure this machine's peak, and what Plumb reaches of it",
		Description: describe("For every instruction set that works here: the peak of one core, and what products with frozen weights reach on all\n"+
			"threads. With --model also tokens a second of training (LoRA r 8 on all linear layers), of a forward pass and of\n"+
			"generation, and their share of what the arithmetic or the memory allows.",
			"plumb bench", "plumb bench --model SmolLM2-135M-Instruct.gguf --json"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "measure this `MODEL` too", Destination: &o.Model},
			computeFlag(&o.Compute),
			&cli.IntFlag{Name: "rows", Usage: "`N` tokens in a product", Value: 512, Destination: &o.Rows},
			&cli.Float64Flag{Name: "seconds", Usage: "measure each figure for about so long", Value: 0.3, Destination: &o.Seconds},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error { return runBench(c.Context, o, c.App.Writer) },
	}
}

type benchReport struct {
	Threads int           `json:"threads"`
	Active  string        `json:"active"`
	Levels  []benchLevel  `json:"levels"`
	Model   *benchOfModel `json:"model,omitempty"`
}

// benchLevel is in GFLOP/s. Peaks are of one core; products use all threads.
type benchLevel struct {
	Level     string  `json:"level"`
	PeakF32   float64 `json:"peak_f32"`
	PeakBF16  float64 `json:"peak_bf16,omitempty"`
	PeakInt16 float64 `json:"peak_int16,omitempty"`
	F32       float64 `json:"product_f32"`
	BF16      float64 `json:"product_bf16"`
	Int16     float64 `json:"product_int16"`
}

// benchWidth is the width and depth of the measured product: that of a small model's layer.
const benchWidth = 1024

func runBench(ctx context.Context, o benchOptions, stdout io.Writer) error {
	if o.Rows < 1 || !(o.Seconds > 0) {
		return run.Usage(errors.New("bench: want --rows of 1 or more and --seconds above 0"))
	}
	rep := benchReport{Threads: kernels.Threads(), Active: kernels.Active().String()}
	for _, l := range kernels.Available() {
		if err := ctx.Err(); err != nil {
			return err
		}
		restore := kernels.Force(l)
		b := benchLevel{Level: l.String()}
		b.PeakF32, b.PeakBF16, b.PeakInt16 = kernels.Peak(l)
		b.F32 = productRate(o, kernels.PanelF32, kernels.F32)
		b.BF16 = productRate(o, kernels.PanelBF16, kernels.BF16)
		b.Int16 = productRate(o, kernels.PanelI16, kernels.I16)
		restore()
		rep.Levels = append(rep.Levels, b)
	}
	if o.Model != "" {
		m, err := benchModel(ctx, o, rep)
		if err != nil {
			return err
		}
		rep.Model = m
	}
	if o.JSON {
		return printJSON(stdout, rep)
	}
	fmt.Fprintf(stdout, "%d threads, kernels %s; GFLOP/s\n\n", rep.Threads, rep.Active)
	rows := [][]string{{"level", "peak f32, 1 core", "bf16", "int16", "product f32", "of peak", "product bf16", "int16"}}
	for _, l := range rep.Levels {
		peak := func(v float64) string {
			if v == 0 {
				return "-"
			}
			return fmt.Sprintf("%.0f", v)
		}
		share := "-"
		if l.PeakF32 > 0 {
			share = fmt.Sprintf("%.0f%%", 100*l.F32/l.PeakF32/float64(rep.Threads))
		}
		rows = append(rows, []string{l.Level, peak(l.PeakF32), peak(l.PeakBF16), peak(l.PeakInt16), peak(l.F32), share, peak(l.BF16), peak(l.Int16)})
	}
	if err := table(stdout, rows); err != nil {
		return err
	}
	if m := rep.Model; m != nil {
		return m.print(stdout)
	}
	return nil
}

// productRate measures x(rows, width) times frozen weights (width, width), in GFLOP/s.
func productRate(o benchOptions, t kernels.PanelType, c kernels.Compute) float64 {
	w := kernels.NewPanels(benchWidth, benchWidth, t)
	w.Fill(func(n int, dst []float32) {
		for i := range dst {
			dst[i] = float32((n*7+i*13)%17)/17 - 0.5
		}
	})
	x, y := make([]float32, o.Rows*benchWidth), make([]float32, o.Rows*benchWidth)
	for i := range x {
		x[i] = float32(i%19)/19 - 0.5
	}
	best := o.fastest(func() { w.MatMul(y, kernels.Rows{F: x}, o.Rows, false, c, kernels.Tail{}) })
	return 2 * float64(o.Rows) * benchWidth * benchWidth / best / 1e9
}
