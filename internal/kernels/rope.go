package kernels

import "math"

// RoPE turns each head of each row of x in place (Su et al. 2021), rows ldx apart, heads of dim adjacent elements, in
// the rotate-half order of Hugging Face's Llama: element i pairs with i+dim/2. cos and sin are (rows, dim/2). inverse turns
// back, which is also the gradient.
func RoPE(x []float32, ldx int, cos, sin []float32, rows, heads, dim int, inverse bool) {
	im := active.Load()
	half := dim / 2
	n := half &^ 15
	eachRow(rows, heads*dim, func(r int) {
		c := cos[r*half:][:half]
		s := sin[r*half:][:half]
		if inverse {
			var turned [512]float32
			t := turned[:]
			if half > len(t) {
				t = make([]float32, half)
			}
			t = t[:half]
			for i, v := range s {
				t[i] = -v
			}
			s = t
		}
		for h := range heads {
			q := x[r*ldx+h*dim:][:dim]
			a, b := q[:half], q[half:2*half]
			if n > 0 {
				im.rope(a[:n], b[:n], c[:n], s[:n])
			}
			if n < half {
				var t [4][16]float32
				copy(t[0][:], a[n:])
				copy(t[1][:], b[n:])
				copy(t[2][:], c[n:])
				copy(t[3][:], s[n:])
				im.rope(t[0][:], t[1][:], t[2][:], t[3][:])
				copy(a[n:], t[0][:])
				copy(b[n:], t[1][:])
			}
		}
	})
}

// RoPEHalf rounds what RoPE makes of rows of x that are heads*dim apart to bf16 in dst, rows as far apart as HalfRows has them; it may leave
// anything in x, and between rows of dst where dim is a multiple of 32.
func RoPEHalf(dst []uint16, x, cos, sin []float32, rows, heads, dim int, inverse bool) {
	w := heads * dim
	im := active.Load()
	if im.ropeHalf == nil || dim%32 > 0 {
		RoPE(x, w, cos, sin, rows, heads, dim, inverse)
		HalfRows(dst, x, rows, w)
		return
	}
	zero := 0.0
	if inverse {
		zero = math.Copysign(0, -1)
	}
	im.ropeHalf(dst, pairStride(w), x, cos, sin, rows, heads, dim, float32(zero))
}
