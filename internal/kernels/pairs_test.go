package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPairs: what makes pairs of bf16 gives the generic bits on every level, also on those whose products read none.
func TestPairs(t *testing.T) {
	levels(t, func(t *testing.T) {
		im := active.Load()
		r := rand.New(rand.NewPCG(23, 24))
		g := &guards{t: t}
		for _, blocks := range []int{1, 2, 5} {
			for _, typ := range []PanelType{PanelQ8, PanelQ4} {
				k := blocks * QuantBlock
				p := panelsOf(random(r, 32*k), 32, k, typ)
				got, want := g.make(16*k), make([]float32, 16*k)
				p.expand(im, got, p.panel(0), 0, k, true)
				p.expand(&genericImpl, want, p.panel(0), 0, k, true)
				if i := equalBits(got, want); i >= 0 {
					t.Fatalf("type %d, %d blocks: word %d is %08x, want %08x", typ, blocks, i, asU32(got)[i], asU32(want)[i])
				}
			}
			src := random(r, 32*blocks) // 64 numbers of bf16 a row pair
			got, want := g.make(len(src)), make([]float32, len(src))
			im.interleave(asU16(got), asU16(src))
			interleaveGeneric(asU16(want), asU16(src))
			if !slices.Equal(asU32(got), asU32(want)) {
				t.Fatalf("%d rows interleaved: %08x, want %08x", 2*blocks, asU32(got), asU32(want))
			}
			g.check("pairs")
		}
	})
}
