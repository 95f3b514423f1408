package kernels

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// lanes is how many goroutines Lanes has at work.
var lanes atomic.Int32

// Lanes runs f(0) ... f(n-1), begun in this order, on up to width goroutines and Threads() of them. What runs side by side is whole
// passes through a model, each of which stays in the caches of its thread; Parallel inside them has the threads that
// lanes do not use, so that the last pass has all. f may wait for a lower i. A panic in f is raised again in the caller.
func Lanes(n, width int, f func(i int)) {
	width = min(width, n, Threads())
	if width < 2 || !lanes.CompareAndSwap(0, int32(width)) {
		for i := range n {
			f(i)
		}
		return
	}
	j := &job{f: f, n: int64(n)}
	var others sync.WaitGroup
	for range width - 1 {
		others.Add(1)
		go func() {
			defer others.Done()
			defer lanes.Add(-1)
			j.run()
		}()
	}
	j.run()
	lanes.Add(-1)
	others.Wait()
	if p := j.fault.Load(); p != nil {
		panic(fmt.Sprintf("%v\n\nin a lane:\n%s", p.value, p.stack))
	}
}

// laneSpin is how long a lane watches another before it leaves its thread to it.
const laneSpin = 200 * time.Microsecond

// WaitInLane returns when ready does, if that is soon; else when done is closed, and until then the other lanes have the thread.
func WaitInLane(ready func() bool, done <-chan struct{}) {
	start := time.Now()
	for spins := 0; !ready(); spins++ {
		pause()
		if spins&15 != 15 {
			continue
		}
		if time.Since(start) > laneSpin {
			lanes.Add(-1)
			<-done
			lanes.Add(1)
			return
		}
		runtime.Gosched()
	}
}
