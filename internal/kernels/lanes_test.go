package kernels

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestLanes: every item runs once, an item may wait for a lower one, Parallel and Lanes inside items do their work, and a panic
// reaches the caller, after which lanes run again.
func TestLanes(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 2, 3, 8} {
		SetThreads(threads)
		for round := range 20 {
			const n = 17
			var ran [n]atomic.Int32
			over := make([]chan struct{}, n)
			for i := range over {
				over[i] = make(chan struct{})
			}
			var sum atomic.Int64
			Lanes(n, 4, func(i int) {
				defer close(over[i])
				ran[i].Add(1)
				Parallel(100, func(j int) { sum.Add(int64(j)) })
				if i > 0 && i%3 == round%3 {
					WaitInLane(func() bool { return false }, over[i-1])
				}
				Lanes(2, 2, func(int) { sum.Add(1) })
			})
			for i := range ran {
				if got := ran[i].Load(); got != 1 {
					t.Fatalf("%d threads: item %d ran %d times", threads, i, got)
				}
			}
			if got := sum.Load(); got != n*(4950+2) {
				t.Fatalf("%d threads: the inner work sums to %d", threads, got)
			}
			if got := lanes.Load(); got != 0 {
				t.Fatalf("%d threads: %d lanes are left", threads, got)
			}
		}
		func() {
			defer func() {
				if v, _ := recover().(string); threads > 1 && !strings.Contains(v, "bad item") {
					t.Errorf("%d threads: the panic became %q", threads, v)
				}
			}()
			Lanes(4, 4, func(i int) {
				if i == 2 {
					panic("bad item")
				}
			})
			t.Errorf("%d threads: no panic", threads)
		}()
	}
}
