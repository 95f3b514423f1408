package batch

import (
	"slices"
	"testing"
)

func TestPair(t *testing.T) {
	var tr Tree
	p := tr.Add(-1, []int32{10, 11, 12}, 7)
	c, ct := tr.AddCompletion(p, []int32{20, 21, 22}, 7)
	r, rt := tr.AddCompletion(p, []int32{30}, 7)
	if got, want := tr.Tokens, []int32{10, 11, 12, 20, 21}; !slices.Equal(got, want) {
		t.Fatalf("tokens %v, want %v", got, want)
	}
	if got, want := tr.Pos, []int32{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Fatalf("positions %v, want %v", got, want)
	}
	if got, want := ct, []Target{{2, 20}, {3, 21}, {4, 22}}; !slices.Equal(got, want) {
		t.Fatalf("chosen targets %v, want %v", got, want)
	}
	if got, want := rt, []Target{{2, 30}}; !slices.Equal(got, want) {
		t.Fatalf("rejected targets %v, want %v", got, want)
	}
	if tr.Last(c) != 4 || tr.Last(r) != 2 || tr.Segs[r].Len != 0 || tr.Root(r) != p {
		t.Fatalf("last rows %d %d, root %d", tr.Last(c), tr.Last(r), tr.Root(r))
	}
	q := tr.Add(-1, []int32{1}, 8)
	if tr.Pos[tr.Segs[q].Start] != 0 {
		t.Fatal("a second root must start at position 0")
	}
	d := tr.Add(r, []int32{5}, 9)
	if tr.Segs[d].Pos != 3 {
		t.Fatalf("a child of an empty segment starts at %d, want 3", tr.Segs[d].Pos)
	}
}

func TestCommonPrefix(t *testing.T) {
	for _, c := range []struct {
		runs [][]int32
		want int
	}{
		{nil, 0},
		{[][]int32{{1, 2, 3}}, 3},
		{[][]int32{{1, 2, 3}, {1, 2}}, 2},
		{[][]int32{{1, 2, 3}, {1, 2, 4}, {1, 5}}, 1},
		{[][]int32{{1}, {2}}, 0},
	} {
		if got := CommonPrefix(c.runs...); got != c.want {
			t.Errorf("%v: %d, want %d", c.runs, got, c.want)
		}
	}
}
