package weights

import "plumb/internal/kernels"

// PanelType is the smallest layout that holds exactly what the tensor stores.
func (t *Tensor) PanelType() kernels.PanelType {
	if t.Cols()%kernels.QuantBlock == 0 {
		switch t.DType {
		case Q8_0:
			return kernels.PanelQ8
		case Q4_0, Q4_1, Q4_K:
			return kernels.PanelQ4
		}
	}
	if t.DType == BF16 {
		return kernels.PanelBF16
	}
	return kernels.PanelF32
}

// Panels lays the matrix W (Rows, Cols) out for the kernels' products with x·Wᵀ. A layout other than PanelType or PanelF32
// rounds. Quantised layouts want Cols to be a multiple of kernels.QuantBlock.
func (t *Tensor) Panels(k kernels.PanelType) *kernels.Panels {
	p := kernels.NewPanels(t.Rows(), t.Cols(), k)
	if k >= kernels.PanelQ8 && k == t.PanelType() {
		p.FillBlocks(t.blocks)
		return p
	}
	p.Fill(t.Row)
	return p
}

// blocks takes row n apart into its numbers and, for every 32 of them, a scale and an offset: Q8_0 and the 4-bit types.
func (t *Tensor) blocks(n int, q []int8, scale, offset []float32) {
	info := dtypes[t.DType]
	size := len(q) / info.block * info.bytes
	src := t.Data[n*size : (n+1)*size]
	for b := range scale {
		out := q[32*b : 32*b+32]
		switch t.DType {
		case Q8_0:
			s := src[34*b:]
			scale[b] = half(s)
			for i := range out {
				out[i] = int8(s[2+i])
			}
		case Q4_0:
			s := src[18*b:]
			scale[b], offset[b] = half(s), -8*half(s)
			nibbles(out, s[2:18])
		case Q4_1:
			s := src[20*b:]
			scale[b], offset[b] = half(s), half(s[2:])
			nibbles(out, s[4:20])
		case Q4_K:
			s, j := src[144*(b/8):], b%8
			sc, m := scaleMin(s[4:16], j)
			scale[b], offset[b] = half(s)*sc, -(half(s[2:]) * m)
			for i, v := range s[16+j/2*32 : 48+j/2*32] {
				out[i] = int8(v >> (4 * (j & 1)) & 15)
			}
		}
	}
}

// nibbles writes 16 low halves, then 16 high ones.
func nibbles(dst []int8, src []byte) {
	for i, b := range src {
		dst[i], dst[i+16] = int8(b&15), int8(b>>4)
	}
}

// Quantised reports whether some weights are kept in blocks of 8 or 4 bits.
func (s *Set) Quantised() bool {
	for _, t := range s.tensors {
		if t.PanelType() >= kernels.PanelQ8 {
			return true
		}
	}
	return false
}
