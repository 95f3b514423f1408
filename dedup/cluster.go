package dedup

import (
	"context"
	"slices"
)

// star is a cluster: the node that stays and the nodes that were compared with it and found alike.
type star struct {
	center  int32
	members []edge // a is the center, b the member; in the order in which they joined
}

// hops bounds how many centers two steps away a node is compared with.
const hops = 16

// clusters groups nodes into stars. Nodes come in the order of their best record; each joins the most similar center
// among its edges. A node without one is compared with the centers its neighbours have edges to or belong to, because a
// store's k neighbours, or a capped bucket, may have hidden that edge. What matches none becomes a center. So every
// member passed the tests against its own center, and two unlike texts are never joined through a third.
func (m *matcher) clusters(ctx context.Context, edges []edge) ([]star, error) {
	c := m.c
	best := make([]int32, len(c.nodes))
	order := make([]int32, len(c.nodes))
	for i := range c.nodes {
		order[i] = int32(i)
		best[i] = c.nodes[i].first
		for r := range c.records(int32(i)) {
			if c.before(r, best[i]) {
				best[i] = r
			}
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c.before(best[a], best[b]) {
			return -1
		}
		return 1
	})
	first := make([]int32, len(c.nodes)+1) // edges of node i: near[first[i]:first[i+1]]
	for _, e := range edges {
		first[e.a+1]++
		first[e.b+1]++
	}
	for i := range c.nodes {
		first[i+1] += first[i]
	}
	near := make([]edge, 2*len(edges))
	fill := slices.Clone(first)
	for _, e := range edges {
		near[fill[e.a]] = e
		fill[e.a]++
		e.a, e.b = e.b, e.a
		near[fill[e.a]] = e
		fill[e.a]++
	}
	const none = -1
	center := make([]int32, len(c.nodes))
	for i := range center {
		center[i] = none
	}
	starOf := map[int32]int{}
	var stars []star
	join := func(n int32, e edge) {
		e.a, e.b = center[n], n
		at, ok := starOf[center[n]]
		if !ok {
			at = len(stars)
			starOf[center[n]] = at
			stars = append(stars, star{center: center[n]})
		}
		stars[at].members = append(stars[at].members, e)
	}
	bar := m.tools.progress("cluster", len(order))
	defer bar.Done()
	for _, n := range order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bar.Add(1)
		center[n] = n
		if c.fixed(best[n]) {
			continue
		}
		mine := near[first[n]:first[n+1]]
		var chosen edge
		found := false
		for _, e := range mine {
			if center[e.b] == e.b && (!found || closer(e, chosen)) {
				chosen, found = e, true
			}
		}
		for _, r := range m.secondStep(n, mine, near, first, center, found) {
			e, ok, err := m.judge(ctx, n, r)
			if err != nil {
				return nil, err
			}
			if e.b = r; ok && (!found || closer(e, chosen)) {
				chosen, found = e, true
			}
		}
		if found {
			center[n] = chosen.b
			join(n, chosen)
		}
	}
	return stars, nil
}

// fixed tells that a record's node cannot join another: test sets and protected files.
func (c *corpus) fixed(r int32) bool { return c.entries[r].protected || c.entries[r].against }

// closer prefers the surer tier, then the higher score, then the smaller node.
func closer(a, b edge) bool {
	if a.tier != b.tier {
		return a.tier == TierMinHash
	}
	if a.score != b.score {
		return a.score > b.score
	}
	return a.b < b.b
}

// secondStep lists the centers two steps away from n, ascending, at most hops of them; none when n has a center.
func (m *matcher) secondStep(n int32, mine, near []edge, first, center []int32, found bool) []int32 {
	if found {
		return nil
	}
	direct := map[int32]bool{n: true}
	for _, e := range mine {
		direct[e.b] = true
	}
	var out []int32
	add := func(r int32) {
		if r >= 0 && center[r] == r && !direct[r] {
			direct[r] = true
			out = append(out, r)
		}
	}
	for _, e := range mine {
		add(center[e.b])
		for _, f := range near[first[e.b]:first[e.b+1]] {
			add(f.b)
		}
		if len(out) >= hops {
			break
		}
	}
	slices.Sort(out)
	return out[:min(len(out), hops)]
}
