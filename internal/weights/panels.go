package weights

import "plumb/internal/kernels"

// Panels lays the matrix W (Rows, Cols) out for the kernels' products with x·Wᵀ.
func (t *Tensor) Panels(k kernels.PanelType) *kernels.Panels {
	p := kernels.NewPanels(t.Rows(), t.Cols(), k)
	p.Fill(t.Row)
	return p
}
