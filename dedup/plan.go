package dedup

import "slices"

// verdict is what happens to a record.
type verdict struct {
	stage  string // empty: it stays
	score  float64
	check  float64 // of the verifier, 1 where it was not asked
	kept   int32   // record that stays for it; -1: none
	leak   int32   // position in the certificate; -1: none
	copies int32   // copies that it takes over from removed equals
}

// plan turns stars into one verdict per record.
func (c *corpus) plan(stars []star) []verdict {
	out := make([]verdict, len(c.entries))
	for i := range out {
		out[i] = verdict{kept: -1, leak: -1, check: 1}
	}
	inStar := make([]bool, len(c.nodes))
	for _, s := range stars {
		inStar[s.center] = true
		for _, e := range s.members {
			inStar[e.b] = true
		}
	}
	for i := range c.nodes {
		if !inStar[i] && c.nodes[i].count > 1 {
			stars = append(stars, star{center: int32(i)})
		}
	}
	for _, s := range stars {
		c.planStar(out, s)
	}
	return out
}

func (c *corpus) planStar(out []verdict, s star) {
	records := slices.Collect(c.records(s.center))
	how := map[int32]edge{}
	for _, e := range s.members {
		how[e.b] = e
		records = slices.AppendSeq(records, c.records(e.b))
	}
	slices.SortFunc(records, func(a, b int32) int {
		if c.before(a, b) {
			return -1
		}
		return 1
	})
	first := records[0]
	heir := map[int32]int32{} // the record of a node that stays
	quota := c.cfg.Keep.N
	if c.cfg.Keep.Policy == "none" {
		quota = 0
	}
	for _, r := range records {
		e := &c.entries[r]
		if e.protected || quota > 0 {
			quota--
			if _, ok := heir[e.node]; !ok {
				heir[e.node] = r
			}
			continue
		}
		v := &out[r]
		v.kept = first
		if c.cfg.Keep.Policy == "none" && !c.entries[first].protected {
			v.kept = -1
		}
		same := first
		if h, ok := heir[e.node]; ok {
			same = h
		}
		switch x, far := how[e.node]; {
		case r == first && c.nodes[s.center].count == 1: // policy none: it goes for the sake of its nearest member
			v.stage, v.score, v.check = string(s.members[0].tier), s.members[0].score, s.members[0].check
		case c.entries[same].node == e.node:
			v.stage, v.score = string(TierNormalised), 1
			if c.entries[same].exact == e.exact {
				v.stage = string(TierExact)
			}
			if v.kept >= 0 {
				v.kept = same
				out[same].copies += e.copies
			}
		case far:
			v.stage, v.score, v.check = string(x.tier), x.score, x.check
		}
	}
}
