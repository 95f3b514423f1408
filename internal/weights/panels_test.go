package weights

import (
	"math/rand/v2"
	"testing"

	"plumb/internal/kernels"
)

// TestPanelsHoldStoredNumbers: panels of a tensor's own type give back what its rows decode to, bit for bit.
func TestPanelsHoldStoredNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows, cols = 37, 512
	for _, d := range []DType{F32, BF16, Q8_0, Q4_0, Q4_1, Q4_K} {
		info := dtypes[d]
		data := make([]byte, rows*cols/info.block*info.bytes)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		// scales and floats of moderate size: no NaN, which has no equal
		for i := 0; i < len(data); i += info.bytes {
			switch d {
			case F32:
				data[i+3] = 0x3f
			case BF16:
				data[i+1] = 0x3f
			case Q8_0, Q4_0:
				data[i+1] = 0x2c | byte(r.Uint32())&0x83
			default:
				data[i+1], data[i+3] = 0x2c|byte(r.Uint32())&0x83, 0x2c|byte(r.Uint32())&0x83
			}
		}
		x := &Tensor{Name: "w", DType: d, Shape: []int{rows, cols}, Data: data}
		p := x.Panels(x.PanelType())
		if d != F32 && p.Type() == kernels.PanelF32 {
			t.Errorf("%v is kept in f32", d)
		}
		want, got := make([]float32, cols), make([]float32, cols)
		for i := range rows {
			x.Row(i, want)
			p.Row(got, i)
			for j := range want {
				if want[j] != got[j] {
					t.Fatalf("%v (%d,%d): %v, want %v", d, i, j, got[j], want[j])
				}
			}
		}
	}
	odd := &Tensor{DType: F32, Shape: []int{2, 3}, Data: make([]byte, 24)}
	if odd.PanelType() != kernels.PanelF32 {
		t.Errorf("3 columns of f32: type %d", odd.PanelType())
	}
}
