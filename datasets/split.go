package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// Part is one side of a split: a fraction of the groups, or a number of records. A part with neither takes the rest.
type Part struct {
	Name     string
	Fraction float64
	Count    int64
}

// SplitOptions says how records are dealt out.
type SplitOptions struct {
	Parts []Part
	Seed  uint64
	Group func(*Record) string // records of one group stay together; default PromptKey
	By    string               // names Group, where a split can be resumed: another name starts over
}

// PromptKey groups records by their prompt; records without one, by their content.
func PromptKey(r *Record) string {
	if len(r.Prompt) == 0 {
		return r.ContentHash()
	}
	return HashMessages(r.Prompt)
}

// Splitter assigns records to parts. The part of a group follows from the seed and the group's key alone when parts are fractions, and
// from the sizes of all groups too when they are counts; the order of the records never matters.
type Splitter struct {
	opt    SplitOptions
	counts bool
	sizes  map[uint64]int64
	place  map[uint64]int
}

// NewSplitter checks the parts: all fractions (sum at most 1) or all counts; at most one part takes the rest.
func NewSplitter(opt SplitOptions) (*Splitter, error) {
	if len(opt.Parts) < 2 {
		return nil, errors.New("a split needs at least two parts")
	}
	if opt.Group == nil {
		opt.Group = PromptKey
	}
	sum, fractions, counts, rest := 0.0, 0, 0, 0
	names := map[string]bool{}
	for _, p := range opt.Parts {
		if p.Name == "" || names[p.Name] {
			return nil, fmt.Errorf("part %q: every part needs a name of its own", p.Name)
		}
		names[p.Name] = true
		switch {
		case math.IsNaN(p.Fraction) || p.Fraction < 0 || p.Count < 0 || p.Fraction > 0 && p.Count > 0:
			return nil, fmt.Errorf("part %q: a fraction or a count above 0 was expected, got %g and %d", p.Name, p.Fraction, p.Count)
		case p.Fraction > 0:
			fractions++
			sum += p.Fraction
		case p.Count > 0:
			counts++
		default:
			rest++
		}
	}
	switch {
	case fractions > 0 && counts > 0:
		return nil, errors.New("parts are fractions or counts, not both")
	case rest > 1:
		return nil, errors.New("only one part can take the rest")
	case sum > 1+1e-9:
		return nil, fmt.Errorf("the fractions add up to %g, at most 1 was expected", sum)
	case fractions > 0 && rest == 0 && sum < 1-1e-9:
		return nil, fmt.Errorf("the fractions add up to %g: add a part for the rest or make them 1", sum)
	case counts > 0 && rest == 0:
		return nil, errors.New("counts need a part that takes the rest, or records would be lost")
	}
	return &Splitter{opt: opt, counts: counts > 0, sizes: map[uint64]int64{}}, nil
}

// hash is uniform over 64 bits for each (seed, key).
func (s *Splitter) hash(key string) uint64 {
	b := binary.LittleEndian.AppendUint64([]byte("plumb split 1\x00"), s.opt.Seed)
	sum := sha256.Sum256(append(b, key...))
	return binary.BigEndian.Uint64(sum[:])
}

// NeedsCounts reports whether every record must be shown to Observe before the first is assigned.
func (s *Splitter) NeedsCounts() bool { return s.counts }

// Observe counts a record into its group.
func (s *Splitter) Observe(r *Record) {
	if s.counts {
		s.sizes[s.hash(s.opt.Group(r))]++
		s.place = nil
	}
}

// Part gives the index of the record's part.
func (s *Splitter) Part(r *Record) int {
	h := s.hash(s.opt.Group(r))
	if !s.counts {
		u := float64(h>>11) / (1 << 53)
		rest, edge := len(s.opt.Parts)-1, 0.0
		for i, p := range s.opt.Parts {
			if p.Fraction == 0 {
				rest = i
				continue
			}
			if edge += p.Fraction; u < edge {
				return i
			}
		}
		return rest
	}
	if s.place == nil {
		s.settle()
	}
	return s.place[h]
}

// settle gives groups to the parts in the order of their hash; a group that would overfill a part is left for a later one.
func (s *Splitter) settle() {
	order := make([]uint64, 0, len(s.sizes))
	for h := range s.sizes {
		order = append(order, h)
	}
	sort.Slice(order, func(i, j int) bool { return order[i] < order[j] })
	left, rest := make([]int64, len(s.opt.Parts)), 0
	for i, p := range s.opt.Parts {
		if left[i] = p.Count; p.Count == 0 {
			rest = i
		}
	}
	s.place = make(map[uint64]int, len(order))
	for _, h := range order {
		to := rest
		for i := range left {
			if left[i] >= s.sizes[h] {
				left[i] -= s.sizes[h]
				to = i
				break
			}
		}
		s.place[h] = to
	}
}

// Split deals records in memory out; each gets the name of its part in Split, and keeps its order.
func Split(records []Record, opt SplitOptions) ([][]Record, error) {
	s, err := NewSplitter(opt)
	if err != nil {
		return nil, err
	}
	for i := range records {
		s.Observe(&records[i])
	}
	out := make([][]Record, len(opt.Parts))
	for i := range records {
		p := s.Part(&records[i])
		r := records[i]
		r.Split = opt.Parts[p].Name
		out[p] = append(out[p], r)
	}
	return out, nil
}
