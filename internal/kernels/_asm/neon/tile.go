package main

import "fmt"

// Tiles of up to 6 rows by 16 columns: 24 sums, 4 vectors of b, 4 registers for elements of a, each multiplied by lane. Up to 3
// rows take 32 columns, so that weights are read once from end to end.
const (
	tileRows = 6
	wideRows = 3
)

const (
	tileType   = "func(k int, a *float32, as int, b *float32, bs int, c *float32, cs int, acc bool, ahead int)"
	tileBFType = "func(k int, a *float32, as int, b *uint16, c *float32, cs int, acc bool, ahead int)"
)

func tiles(f *file) {
	for mr := 1; mr <= tileRows; mr++ {
		tileN(f, mr, 4)
	}
	for mr := 1; mr <= tileRows; mr++ {
		tileT(f, mr)
	}
	for mr := 1; mr <= wideRows; mr++ {
		tileN(f, mr, 8)
	}
	for mr := 1; mr <= tileRows; mr++ {
		tileBF(f, mr, 4)
	}
	for mr := 1; mr <= wideRows; mr++ {
		tileBF(f, mr, 8)
	}
}

// tile is a function in the making: mr rows of w vectors, their sums from V0.
type tile struct {
	*fn
	mr, w                      int
	count, b, c, cs, acc, near r
	rows                       []r // of a
}

// bReg and aReg are where vectors of b and elements of a go; mask is the upper half of each word.
func bReg(j int) v { return v(24 + j%4) }
func aReg(i int) v { return v(28 + i) }

const mask = v(31)

func openTile(f *file, form string, mr, w int, typ string) *tile {
	name := fmt.Sprintf("tile%s%dx%dNEON", form, mr, 4*w)
	f.addToTable(fmt.Sprintf("tile%s%dNEON", form, 4*w), typ, name)
	t := &tile{fn: f.open(name, typ, ""), mr: mr, w: w}
	t.count, t.b, t.c, t.cs = t.param("k"), t.param("b"), t.param("c"), t.param("cs")
	t.near, t.acc = t.param("ahead"), t.gp()
	fmt.Fprintf(&t.head, "\tMOVBU acc+%d(FP), %s\n", t.off("acc"), t.acc)
	t.op("LSL $2, %s", t.cs)
	t.op("ADD %s, %s", t.b, t.near)
	t.op("MOVD %s, %s", t.c, t.at2())
	t.op("CBNZ %s, load", t.acc)
	for i := range mr {
		for j := range w {
			x := t.sum(i, j)
			t.eor(x, x, x)
		}
		for j := 0; j < w; j += 4 { // c arrives while the sums are made
			t.op("PRFM %d(%s), PSTL1KEEP", 16*j, t.at2())
		}
		if i < mr-1 {
			t.op("ADD %s, %s", t.cs, t.at2())
		}
	}
	t.op("B ready")
	t.label("load")
	t.eachRow(func(i int) {
		for j := 0; j < w; j += 2 {
			t.load2(t.sum(i, j), t.sum(i, j+1), t.at2(), 16*j)
		}
	})
	t.label("ready")
	return t
}

// at2 is the register that walks over rows of c; acc is not needed any more by then.
func (t *tile) at2() r { return 24 }

func (t *tile) eachRow(f func(i int)) {
	for i := range t.mr {
		f(i)
		if i < t.mr-1 {
			t.op("ADD %s, %s", t.cs, t.at2())
		}
	}
}

func (t *tile) finish() {
	t.label("store")
	t.op("MOVD %s, %s", t.c, t.at2())
	t.eachRow(func(i int) {
		for j := 0; j < t.w; j += 2 {
			t.store2(t.sum(i, j), t.sum(i, j+1), t.at2(), 16*j)
		}
	})
	t.close()
}

func (t *tile) sum(i, j int) v { return v(i*t.w + j) }

// setRows points at the rows of a.
func (t *tile) setRows() {
	a, as := t.param("a"), t.param("as")
	t.rows = []r{a}
	t.op("LSL $2, %s", as)
	for i := 1; i < t.mr; i++ {
		p := t.gp()
		t.op("ADD %s, %s, %s", as, t.rows[i-1], p)
		t.rows = append(t.rows, p)
	}
}

func (t *tile) advance(bytes int) {
	for _, p := range t.rows {
		t.op("ADD $%d, %s", bytes, p)
	}
}

// madd adds the products with one element of each row of a; two writes vectors j and j+1 of b into their registers.
func (t *tile) madd(element func(i int, x v), two func(j int)) {
	if t.w == 8 { // all elements, then b by and by
		for i := range t.mr {
			element(i, aReg(i))
		}
		for j := 0; j < t.w; j += 2 {
			two(j)
			for q := j; q < j+2; q++ {
				for i := range t.mr {
					t.fmlaLane(t.sum(i, q), bReg(q), aReg(i), 0)
				}
			}
		}
		return
	}
	two(0)
	two(2)
	for i := range t.mr {
		x := aReg(i % 3)
		element(i, x)
		for j := range t.w {
			t.fmlaLane(t.sum(i, j), bReg(j), x, 0)
		}
	}
}

// fetch asks for the part of b that is wanted so many bytes later.
func (t *tile) fetch(disp int) {
	for j := 0; j < t.w; j += 4 {
		t.op("PRFM %d(%s), PLDL1KEEP", disp+16*j, t.near)
	}
}

// loop runs step for every k, by fours where rows of a are read along; end follows n steps.
func (t *tile) loop(unroll int, step func(s int), end func(n int)) {
	if unroll > 1 {
		t.op("SUBS $%d, %s", unroll, t.count)
		t.op("BLT rest")
		t.label("many")
		for s := range unroll {
			step(s)
		}
		end(unroll)
		t.op("SUBS $%d, %s", unroll, t.count)
		t.op("BGE many")
		t.label("rest")
		t.op("ADDS $%d, %s", unroll, t.count)
		t.op("BEQ store")
	}
	t.label("one")
	step(0)
	end(1)
	t.op("SUBS $1, %s", t.count)
	t.op("BNE one")
}

// tileN: rows of a as apart, its columns adjacent.
func tileN(f *file, mr, w int) {
	t := openTile(f, "N", mr, w, tileType)
	t.setRows()
	bs := t.param("bs")
	t.op("LSL $2, %s", bs)
	t.loop(4, func(s int) {
		t.fetch(0)
		t.madd(func(i int, x v) { t.op("FMOVS %d(%s), F%d", 4*s, t.rows[i], int(x)) },
			func(j int) { t.load2(bReg(j), bReg(j+1), t.b, 16*j) })
		t.op("ADD %s, %s", bs, t.b)
		t.op("ADD %s, %s", bs, t.near)
	}, func(n int) { t.advance(4 * n) })
	t.finish()
}

// tileT: columns of a as apart, its rows adjacent: the elements of one k arrive in one or two loads.
func tileT(f *file, mr int) {
	t := openTile(f, "T", mr, 4, tileType)
	a, as, bs := t.param("a"), t.param("as"), t.param("bs")
	t.op("LSL $2, %s", as)
	t.op("LSL $2, %s", bs)
	t.loop(1, func(int) {
		t.fetch(0)
		for at := 0; at < mr; {
			x, disp := aReg(at/4), 4*at
			switch mr - at {
			case 1:
				t.op("FMOVS %d(%s), F%d", disp, a, int(x))
				at++
			case 2:
				t.op("FMOVD %d(%s), F%d", disp, a, int(x))
				at += 2
			case 3:
				t.op("FMOVD %d(%s), F%d", disp, a, int(x))
				t.op("FMOVS %d(%s), F%d", disp+8, a, int(aReg(2)))
				at += 3
			default:
				t.load(x, a, disp)
				at += 4
			}
		}
		t.load2(bReg(0), bReg(1), t.b, 0)
		t.load2(bReg(2), bReg(3), t.b, 32)
		for i := range mr {
			x, lane := aReg(i/4), i%4
			if mr == 3 && i == 2 {
				x, lane = aReg(2), 0
			}
			for j := range t.w {
				t.fmlaLane(t.sum(i, j), bReg(j), x, lane)
			}
		}
		t.op("ADD %s, %s", bs, t.b)
		t.op("ADD %s, %s", bs, t.near)
	}, func(int) { t.op("ADD %s, %s", as, a) })
	t.finish()
}

// tileBF is tileN with b in pairs of bf16, 32 a row whatever the number of columns.
func tileBF(f *file, mr, w int) {
	t := openTile(f, "BF", mr, w, tileBFType)
	t.setRows()
	t.op("VMOVI $255, %s.B16", mask)
	t.shl(mask, mask, 16)
	half := func(odd int) {
		t.madd(func(i int, x v) { t.op("FMOVS %d(%s), F%d", 4*odd, t.rows[i], int(x)) }, func(j int) {
			t.load2(bReg(j), bReg(j+1), t.b, 16*j)
			for q := j; q < j+2; q++ {
				if odd > 0 {
					t.and(bReg(q), bReg(q), mask)
				} else {
					t.shl(bReg(q), bReg(q), 16)
				}
			}
		})
	}
	t.op("SUBS $2, %s", t.count)
	t.op("BLT last")
	t.label("pair")
	t.fetch(0)
	half(0)
	half(1)
	t.op("ADD $128, %s", t.b)
	t.op("ADD $128, %s", t.near)
	t.advance(8)
	t.op("SUBS $2, %s", t.count)
	t.op("BGE pair")
	t.label("last")
	t.op("TBZ $0, %s, store", t.count)
	half(0)
	t.finish()
}
