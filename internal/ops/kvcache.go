package ops

import "plumb/internal/kernels"

// panelRows is how many positions a panel of keys holds, and a block of a cache.
const panelRows = 32

func blocks(n int) int { return (n + panelRows - 1) / panelRows }

func roundUp(n int) int { return blocks(n) * panelRows }

// WholeBlocks is how many of n positions fill blocks. A cache that continues another begins with those of the other that do
// not (CopyTail), so that blocks lie alike in every cache of a path.
func WholeBlocks(n int) int { return n / panelRows * panelRows }

// CacheLen is how many floats the keys, and the values, of size positions take in a cache.
//
// Keys of a head are panels of 32 positions: (Dim, 32) in float32, [Dim/2][32][2] in bf16. Values are rows (size, KV*Dim) in
// float32; in bf16 panels of 32 columns for each head, [size/2][32][2].
func (h Heads) CacheLen(size int) int {
	n := roundUp(size) * h.KV * h.Dim
	if h.pairs() {
		return n / 2
	}
	return n
}

// Store keeps n rows of k and v (n, KV*Dim) as positions at to at+n of a cache.
func (h Heads) Store(kc, vc, k, v []float32, at, n int) {
	w := h.KV * h.Dim
	if h.pairs() {
		h.storePairs(kernels.Halves(kc), kernels.Halves(vc), k[:n*w], v[:n*w], at)
		return
	}
	perHead := len(kc) / h.KV
	for r := range n {
		block, c := (at+r)/panelRows, (at+r)%panelRows
		for kv := range h.KV {
			panel := kc[kv*perHead+block*h.Dim*panelRows:]
			for d, x := range k[r*w+kv*h.Dim : r*w+(kv+1)*h.Dim] {
				panel[d*panelRows+c] = x
			}
		}
	}
	copy(vc[at*w:(at+n)*w], v)
}

func (h Heads) storePairs(kc, vc []uint16, k, v []float32, at int) {
	w, perHead := h.KV*h.Dim, len(kc)/h.KV
	step := perHead / (h.Dim / 32)
	buf := alloc(w)
	defer free(buf)
	row := kernels.Halves(buf)[:w]
	for r := at; len(k) > 0; r, k, v = r+1, k[w:], v[w:] {
		kernels.F32ToBF16(row, k[:w])
		for kv := range h.KV {
			panel, x := kc[kv*perHead+r/panelRows*h.Dim*panelRows+r%panelRows*2:], row[kv*h.Dim:(kv+1)*h.Dim]
			for d := 0; d+1 < len(x); d += 2 {
				to := panel[d*panelRows:][:2]
				to[0], to[1] = x[d], x[d+1]
			}
		}
		kernels.F32ToBF16(row, v[:w])
		for c := 0; c < w; c += 32 { // 32 columns of a head
			to := vc[c/h.Dim*perHead+c%h.Dim/32*step+r/2*64+r%2:][:63]
			for d, x := range row[c : c+32] {
				to[2*d] = x
			}
		}
	}
}

// CopyTail copies those of the n positions of one cache that fill no whole block to the beginning of another.
func (h Heads) CopyTail(kc, vc, fromK, fromV []float32, n int) {
	at := WholeBlocks(n)
	if at == n {
		return
	}
	to, from := len(kc)/h.KV, len(fromK)/h.KV
	block := h.CacheLen(panelRows) / h.KV
	for kv := range h.KV {
		copy(kc[kv*to:][:block], fromK[kv*from+at/panelRows*block:])
	}
	if !h.pairs() {
		w := h.KV * h.Dim
		copy(vc[:(n-at)*w], fromV[at*w:])
		return
	}
	heads := h.KV * h.Dim / 32 // panels of columns
	to, from = len(vc)/heads, len(fromV)/heads
	for i := range heads {
		copy(vc[i*to:][:panelRows*16], fromV[i*from+at*16:])
	}
}
