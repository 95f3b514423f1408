package ops

import (
	"sync"
	"sync/atomic"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/nn"
)

// Turn is the place of a tape among tapes of the same operators that may run at the same time, so that sums of gradients have the order, and the bits,
// of running one after the other, however many of them belong together. What a tape adds to a thin parameter, as those of adapters are, it sums up by itself, and that is added to the gradient
// when all tapes before it have finished: no tape waits for another, unless too many such sums would be kept. To another parameter, which that would take
// too much memory for, it adds at once, but after the same operator of the tape before; no two operators of a tape may read such a one.
type Turn struct {
	all    *turns
	index  int
	before *Turn
	total  atomic.Int64 // operators of the tape, once it runs
	done   atomic.Int64 // operators that have run backward
	over   chan struct{}
	end    sync.Once
	own    map[*nn.Param][]float32 // sums of thin parameters
}

// turns are what belongs together.
type turns struct {
	sync.Mutex
	list     []*Turn
	finished []bool
	added    int // turns whose sums are in the gradients
}

const (
	thinSide = 128 // the most that the shorter side of a thin parameter has
	mostSums = 8   // tapes that have sums of their own at once, at most
)

// Turns returns n turns, one after the other.
func Turns(n int) []*Turn {
	all := &turns{list: make([]*Turn, n), finished: make([]bool, n)}
	for i := range all.list {
		t := &Turn{all: all, index: i, over: make(chan struct{})}
		if all.list[i] = t; i > 0 {
			t.before = all.list[i-1]
		}
	}
	return all.list
}

// Finish lets the tapes after this one go on, whether it has run or will never do.
func (t *Turn) Finish() {
	t.end.Do(func() {
		t.all.finish(t.index)
		close(t.over)
	})
}

// finish adds what has no unfinished turn before it any more, in order.
func (a *turns) finish(index int) {
	a.Lock()
	defer a.Unlock()
	for a.finished[index] = true; a.added < len(a.list) && a.finished[a.added]; a.added++ {
		a.list[a.added].add()
	}
}

// add adds the sums to the gradients.
func (t *Turn) add() {
	params := make([]*nn.Param, 0, len(t.own))
	for p := range t.own {
		params = append(params, p)
	}
	kernels.Parallel(len(params), func(i int) {
		p := params[i]
		addTo(paramGrad(p), t.own[p])
		free(t.own[p])
	})
	t.own = nil
}

// grad returns the memory to add p's gradient to in the backward pass of an operator of t, nil when p is frozen.
func (t *Tape) grad(p *nn.Param) []float32 {
	switch {
	case p == nil || !p.RequiresGrad():
		return nil
	case t.Turn == nil:
		return paramGrad(p)
	}
	return t.Turn.grad(p)
}

func (t *Turn) grad(p *nn.Param) []float32 {
	if s := p.Shape(); min(s[0], s[1]) > thinSide {
		t.wait()
		return paramGrad(p)
	}
	if t.own == nil {
		for _, b := range t.all.list[:max(0, t.index+1-mostSums)] {
			b.await()
		}
		t.own = map[*nn.Param][]float32{}
	}
	g := t.own[p]
	if g == nil {
		g = alloc(p.Size())
		clear(g)
		t.own[p] = g
	}
	return g
}

// await returns when t has finished.
func (t *Turn) await() {
	finished := func() bool {
		select {
		case <-t.over:
			return true
		default:
			return false
		}
	}
	kernels.WaitInLane(finished, t.over)
}

// wait returns when the same operator of the tape before has run backward; a tape that would wait long waits for the whole of the one before.
func (t *Turn) wait() {
	n, total := t.done.Load(), t.total.Load()
	for t.before != nil {
		b := t.before
		ready := func() bool { return b.done.Load() > n && b.total.Load() == total }
		select {
		case <-b.over:
			if t.before = nil; b.total.Load() == 0 { // it did not run, and waited for nobody
				t.before = b.before
			}
		default:
			if ready() {
				return
			}
			kernels.WaitInLane(ready, b.over)
		}
	}
}
