//go:build amd64 && !noasm

package kernels

import (
	"sync"

	"golang.org/x/sys/cpu"
)

// tileConfig is the memory operand of LDTILECFG: palette 1, and the rows and bytes a row of eight tiles.
type tileConfig struct {
	palette, _ uint8
	_          [14]uint8
	colBytes   [16]uint16
	rows       [16]uint8
}

// tileConfigs is indexed by the rows of a product's tile, 1 to 32: tiles 0 to 3 are c, 4 and 5 a, 6 and 7 b.
var tileConfigs [33]tileConfig

func init() {
	for mr := 1; mr <= 32; mr++ {
		t := &tileConfigs[mr]
		t.palette = 1
		top, low := uint8(min(mr, 16)), uint8(max(mr-16, 1))
		for i, rows := range []uint8{top, top, low, low, top, low, 16, 16} {
			t.rows[i], t.colBytes[i] = rows, 64
		}
	}
}

// amxLow is the low rank of a product's tiles, none where r32 is 0.
type amxLow struct {
	u   *uint16
	ldu int
	v   *uint16
	r32 int
}

// amxSteps are the bytes between the operands of one tile and of the next.
type amxSteps struct{ a, b, c, u int }

// What tileAMX has of rows and columns.
const (
	amxHigh = iota // up to 16 rows
	amxFull        // up to 32
	amxSlim        // up to 32, and zeros in b from column 16 on
)

func amxRows(n int) uint8 {
	if n > 16 {
		return amxFull
	}
	return amxHigh
}

//go:noescape
func tileAMX(cfg *tileConfig, shape uint8, k32 int, a *uint16, lda int, b *uint16, c *float32, ldc int, acc bool, low *amxLow, n int, by *amxSteps)

// tileDotAMX is tileDot on the tile unit, for any mr. Within 32 columns the unit adds the products of even and of odd
// columns apart and then both to c; what is left over of k goes through the dot product. So the order of a sum
// depends on k only.
func tileDotAMX(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, ahead int, low lowTile) {
	_, _, _ = a[(mr-1)*lda+2*kp-1], b[kp*64-1], c[(mr-1)*ldc+31]
	whole := kp / 16
	if whole > 0 {
		var l amxLow
		if low.r > 0 && kp == 16*whole {
			_, _ = low.ub[mr*low.r-1], low.vb[32*low.r-1]
			l = amxLow{&low.ub[0], low.r, &low.vb[0], low.r / 32}
			low.r = 0
		}
		if n := mr / 32; n > 0 {
			tileAMX(&tileConfigs[32], amxFull, whole, &a[0], lda, &b[0], &c[0], ldc, acc, &l, n, &amxSteps{64 * lda, 0, 128 * ldc, 64 * l.ldu})
		}
		if rest := mr % 32; rest > 0 {
			i := mr - rest
			if l.r32 > 0 {
				l.u = &low.ub[i*l.ldu]
			}
			tileAMX(&tileConfigs[rest], amxRows(rest), whole, &a[i*lda], lda, &b[0], &c[i*ldc], ldc, acc, &l, 1, &amxSteps{})
		}
		acc = true
	}
	if left := kp - 16*whole; left > 0 {
		for i := 0; i < mr; i += rows512 {
			tileDot512(min(rows512, mr-i), left, a[i*lda+32*whole:], lda, b[16*whole*64:], c[i*ldc:], ldc, acc, ahead, lowTile{})
		}
	}
	if low.r > 0 {
		tileDotAMX(mr, low.r/2, low.ub, low.r, low.vb, c, ldc, true, 0, lowTile{})
	}
}

// panelsAMX is tileDotAMX for panels of b step numbers apart, and of c side by side; kp is a multiple of 16.
func panelsAMX(mr, panels, kp int, a []uint16, lda int, b []uint16, step int, c []float32, ldc int, acc bool) {
	_, _, _ = a[(mr-1)*lda+2*kp-1], b[(panels-1)*step+kp*64-1], c[(mr-1)*ldc+32*panels-1]
	for i := 0; i < mr; i += 32 {
		rows := min(32, mr-i)
		tileAMX(&tileConfigs[rows], amxRows(rows), kp/16, &a[i*lda], lda, &b[0], &c[i*ldc], ldc, acc, &amxLow{}, panels, &amxSteps{b: 2 * step, c: 128})
	}
}

// slimAMX is panelsAMX for one panel whose columns from 16 on are zeros, which rows that are not finite meet only where they fill no tile.
func slimAMX(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool) {
	whole := mr / 32
	if whole > 0 {
		_, _, _ = a[(32*whole-1)*lda+2*kp-1], b[kp*64-1], c[(32*whole-1)*ldc+31]
		tileAMX(&tileConfigs[32], amxSlim, kp/16, &a[0], lda, &b[0], &c[0], ldc, acc, &amxLow{}, whole, &amxSteps{a: 64 * lda, c: 128 * ldc})
	}
	if rest := mr % 32; rest > 0 {
		panelsAMX(rest, 1, kp, a[32*whole*lda:], lda, b, 0, c[32*whole*ldc:], ldc, acc)
	}
}

// haveAMX reports whether the tile unit multiplies bf16 and the system lets this process use it.
var haveAMX = sync.OnceValue(func() bool {
	return cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && permitAMX()
})
