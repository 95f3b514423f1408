package dpo

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/testpaths"

	"golang.org/x/sys/unix"
)

// BenchmarkCores is two cores against one: steps of DPO of four HH-RLHF pairs on SmolLM2, the reference's pass included, each on one core, on another and on both
// before the next, so that a machine whose speed changes by the second is the same to all. x is the ratio, x-loop that of a loop without memory
// which is run beside each step. What the ratio lacks to 2 is either time of a core that has nothing to do (busy is the share of both cores' time in
// which they had) or work that takes longer on two (x-cpu is two cores' processor time over one's).
//
//	go test ./dpo -run '^$' -bench Cores -benchtime 3x
func BenchmarkCores(b *testing.B) {
	path := os.Getenv("PLUMB_BENCH_MODEL")
	if path == "" {
		path = testpaths.SmolLM2(b)
	}
	base, err := model.Open(path, model.Options{Compute: kernels.Fastest()})
	if err != nil {
		b.Fatal(err)
	}
	recs, err := datasets.ReadAll([]string{testpaths.Shared(b, "hh-rlhf", "harmless-base-1700.jsonl.gz")}, datasets.ReadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	set, err := encode.All(recs[:40], (&encode.Encoder{Tok: base.Tokenizer, MaxLength: 512, Vocab: base.Model.Config.Vocab}).Pair)
	if err != nil || len(set.Items) < 32 {
		b.Fatal(len(set.Items), err)
	}
	cfg := Defaults()
	cfg.MicroBatchTokens = 768
	policy, err := adapters.New(adapters.Config{R: 8, Alpha: 16, Targets: []string{adapters.AllLinear}}, base.Model.Linears(), 1)
	if err != nil {
		b.Fatal(err)
	}
	policy.SetTrainable(true)
	t := &trainer{cfg: cfg, objective: cfg.objective(), base: base.Model, policy: policy}
	if t.cache, err = openRefCache(filepath.Join(b.TempDir(), "cache"), [32]byte{}); err != nil {
		b.Fatal(err)
	}
	defer t.cache.close()
	var had unix.CPUSet
	if err := unix.SchedGetaffinity(0, &had); err != nil {
		b.Fatal(err)
	}
	var cores []int
	for c := 0; c < 64*len(had) && len(cores) < 2; c++ {
		if had.IsSet(c) {
			cores = append(cores, c)
		}
	}
	if len(cores) < 2 {
		b.Skip("there are not two cores")
	}
	defer func(n int) { onCores(b, n, &had) }(runtime.GOMAXPROCS(0))

	loop, _ := kernels.PeakLoop(kernels.Active(), base.Model.Compute)
	rounds := 1
	for ; ; rounds *= 2 {
		began := time.Now()
		if loop(rounds); time.Since(began) > 20*time.Millisecond {
			break
		}
	}
	var steps, used, loops [3]time.Duration
	four := func(i int) []int { return []int{i, i + 1, i + 2, i + 3} }
	all := func(first int) {
		for i, on := range [][]int{cores[:1], cores[1:], cores} {
			var mask unix.CPUSet
			for _, c := range on {
				mask.Set(c)
			}
			onCores(b, len(on), &mask)
			for _, i := range four((first + 4) % 32) {
				for _, k := range keysOf(t, set.Items[i]) {
					delete(t.cache.values, k)
				}
			}
			for _, p := range policy.Params() {
				ops.ZeroGrad(p.Param)
			}
			began, before := time.Now(), processorTime(b)
			t.step(set.Items, four(first), four((first+4)%32), 0, 1)
			steps[i] += time.Since(began)
			used[i] += processorTime(b) - before
			began = time.Now()
			kernels.Parallel(len(on), func(int) { loop(rounds) })
			loops[i] += time.Since(began)
		}
	}
	all(0) // first touch of memory
	steps, used, loops = [3]time.Duration{}, [3]time.Duration{}, [3]time.Duration{}
	for b.Loop() {
		for first := 0; first < 32; first += 4 {
			all(first)
		}
	}
	ratio := func(of [3]time.Duration, times float64) float64 {
		return times * float64(of[0]+of[1]) / 2 / float64(of[2])
	}
	b.ReportMetric(ratio(steps, 1), "x")
	b.ReportMetric(ratio(loops, 2), "x-loop")
	b.ReportMetric(1/ratio(used, 1), "x-cpu")
	b.ReportMetric(float64(used[2])/float64(2*steps[2]), "busy")
	b.ReportMetric(steps[2].Seconds()/float64(b.N), "s/32pairs")
}

// onCores lets the process have n threads, on the cores of mask.
func onCores(b *testing.B, n int, mask *unix.CPUSet) {
	runtime.GOMAXPROCS(n)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range tasks {
		id, _ := strconv.Atoi(e.Name())
		if err := unix.SchedSetaffinity(id, mask); err != nil && err != unix.ESRCH { // it has just ended
			b.Fatal(err)
		}
	}
}

// processorTime is what the process has used of its cores' time.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
