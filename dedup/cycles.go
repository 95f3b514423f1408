package dedup

import (
	"maps"
	"slices"
)

// cycles treats answers that beat each other in a circle: the strongly connected parts of three answers or more. Majority
// keeps a label when its winner has the larger difference of votes won and lost within the part, which leaves no circle.
func (j *judgement) cycles(prompt string, list []preferred, n int, policy string) {
	if len(list) < 3 {
		return
	}
	next := make([][]int, n)
	for _, p := range list {
		next[p.win] = append(next[p.win], p.lose)
	}
	part := components(next)
	size := map[int]int{}
	for _, p := range part {
		size[p]++
	}
	inside := map[int][]preferred{}
	net := make([]int, n)
	for _, p := range list {
		if k := part[p.win]; k == part[p.lose] && size[k] >= 3 {
			inside[k] = append(inside[k], p)
			net[p.win] += p.votes
			net[p.lose] -= p.votes
		}
	}
	for _, k := range slices.Sorted(maps.Keys(inside)) {
		j.report.Cycles++
		j.finding("cycle", prompt, inside[k])
		for _, p := range inside[k] {
			j.drop(policy == "drop" || policy == "majority" && net[p.win] <= net[p.lose], "cycle", p)
		}
	}
}

// components numbers the strongly connected parts of a directed graph (Tarjan, "Depth-first search and linear graph
// algorithms", 1972), without recursion.
func components(next [][]int) []int {
	n := len(next)
	index, low, part, at := make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i := range part {
		part[i] = -1
	}
	var stack, path []int
	clock, parts := 0, 0
	for root := range n {
		if index[root] > 0 {
			continue
		}
		path = append(path, root)
		for len(path) > 0 {
			v := path[len(path)-1]
			if index[v] == 0 {
				clock++
				index[v], low[v] = clock, clock
				stack = append(stack, v)
			}
			if at[v] < len(next[v]) {
				w := next[v][at[v]]
				at[v]++
				if index[w] == 0 {
					path = append(path, w)
				} else if part[w] < 0 {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				low[path[len(path)-1]] = min(low[path[len(path)-1]], low[v])
			}
			if low[v] == index[v] {
				for {
					w := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					part[w] = parts
					if w == v {
						break
					}
				}
				parts++
			}
		}
	}
	return part
}
