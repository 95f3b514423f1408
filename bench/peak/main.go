// Command peak does nothing but the arithmetic of products, without memory, on all threads, for some processor seconds: what
// bench/ratios.py useful lets run in turn with a training. Then it prints a line of JSON with the rate on all threads, in GFLOP/s, by the
// processor seconds that it had.
//
//	go run ./bench/peak -compute f32|bf16|int16 -seconds 4
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"plumb/internal/kernels"
)

func main() {
	compute := flag.String("compute", "f32", "arithmetic: f32, bf16 or int16")
	seconds := flag.Float64("seconds", 4, "processor seconds")
	flag.Parse()
	c, err := kernels.ParseCompute(*compute)
	if err == nil {
		err = run(c, *seconds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peak:", err)
		os.Exit(1)
	}
}

func run(c kernels.Compute, seconds float64) error {
	loop, flops := kernels.PeakLoop(kernels.Active(), c)
	if loop == nil {
		return fmt.Errorf("%s has no instructions for %s", kernels.Active(), c)
	}
	const rounds = 100_000
	threads := kernels.Threads()
	var done atomic.Int64
	began := processorSeconds()
	kernels.Parallel(threads, func(int) {
		for processorSeconds() < began+seconds {
			loop(rounds)
			done.Add(rounds)
		}
	})
	rate := float64(done.Load()) * float64(flops) * float64(threads) / (processorSeconds() - began) / 1e9
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"compute": c.String(), "kernel": kernels.Active().String(), "gflops": rate})
}

func processorSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
