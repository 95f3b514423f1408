package dedup

import (
	"math"

	"plumb/internal/kernels"
)

// codeTable holds the points' vectors in 8 bits, in one piece of memory, for the graph to walk by: a fourth of the bytes, and sums
// of products that are exact, so that every processor builds the same graph. What the walk finds is scored again from the
// vectors themselves.
type codeTable struct {
	width int       // of a row: the dimension, rounded up for the kernel
	rows  []int8    // at least n rows
	scale []float32 // of each row: a number is scale*code
}

func newCodes(dim int) *codeTable { return &codeTable{width: (dim + 63) &^ 63} }

func (c *codeTable) row(i int32) []int8 { return c.rows[int(i)*c.width : (int(i)+1)*c.width] }

// encode8 rounds v to codes, the largest magnitude at 127, zeros behind it, and returns their scale.
func encode8(dst []int8, v []float32) float32 {
	var most float32
	for _, x := range v {
		most = max(most, x, -x)
	}
	clear(dst)
	if most == 0 {
		return 0
	}
	k := 127 / float64(most)
	for i, x := range v {
		dst[i] = int8(math.RoundToEven(float64(x) * k))
	}
	return most / 127
}

// extend codes the points that the store has beyond those coded already.
func (c *codeTable) extend(s *Embedded) error {
	have, n := len(c.scale), len(s.ids)
	if have == n {
		return nil
	}
	if n*c.width > len(c.rows) {
		grown := n
		if have > 0 {
			grown += n / 4
		}
		rows := kernels.AllocI8(grown * c.width)
		copy(rows, c.rows[:have*c.width])
		c.rows = rows
	}
	c.scale = append(c.scale, make([]float32, n-have)...)
	const chunk = 256
	errs := make([]error, (n-have+chunk-1)/chunk)
	kernels.Parallel(len(errs), func(g int) {
		scratch := make([]float32, s.head.Dim)
		for i := have + g*chunk; i < min(have+(g+1)*chunk, n); i++ {
			v, err := s.vector(int32(i), scratch[:0])
			if err != nil {
				errs[g] = err
				return
			}
			c.scale[i] = encode8(c.row(int32(i)), v)
		}
	})
	for _, err := range errs {
		if err != nil {
			c.scale = c.scale[:have]
			return err
		}
	}
	return nil
}

// probe is what is searched for: codes and their scale.
type probe struct {
	code  []int8
	scale float32
}

func (c *codeTable) probe(i int32) probe { return probe{c.row(i), c.scale[i]} }

// score appends the similarity of q with the points in at.
func (c *codeTable) score(dst []hop, dots *[]int32, q probe, at []int32) []hop {
	if cap(*dots) < len(at) {
		*dots = make([]int32, 2*len(at))
	}
	d := (*dots)[:len(at)]
	kernels.DotsI8(d, q.code, c.rows, at)
	for i, a := range at {
		dst = append(dst, hop{a, float32(d[i]) * (q.scale * c.scale[a])})
	}
	return dst
}
