package train

import (
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
)

// Passes runs pass on the n parts of a batch, as encode.Parts cut it, several at once where MicroBatchTokens has room for
// them. A tape that has the pass's turn adds to gradients in the order of the parts; anything else a pass must keep to
// itself. So nothing depends on how many run at once.
func (o Options) Passes(n int, pass func(i int, turn *ops.Turn)) {
	passes(n, batch.Lanes(o.MicroBatchTokens), pass)
}

// PassesAlone is Passes one after the other, for trained parameters that a pass adds to in two places, as to an embedding that is
// also the head: turns would not keep the order of such sums.
func (o Options) PassesAlone(n int, pass func(i int, turn *ops.Turn)) { passes(n, 1, pass) }

func passes(n, width int, pass func(i int, turn *ops.Turn)) {
	turns := ops.Turns(n)
	kernels.Lanes(n, width, func(i int) {
		defer turns[i].Finish()
		pass(i, turns[i])
	})
}
