package kernels

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestParallelRunsEachItemOnce(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 2, 4, 9} {
		SetThreads(threads)
		if Threads() != threads {
			t.Fatalf("%d threads, want %d", Threads(), threads)
		}
		for n := range 200 {
			ran := make([]atomic.Int32, n)
			inner := atomic.Int32{}
			Parallel(n, func(i int) {
				ran[i].Add(1)
				Parallel(3, func(int) { inner.Add(1) })
			})
			for i := range ran {
				if ran[i].Load() != 1 {
					t.Fatalf("item %d of %d ran %d times", i, n, ran[i].Load())
				}
			}
			if int(inner.Load()) != 3*n {
				t.Fatalf("%d inner items, want %d", inner.Load(), 3*n)
			}
		}
	}
}

func TestParallelFromManyGoroutines(t *testing.T) {
	defer SetThreads(0)
	SetThreads(4)
	var sum atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				Parallel(5, func(i int) { sum.Add(int64(i)) })
			}
		})
	}
	wg.Wait()
	if sum.Load() != 8*500*10 {
		t.Errorf("the sum is %d", sum.Load())
	}
}

func TestParallelPanics(t *testing.T) {
	defer SetThreads(0)
	SetThreads(3)
	for range 20 {
		func() {
			defer func() {
				if v, ok := recover().(string); !ok || !strings.Contains(v, "item 7") {
					t.Errorf("recovered %v", v)
				}
			}()
			Parallel(20, func(i int) {
				if i == 7 {
					panic("item 7")
				}
			})
		}()
	}
	done := atomic.Int32{}
	Parallel(20, func(int) { done.Add(1) })
	if done.Load() != 20 {
		t.Errorf("after a panic %d items ran", done.Load())
	}
}

func TestLevelNames(t *testing.T) {
	for _, l := range []Level{Generic, NEON, AVX2, AVX2VNNI, AVX512, AVX512BF16, AMX} {
		if got, err := ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	if _, err := ParseLevel("mmx"); err == nil {
		t.Error("mmx is a level")
	}
	restore := Force(Generic)
	if Active() != Generic {
		t.Errorf("forced generic, active is %v", Active())
	}
	restore()
	all := Available()
	for i := range all[1:] {
		if all[i] >= all[i+1] {
			t.Errorf("levels out of order: %v", all)
		}
	}
}
