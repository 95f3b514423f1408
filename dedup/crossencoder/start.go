package crossencoder

import (
	"math"
	"math/rand/v2"

	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
)

// SmallModel is the shape of an encoder that is trained from nothing.
type SmallModel struct {
	Hidden       int `yaml:"hidden"`
	Layers       int `yaml:"layers"` // 3 or more: words, their counterparts, a verdict
	Heads        int `yaml:"heads"`
	Intermediate int `yaml:"intermediate"`
	MaxPositions int `yaml:"max_positions"` // bytes of both texts together
}

// NewSmall returns an untrained encoder of pairs of byte strings that already knows where to look. From plain random weights
// attention needs far more examples than a minute allows to find which byte of one text stands for which of the other (the
// idea of such a start is Trockman and Kolter's, 2023, arXiv:2305.09828). Hidden states are laid out as half content, a third
// position (sine waves), the rest free. Layer 0 gathers each byte's neighbours, layer 1 finds the counterpart in the other text
// by content and position and subtracts it. Everything is trained from there.
func NewSmall(c SmallModel, seed uint64) (*model.Encoder, error) {
	e, err := model.NewRandomEncoder(model.EncoderConfig{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, Intermediate: c.Intermediate,
		MaxPositions: c.MaxPositions, InitRange: 0.08, Restart: true}, seed)
	if err != nil {
		return nil, err
	}
	s := &start{e: e, r: run.Rand(seed, "cross-encoder start"), d: c.Hidden, content: c.Hidden / 2, waves: c.Hidden / 6}
	s.embeddings()
	s.neighbours(e.Blocks[0].Q, e.Blocks[0].K, e.Blocks[0].V, e.Blocks[0].O)
	if c.Layers > 2 {
		s.counterparts(e.Blocks[1].Q, e.Blocks[1].K, e.Blocks[1].V, e.Blocks[1].O)
	}
	return e, nil
}

// start writes first weights. Dimensions [0, content) hold what a byte is, then come pairs of sine and cosine, then the type.
type start struct {
	e                 *model.Encoder
	r                 *rand.Rand
	d, content, waves int
}

func (s *start) typeDim() int { return s.content + 2*s.waves }

// frequency of a wave: lengths from 4 bytes to 512.
func (s *start) frequency(w int) float64 {
	return 2 * math.Pi / (4 * math.Pow(128, float64(w)/float64(s.waves-1)))
}

func (s *start) embeddings() {
	words, pos, types := ops.F32(s.e.Words.W.Param), ops.F32(s.e.Pos.W.Param), ops.F32(s.e.Types.W.Param)
	clear(words)
	for t := range s.e.Config.Vocab {
		for i := range s.content {
			words[t*s.d+i] = float32(s.r.NormFloat64())
		}
	}
	free := s.typeDim() + 1 // says what kind of byte it is: a capital, a digit, a mark
	for t := range 256 {
		row := words[t*s.d : (t+1)*s.d]
		switch {
		case 'A' <= t && t <= 'Z':
			copy(row[:s.content], words[(t+'a'-'A')*s.d:])
			row[free] = 1
		case '0' <= t && t <= '9':
			row[free+1] = 2
		case 'a' <= t && t <= 'z':
			row[free+1] = -1
		case t > ' ':
			row[free+2] = 1
		}
	}
	clear(pos)
	for p := range s.e.Config.MaxPositions {
		for w := range s.waves {
			sin, cos := math.Sincos(float64(p) * s.frequency(w))
			pos[p*s.d+s.content+2*w], pos[p*s.d+s.content+2*w+1] = float32(sin), float32(cos)
		}
	}
	clear(types)
	types[s.typeDim()], types[s.d+s.typeDim()] = 2, -2
}

// neighbours makes head h attend to the byte h/2+1 places before or behind, and add its content, turned at random.
func (s *start) neighbours(q, k, v, o *ops.Linear) {
	heads := s.e.Config.Heads
	dim := s.d / heads
	wq, wk := ops.F32(q.W.Param), ops.F32(k.W.Param)
	for h := range heads {
		offset := float64(h/2 + 1)
		if h%2 == 0 {
			offset = -offset
		}
		s.noise(wq[h*dim*s.d:(h+1)*dim*s.d], 0.02)
		s.noise(wk[h*dim*s.d:(h+1)*dim*s.d], 0.02)
		const gain = 2.2
		n := min((dim-1)/2, s.waves)
		for w := range n {
			sin, cos := math.Sincos(offset * s.frequency(w))
			row, col := (h*dim+2*w)*s.d, s.content+2*w
			wk[row+col], wk[row+s.d+col+1] = gain, gain
			// sin(x+o) = sin x cos o + cos x sin o; cos(x+o) = cos x cos o - sin x sin o
			wq[row+col], wq[row+col+1] = float32(gain*cos), float32(gain*sin)
			wq[row+s.d+col+1], wq[row+s.d+col] = float32(gain*cos), float32(-gain*sin)
		}
		row := (h*dim + dim - 1) * s.d
		wq[row+s.typeDim()], wk[row+s.typeDim()] = 2, 2
	}
	s.carry(v, o, 0.6, false)
}

// counterparts makes heads find the byte of the other text that has the same surroundings at about the same place; the first
// half of them subtract its content.
func (s *start) counterparts(q, k, v, o *ops.Linear) {
	heads := s.e.Config.Heads
	dim := s.d / heads
	wq, wk := ops.F32(q.W.Param), ops.F32(k.W.Param)
	slow := 3
	for h := range heads {
		rq, rk := wq[h*dim*s.d:(h+1)*dim*s.d], wk[h*dim*s.d:(h+1)*dim*s.d]
		s.noise(rq, 0.02)
		s.noise(rk, 0.02)
		n := dim - 2*slow - 1
		for i := range n {
			for c := range s.content {
				x := float32(s.r.NormFloat64() * 1.8 / math.Sqrt(float64(s.content)))
				rq[i*s.d+c], rk[i*s.d+c] = rq[i*s.d+c]+x, rk[i*s.d+c]+x
			}
		}
		for w := range slow {
			row, col := (n+2*w)*s.d, s.content+2*(s.waves-2-2*w)
			for i := range 2 {
				rq[row+i*s.d+col+i], rk[row+i*s.d+col+i] = 1.8, 1.8
			}
		}
		row := (dim - 1) * s.d
		rq[row+s.typeDim()], rk[row+s.typeDim()] = -2, 2
	}
	s.carry(v, o, 1, true)
}

// carry makes values the content and sends them back to the content: turned at random with a strength, or (difference) in the
// first half of the heads as they were, subtracted.
func (s *start) carry(v, o *ops.Linear, strength float64, difference bool) {
	heads := s.e.Config.Heads
	dim := s.d / heads
	wv, wo := ops.F32(v.W.Param), ops.F32(o.W.Param)
	for h := range heads {
		for i := range dim {
			row := h*dim + i
			if difference && h < heads/2 {
				if c := row % s.content; row < s.content {
					wv[row*s.d+c] += 1
					wo[c*s.d+row] -= float32(strength)
				}
				continue
			}
			for c := range s.content {
				wv[row*s.d+c] += float32(s.r.NormFloat64() / math.Sqrt(float64(s.content)))
				to := c
				if difference { // to the dimensions that are free
					to = s.typeDim() + 1 + c%(s.d-s.typeDim()-1)
				}
				wo[to*s.d+row] += float32(s.r.NormFloat64() * strength / math.Sqrt(float64(dim)) / math.Sqrt(float64(heads)) * 2)
			}
		}
	}
}

func (s *start) noise(w []float32, std float64) {
	for i := range w {
		w[i] = float32(s.r.NormFloat64() * std)
	}
}
