package ops

import (
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Embedding looks rows up in a table (vocabulary, hidden), frozen or trainable.
type Embedding struct {
	nn.Module
	W Weight
}

type embed struct {
	e    *Embedding
	ids  []int32
	tape *Tape
}

// Apply returns the table's rows for ids, (len(ids), hidden). The ids must lie within the table.
func (e *Embedding) Apply(t *Tape, ids []int32) mat.Tensor {
	return t.apply(&embed{e, ids, t})
}

func (f *embed) Operands() []mat.Tensor {
	if f.e.W.Param != nil {
		return []mat.Tensor{f.e.W.Param}
	}
	return nil
}

func (f *embed) Forward() (mat.Tensor, error) {
	_, h := f.e.W.Dims()
	y := newValue(len(f.ids), h)
	out := y.data()
	kernels.Parallel(len(f.ids), func(i int) { f.e.W.Row(out[i*h:(i+1)*h], int(f.ids[i])) })
	return y, nil
}

func (f *embed) Backward(gy mat.Tensor) error {
	g := f.tape.grad(f.e.W.Param)
	_, h := f.e.W.Dims()
	dy := F32(gy)
	for i, id := range f.ids {
		addTo(g[int(id)*h:(int(id)+1)*h], dy[i*h:(i+1)*h])
	}
	return nil
}
