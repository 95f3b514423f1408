package kernels

// stripRows are the rows of a tile of a strip, as the generator has them; stripBlock the most of a strip: a training's pass whole.
const (
	stripRows  = 3
	stripBlock = 258
)

// blockBytes are of a block's rows of bf16: they stay in the second cache while panels pass.
const blockBytes = 1200 << 10

// decodeRows are at most so many that weights are fetched ahead where they are used, and so few that strips do not pay.
const decodeRows = 32

// heights are those of products of bf16 pairs, of integers, or else in float32, in strips or not.
func (im *impl) heights(pairs, ints, strips bool, k int) heights {
	switch {
	case strips && !ints && im.wide != nil:
		return heights{wideBlock, wideBlock}
	case strips:
		return heights{stripBlock, stripBlock}
	case ints:
		return im.ints16
	case pairs:
		h := im.pairs
		h.block = max(h.tile, min(h.block, blockBytes/(2*max(k, 1))/h.tile*h.tile))
		return h
	}
	return im.rows
}

// strips reports whether a product of m rows is made in strips.
func (im *impl) strips(pairs, ints bool, m int) bool {
	return m > decodeRows && (ints && im.intStrips || !ints && !pairs && (im.strip != nil || im.wide != nil))
}

// heights are the rows of a product's tile and of the block of tiles that shares panels while they are in the cache.
type heights struct{ tile, block int }

// tiles is how many tiles, of nearly equal height, make m rows.
func (h heights) tiles(m int) int { return (m + h.tile - 1) / h.tile }

// blocks is how many blocks make so many tiles.
func (h heights) blocks(tiles int) int { return (tiles*h.tile + h.block - 1) / h.block }

// each runs f on the blocks of m rows.
func (h heights) each(m int, f func(m0, m1 int)) {
	tiles := h.tiles(m)
	n := h.blocks(tiles)
	for b := range n {
		f(h.row(m, tiles, tiles*b/n), h.row(m, tiles, tiles*(b+1)/n))
	}
}

// strip tells the heights of strips.
func (h heights) strip() bool { return h.tile == stripBlock || h.tile == wideBlock }

// together is how many panels are multiplied at once.
func (h heights) together() int {
	if h.tile == wideBlock {
		return 2
	}
	return 1
}

// units is how many times panels that are multiplied at once make so many panels, the last time perhaps fewer.
func (h heights) units(panels int) int { return (panels + h.together() - 1) / h.together() }

// grain is what the rows of all blocks but the last are a multiple of: the tile unit has 32 at once, a strip's tile stripRows or wideRows.
func (h heights) grain() int {
	switch {
	case h.tile%32 == 0:
		return 32
	case h.tile == stripBlock:
		return stripRows
	case h.tile == wideBlock:
		return wideRows
	}
	return 1
}

// row is where tile i of so many in m rows begins where blocks meet.
func (h heights) row(m, tiles, i int) int {
	g := h.grain()
	return min((m*i/tiles+g-1)/g*g, m)
}

// share cuts m rows and panels of 32 columns into items for the threads and runs f on their bounds. A product too small to share is done in
// one piece.
func (h heights) share(m, panels, k int, f func(m0, m1, j0, j1 int)) {
	if m < 1 || panels < 1 {
		return
	}
	c := h.cut(m, panels, k)
	if c.pieces == 0 {
		h.each(m, func(m0, m1 int) { f(m0, m1, 0, panels) })
		return
	}
	Parallel(c.items(), func(i int) { f(c.bounds(i)) })
}

// cut is how a product is cut into items: blocks of whole tiles, and fewer panels an item until there are enough items to balance.
// pieces is 0 where it is too small.
type cut struct {
	heights
	m, panels, tiles, blocks, pieces int
}

func (h heights) cut(m, panels, k int) cut {
	t, tiles := Threads(), h.tiles(m)
	c := cut{heights: h, m: m, panels: panels, tiles: tiles, blocks: h.blocks(tiles)}
	if t < 2 || m*panels*32*k < 1<<16 {
		return c
	}
	c.pieces = min(h.units(panels), max(1, (4*t+c.blocks-1)/c.blocks))
	if c.pieces == 1 {
		c.blocks = min(tiles, (c.blocks+t-1)/t*t) // no thread waits for the last block of another
	}
	if h.strip() && c.blocks*c.pieces < 4*t { // a strip may be cut anywhere, but short ones read panels often
		c.blocks = max(c.blocks, min((4*t+c.pieces-1)/c.pieces, m/decodeRows))
		c.tiles = c.blocks
	}
	return c
}

func (c cut) items() int { return c.blocks * max(c.pieces, 1) }

// bounds are the rows and the panels of an item.
func (c cut) bounds(i int) (m0, m1, j0, j1 int) {
	b, p, pieces := i%c.blocks, i/c.blocks, max(c.pieces, 1)
	panel := func(p int) int { return min(c.panels, c.units(c.panels)*p/pieces*c.together()) }
	return c.row(c.m, c.tiles, c.tiles*b/c.blocks), c.row(c.m, c.tiles, c.tiles*(b+1)/c.blocks), panel(p), panel(p + 1)
}
