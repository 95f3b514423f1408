// Command peak does nothing but the arithmetic of products, without memory, on all threads: what bench/ratios.py useful lets run in turn
// with a training. It prints a line of JSON: how many times 1e9 operations it did, and when it began and ended.
//
//	go build -o bench/work/peak ./bench/peak && bench/work/peak -compute f32|bf16|int16
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"plumb/internal/kernels"
)

func main() {
	compute := flag.String("compute", "f32", "arithmetic: f32, bf16 or int16")
	work := flag.Float64("work", 500, "operations of each thread, times 1e9")
	flag.Parse()
	c, err := kernels.ParseCompute(*compute)
	if err == nil {
		err = kernels.LevelFault()
	}
	if err == nil {
		err = run(c, *work)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peak:", err)
		os.Exit(1)
	}
}

func run(c kernels.Compute, work float64) error {
	level := kernels.Active()
	loop, flops := kernels.PeakLoop(level, c)
	if loop == nil {
		return fmt.Errorf("%s has no instructions for %s", level, c)
	}
	rounds, threads := int(work*1e9)/flops, kernels.Threads()
	began := seconds()
	kernels.Parallel(threads, func(int) { loop(rounds) })
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"compute": c.String(), "kernel": level.String(), "operations": float64(rounds) * float64(flops) * float64(threads) / 1e9, "training": []float64{began, seconds()},
	})
}

func seconds() float64 { return float64(time.Now().UnixNano()) / 1e9 }
