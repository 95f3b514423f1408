package ops

import (
	"sync"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/nn"
)

// LoRA is the low-rank update s·B·A of one linear layer (Hu et al., 2021, arXiv:2106.09685).
type LoRA struct {
	nn.Module
	A       *nn.Param // (r, in)
	B       *nn.Param // (out, r)
	Scale   float32   // s: alpha/r, or alpha/sqrt(r) for rsLoRA
	Dropout float32   // probability of dropping an input of A during training
	ID      uint64    // names the layer in the stream of dropout masks
	fixed   *fixedLoRA
}

// fixedLoRA keeps what products read of the low ranks that a LoRA begins, forward and backward.
type fixedLoRA struct {
	sync.Mutex
	packed [2]*lowPacks
}

// Fixed returns l for passes during which its weights do not change: what products read is packed once, and given back by Unfix.
func (l *LoRA) Fixed() *LoRA {
	c := *l
	c.fixed = &fixedLoRA{}
	return &c
}

// Unfix ends the use of what Fixed returned.
func (l *LoRA) Unfix() {
	if l.fixed == nil {
		return
	}
	for _, p := range l.fixed.packed {
		p.free()
	}
	l.fixed = nil
}

// fits reports whether products of bf16 pairs can read A and B.
func (l *LoRA) fits() bool {
	return l.A.Shape()[1]%kernels.PairBlock == 0 && l.B.Shape()[0]%kernels.PairBlock == 0
}

// Rank is r.
func (l *LoRA) Rank() int { return l.A.Shape()[0] }

// lowPacks are the factors of LoRAs with the same input in bf16, packed: the As one below the other as a (p, in), each B as (out, p) in
// the columns that its A's rows make.
type lowPacks struct {
	a    []uint16
	b    [][]uint16
	kept bool // by a LoRA that is fixed
}

// direction is what lowPacks are for: x·Aᵀ and u·Bᵀ, or du·A and dy·B.
type direction int

const (
	forwards direction = iota
	backwards
)

// packs returns the packed factors of f's LoRAs, for put to take back.
func (f *lowRank) packs(d direction) *lowPacks {
	fixed := f.loras[0].fixed
	if fixed == nil {
		return f.pack(d)
	}
	fixed.Lock()
	defer fixed.Unlock()
	p := fixed.packed[d]
	if p == nil {
		p = f.pack(d)
		p.kept = true
		fixed.packed[d] = p
	}
	if len(p.b) != len(f.loras) { // of others
		return f.pack(d)
	}
	return p
}

// pack rounds and packs.
func (f *lowRank) pack(d direction) *lowPacks {
	by := func(x []uint16, n, w int) []uint16 {
		dst := halfAlloc(roundUp(n) * w)
		if d == backwards {
			kernels.PairRows(dst, 32*roundUp(n), x, w, n, w)
		} else {
			kernels.PairColumns(dst, x, w, n, w)
		}
		return dst
	}
	in := f.loras[0].A.Shape()[1]
	flat := halfAlloc(f.wide * in)
	clear(flat)
	for i, l := range f.loras {
		a := F32(l.A)
		kernels.F32ToBF16(flat[f.at[i]*in:][:len(a)], a)
	}
	p := &lowPacks{a: by(flat, f.wide, in)}
	halfFree(flat)
	for i, l := range f.loras {
		out, r := l.B.Shape()[0], l.Rank()
		flat, dense := halfAlloc(out*f.wide), halfAlloc(out*r)
		clear(flat)
		kernels.F32ToBF16(dense, F32(l.B))
		for j := range out {
			copy(flat[j*f.wide+f.at[i]:][:r], dense[j*r:])
		}
		p.b = append(p.b, by(flat, out, f.wide))
		halfFree(flat)
		halfFree(dense)
	}
	return p
}

// put gives packs back, unless they are kept.
func (p *lowPacks) put() {
	if p != nil && !p.kept {
		p.free()
	}
}

func (p *lowPacks) free() {
	if p == nil {
		return
	}
	halfFree(p.a)
	for _, b := range p.b {
		halfFree(b)
	}
}
