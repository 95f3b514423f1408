package kernels

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Threads wanted by SetThreads; 0 means GOMAXPROCS.
var wanted atomic.Int32

// SetThreads sets how many threads Parallel uses, the caller's included. n < 1 means GOMAXPROCS at the time of use.
// No result depends on it.
func SetThreads(n int) {
	if n < 1 {
		n = 0
	}
	wanted.Store(int32(n))
}

// Threads is the number of threads that Parallel uses.
func Threads() int {
	if n := wanted.Load(); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}

// spinFor is how long an idle worker looks for work before it parks: products of a step follow each other within
// microseconds, and waking a parked thread costs more than that.
const spinFor = 60 * time.Microsecond

type job struct {
	f     func(int)
	n     int64
	width int32        // workers with an index below it take part
	next  atomic.Int64 // next item to hand out
	left  atomic.Int64 // items not finished
	fault atomic.Pointer[fault]
}

type fault struct {
	value any
	stack string
}

type worker struct {
	parked atomic.Bool
	wake   chan struct{}
}

var pool struct {
	busy    atomic.Bool
	current atomic.Pointer[job]
	mu      sync.Mutex
	workers atomic.Pointer[[]*worker]
}

// Parallel runs f(0) ... f(n-1), each once, in no fixed order, on up to Threads threads, and returns when all are done.
// Items must be independent of each other and of who runs them. A call from inside f, or while another goroutine's
// Parallel runs, is served by its own goroutine alone. A panic in f is raised again in the caller.
func Parallel(n int, f func(i int)) {
	width := min(Threads()-max(0, int(lanes.Load())-1), n) - 1
	if width < 1 || !pool.busy.CompareAndSwap(false, true) {
		for i := range n {
			f(i)
		}
		return
	}
	j := &job{f: f, n: int64(n), width: int32(width)}
	j.left.Store(int64(n))
	ws := startWorkers(width)
	pool.current.Store(j)
	for _, w := range ws[:width] {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	j.run()
	for spins := 0; j.left.Load() > 0; spins++ {
		pause()
		if spins&63 == 63 {
			runtime.Gosched()
		}
	}
	pool.current.CompareAndSwap(j, nil)
	pool.busy.Store(false)
	if p := j.fault.Load(); p != nil {
		panic(fmt.Sprintf("%v\n\nin a parallel item:\n%s", p.value, p.stack))
	}
}

func startWorkers(n int) []*worker {
	if ws := pool.workers.Load(); ws != nil && len(*ws) >= n {
		return *ws
	}
	pool.mu.Lock()
	defer pool.mu.Unlock()
	var ws []*worker
	if p := pool.workers.Load(); p != nil {
		ws = append(ws, *p...)
	}
	for len(ws) < n {
		w := &worker{wake: make(chan struct{}, 1)}
		go w.loop(int32(len(ws)))
		ws = append(ws, w)
	}
	pool.workers.Store(&ws)
	return ws
}

func (w *worker) loop(index int32) {
	var last *job
	for {
		j := pool.current.Load()
		if j != nil && j != last {
			last = j
			if index < j.width {
				j.run()
			}
			continue
		}
		if w.spin(last) {
			continue
		}
		last = nil // let the finished job be collected; a stale one has no items left
		w.parked.Store(true)
		if j := pool.current.Load(); j != nil && j.next.Load() < j.n && index < j.width && w.parked.CompareAndSwap(true, false) {
			continue
		}
		<-w.wake
	}
}

// spin waits for a job other than last and reports whether one came in time.
func (w *worker) spin(last *job) bool {
	start := time.Now()
	for spins := 0; ; spins++ {
		if j := pool.current.Load(); j != nil && j != last {
			return true
		}
		pause()
		if spins&15 == 15 {
			if time.Since(start) > spinFor {
				return false
			}
			runtime.Gosched()
		}
	}
}

func (j *job) run() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.item(int(i))
	}
}

func (j *job) item(i int) {
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 8<<10)
			j.fault.CompareAndSwap(nil, &fault{v, string(buf[:runtime.Stack(buf, false)])})
		}
		j.left.Add(-1)
	}()
	j.f(i)
}

// ranges cuts [0,n) into pieces of at least grain elements (multiples of 16) and runs f on them in parallel. Only for
// work whose elements do not depend on the cut.
func ranges(n, grain int, f func(lo, hi int)) {
	t := Threads()
	if t < 2 || n < 2*grain {
		if n > 0 {
			f(0, n)
		}
		return
	}
	step := max(grain, (n+4*t-1)/(4*t))
	step = (step + 15) &^ 15
	Parallel((n+step-1)/step, func(i int) { f(i*step, min(n, (i+1)*step)) })
}
