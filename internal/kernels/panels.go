package kernels

import (
	"fmt"
	"math"
)

// Compute is the arithmetic of a product with frozen weights.
type Compute uint8

// F32 multiplies and adds in float32. BF16 allows a product to round its float32 operand to bfloat16 and multiply
// bfloat16 pairs, adding in float32: done where the level has the instruction (AVX512BF16) and the panels hold
// bfloat16; everywhere else the product is the F32 one, operands unrounded.
//
// I16 rounds both operands to 16-bit integers, a row at a time, and adds them exactly (ints.go), with weights in PanelI16. With
// quantised panels, PanelQ8 and PanelQ4, it rounds the left operand, a block at a time (blocks.go); there the product with W's
// transpose is the F32 one, as are all products with other panels.
const (
	F32 Compute = iota
	BF16
	I16
)

// Panel is the format that weights stored in float32 are kept in for products in c.
func (c Compute) Panel() PanelType {
	return [...]PanelType{F32: PanelF32, BF16: PanelBF16, I16: PanelI16}[c]
}

var computeNames = [...]string{F32: "f32", BF16: "bf16", I16: "int16"}

// String is the configuration's word.
func (c Compute) String() string { return computeNames[c] }

// ComputeWords are the words that ParseCompute knows.
func ComputeWords() []string { return append([]string{"auto"}, computeNames[:]...) }

// ParseCompute is the inverse of String; "auto" is Fastest.
func ParseCompute(word string) (Compute, error) {
	if word == "auto" {
		return Fastest(), nil
	}
	for i, n := range computeNames {
		if n == word {
			return Compute(i), nil
		}
	}
	return F32, fmt.Errorf("unknown arithmetic %q: want one of %v", word, ComputeWords())
}

// Fastest is what `compute: auto` means at the active level: BF16 where its products outrun the others, as on the tile unit
// and with the dot product of AMD's processors. Intel's dot product has half the rate of its f32 multiply-adds; those
// processors are known by their tile unit, used or not. Where there is neither, I16.
func Fastest() Compute {
	switch l := Active(); {
	case l == AMX || l == AVX512BF16 && !slowDot():
		return BF16
	case active.Load().fastInts:
		return I16
	}
	return F32
}

// PanelType is the number format that panels keep weights in.
type PanelType uint8

// The formats of panels.
const (
	PanelF32  PanelType = iota // [N/32][K][32] float32
	PanelBF16                  // [N/32][K/2][32][2] bfloat16, pairs along K
	PanelI16                   // as PanelBF16, of 16-bit integers, and a step a row
	PanelRows                  // [N][K] bfloat16: a table, of which no product is made
	PanelQ8                    // blocks of 32 columns: a scale a row, 8-bit numbers
	PanelQ4                    // blocks of 32 columns: a scale and an offset a row, 4-bit numbers
)

// Panels hold a frozen weight matrix W (N,K) in the layout that products read: groups of 32 rows, within a group
// column by column. N is padded to a multiple of 32, K of PanelBF16 to an even number, with zeros.
type Panels struct {
	n, k int
	typ  PanelType
	f    []float32 // the data, whatever its type; bf16 seen through asU16
	size int       // floats a panel
	ints intPanels
	back []float32 // the panels of its transpose that KeepBackward made
}

// NewPanels makes panels of zeros for a matrix of n rows and k columns. For PanelQ8 and PanelQ4 k must be a multiple of
// QuantBlock.
func NewPanels(n, k int, t PanelType) *Panels {
	if n < 0 || k < 0 || t > PanelQ4 || t >= PanelQ8 && k%QuantBlock != 0 {
		panic(fmt.Sprintf("kernels: no panels of %d x %d, type %d", n, k, t))
	}
	p := &Panels{n: n, k: k, typ: t}
	switch t {
	case PanelF32:
		p.size = k * 32
	case PanelBF16, PanelI16:
		p.size = (k + 1) / 2 * 32
	case PanelRows:
		p.size = 16 * k
	case PanelQ8:
		p.size = k / QuantBlock * q8Size
	case PanelQ4:
		p.size = k / QuantBlock * q4Size
	}
	p.f = allocShared((n + 31) / 32 * p.size)
	if t == PanelI16 {
		p.ints.step = Alloc((n + 31) / 32 * 32)
	}
	return p
}

// Rows is N, the number of outputs.
func (p *Panels) Rows() int { return p.n }

// Cols is K, the number of inputs.
func (p *Panels) Cols() int { return p.k }

// Type is the format that the weights are kept in.
func (p *Panels) Type() PanelType { return p.typ }

// Bytes is the memory held.
func (p *Panels) Bytes() int { return 4 * (len(p.f) + len(p.ints.step) + len(p.back)) }

func (p *Panels) count() int { return (p.n + 31) / 32 }

func (p *Panels) panel(i int) []float32 { return p.f[i*p.size:][:p.size] }

// Fill sets every weight. row writes all of row n of W into dst (length K); it is called once per row, from several
// goroutines at once. PanelI16, PanelQ8 and PanelQ4 round to their numbers; FillBlocks keeps a file's own.
func (p *Panels) Fill(row func(n int, dst []float32)) {
	p.back = nil
	if p.typ >= PanelQ8 {
		p.quantise(row)
		return
	}
	switch p.typ {
	case PanelI16:
		p.fillInts(row)
		return
	case PanelRows:
		p.fillTable(row)
		return
	}
	im := active.Load()
	Parallel(p.count(), func(i int) {
		s := getScratch()
		defer putScratch(s)
		w := min(32, p.n-32*i)
		ld := (p.k + 1) &^ 1
		rows := s.extra(32 * ld)
		clear(rows[w*ld:])
		for r := range w {
			rows[r*ld+ld-1] = 0
			row(32*i+r, rows[r*ld:][:p.k])
		}
		if p.typ == PanelF32 {
			packTransposed(im, p.panel(i), 32, rows, ld, 32, p.k)
			return
		}
		half := s.panel(16 * ld)
		F32ToBF16(asU16(half), rows)
		packTransposed(im, p.panel(i), 32, half, ld/2, 32, ld/2)
	})
}

// fillTable is Fill for PanelRows.
func (p *Panels) fillTable(row func(n int, dst []float32)) {
	Parallel(p.count(), func(i int) {
		s := getScratch()
		defer putScratch(s)
		x, rows := s.extra(p.k), asU16(p.panel(i))
		for r := range min(32, p.n-32*i) {
			row(32*i+r, x)
			F32ToBF16(rows[r*p.k:][:p.k], x)
		}
	})
}

// Row writes row n of W into dst (length K).
func (p *Panels) Row(dst []float32, n int) {
	dst = dst[:p.k]
	q := p.panel(n / 32)
	if p.typ >= PanelQ8 {
		p.quantRow(dst, q, n%32)
		return
	}
	switch p.typ {
	case PanelI16:
		p.intRowOf(dst, q, n)
		return
	case PanelRows:
		BF16ToF32(dst, asU16(q)[n%32*p.k:][:p.k])
		return
	case PanelF32:
		for l := range dst {
			dst[l] = q[l*32+n%32]
		}
		return
	}
	if len(dst) == 0 {
		return
	}
	pairs := asU32(q)[n%32:]
	for l := 0; l+1 < len(dst); l += 2 {
		w := pairs[l/2*32]
		dst[l], dst[l+1] = math.Float32frombits(w<<16), math.Float32frombits(w&^0xffff)
	}
	if l := len(dst) - 1; l%2 == 0 {
		dst[l] = math.Float32frombits(pairs[l/2*32] << 16)
	}
}
