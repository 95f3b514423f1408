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

// TestPackPairs: packed operands hold the numbers that their forms say, zeros in between, and nothing around them is written.
func TestPackPairs(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(25, 26))
		g := &guards{t: t}
		half := func(n int) []uint16 { return asU16(g.make((n + 1) / 2))[:n] }
		for _, s := range [][2]int{{1, 32}, {31, 64}, {32, 32}, {45, 96}, {70, 64}} {
			n, w := s[0], s[1]
			deep := (n + 31) / 32 * 32
			x := half(n * w)
			F32ToBF16(x, random(r, n*w))
			at := func(i, j int) uint16 {
				if i < n {
					return x[i*w+j]
				}
				return 0
			}
			cols, rows, turned := half(deep*w), half(deep*w), half(w*deep)
			PairColumns(cols, x, w, n, w)
			PairRows(rows, deep*32, x, w, n, w)
			PairTranspose(turned, deep, x, w, n, w)
			for i := range deep {
				for j := range w {
					if got := cols[i/32*32*w+j/2*64+i%32*2+j%2]; got != at(i, j) {
						t.Fatalf("%v: columns at (%d,%d): %04x, want %04x", s, i, j, got, at(i, j))
					}
					if got := rows[j/32*32*deep+i/2*64+j%32*2+i%2]; got != at(i, j) {
						t.Fatalf("%v: rows at (%d,%d): %04x, want %04x", s, i, j, got, at(i, j))
					}
					if got := turned[j*deep+i]; got != at(i, j) {
						t.Fatalf("%v: transpose at (%d,%d): %04x, want %04x", s, i, j, got, at(i, j))
					}
				}
			}
			g.check("packing")
		}
	})
}

// TestGemmPairs: a product of pairs is that of the rounded numbers, and padding changes no bit of it.
func TestGemmPairs(t *testing.T) {
	levels(t, func(t *testing.T) {
		if !DotsPairs() {
			t.Skip("no products of pairs at this level")
		}
		r := rand.New(rand.NewPCG(27, 28))
		g := &guards{t: t}
		for _, s := range [][3]int{{1, 7, 32}, {3, 40, 64}, {15, 32, 96}, {70, 100, 64}, {200, 33, 160}} {
			m, n, k := s[0], s[1], s[2]
			a, b := random(r, m*k), random(r, n*k)
			ah, bh, panels := make([]uint16, m*k), make([]uint16, n*k), (n+31)/32
			F32ToBF16(ah, a)
			F32ToBF16(bh, b)
			BF16ToF32(a, ah)
			BF16ToF32(b, bh)
			packed := make([]uint16, panels*32*k)
			PairColumns(packed, bh, k, n, k)
			c := g.make(m * panels * 32)
			GemmPairs(m, panels, k, ah, k, packed, 32*k, c, 32*panels, false)
			want := make([]float32, m*n)
			GemmSerial(false, true, m, n, k, a, k, b, k, want, n, false)
			longer := make([]uint16, m*(k+64)) // the same with two blocks of zeros behind
			for i := range m {
				copy(longer[i*(k+64):], ah[i*k:(i+1)*k])
			}
			padded := make([]uint16, panels*32*(k+64))
			for p := range panels {
				copy(padded[p*32*(k+64):], packed[p*32*k:(p+1)*32*k])
			}
			c2 := g.make(m * panels * 32)
			GemmPairs(m, panels, k+64, longer, k+64, padded, 32*(k+64), c2, 32*panels, false)
			for i := range m {
				for j := range n {
					if d := c[i*32*panels+j] - want[i*n+j]; d > 1e-4 || d < -1e-4 {
						t.Fatalf("%v: (%d,%d) is %v, want %v", s, i, j, c[i*32*panels+j], want[i*n+j])
					}
				}
			}
			if i := equalBits(c, c2); i >= 0 {
				t.Fatalf("%v: padding changes element %d: %v, %v", s, i, c[i], c2[i])
			}
			g.check("product of pairs")
		}
	})
}
