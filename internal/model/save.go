package model

import (
	"plumb/adapters"
	"plumb/internal/ops"
	"plumb/internal/weights"
)

// named returns the tensor as the checkpoint stores it, in f32, with a's update merged in.
func (t *tensor) named(a *adapters.Adapter) weights.Named {
	if t.vector {
		return weights.Named{Name: t.name, Shape: []int{t.cols}, F32: ops.F32(t.p)}
	}
	data := make([]float32, t.rows*t.cols)
	layer := a.Layer(t.linear)
	for i := range t.rows {
		row := data[i*t.cols : (i+1)*t.cols]
		t.w.Row(row, i)
		if layer != nil {
			layer.Merge(row, i)
		}
	}
	if t.transposed {
		return weights.Named{Name: t.name, Shape: []int{t.cols, t.rows}, F32: transpose(data, t.rows, t.cols)}
	}
	return weights.Named{Name: t.name, Shape: []int{t.rows, t.cols}, F32: data}
}
