package train

import (
	"maps"
	"math"
	"slices"
	"strconv"
)

// window averages what is logged: means over the observations since the last entry, and gauges,
// of which the last value counts. What a step observes is pending until the step ends, so that a
// step that is given up leaves nothing behind.
type window struct {
	sums    map[string]float64
	counts  map[string]int
	gauges  map[string]float64
	pending []map[string]float64
	set     map[string]float64
}

func newWindow() *window {
	return &window{sums: map[string]float64{}, counts: map[string]int{}, gauges: map[string]float64{}, set: map[string]float64{}}
}

func (w *window) observe(fields map[string]float64) { w.pending = append(w.pending, fields) }

func (w *window) gauge(name string, v float64) { w.set[name] = v }

// commit takes over what is pending. Observations are added in their own order, each name by
// itself, so no sum depends on the order of a map.
func (w *window) commit() {
	for _, fields := range w.pending {
		for name, v := range fields {
			w.sums[name] += v
			w.counts[name]++
		}
	}
	maps.Copy(w.gauges, w.set)
	w.drop()
}

func (w *window) drop() {
	w.pending = nil
	clear(w.set)
}

// flush returns the entry to log and starts the next window.
func (w *window) flush() map[string]float64 {
	out := maps.Clone(w.gauges)
	for name, sum := range w.sums {
		out[name] = sum / float64(w.counts[name])
	}
	clear(w.sums)
	clear(w.counts)
	return out
}

// windowState is a window in a checkpoint. Floats are written in hexadecimal: exact, and JSON
// has no NaN.
type windowState struct {
	Sums   map[string]string `json:"sums"`
	Counts map[string]int    `json:"counts"`
	Gauges map[string]string `json:"gauges"`
}

func (w *window) state() windowState {
	return windowState{Sums: toHex(w.sums), Counts: maps.Clone(w.counts), Gauges: toHex(w.gauges)}
}

func (w *window) restore(s windowState) (err error) {
	if w.sums, err = fromHex(s.Sums); err != nil {
		return err
	}
	if w.gauges, err = fromHex(s.Gauges); err != nil {
		return err
	}
	w.counts = map[string]int{}
	maps.Copy(w.counts, s.Counts)
	return nil
}

func toHex(m map[string]float64) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = strconv.FormatFloat(v, 'x', -1, 64)
	}
	return out
}

func fromHex(m map[string]string) (map[string]float64, error) {
	out := make(map[string]float64, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v, err := strconv.ParseFloat(m[k], 64)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

// Finite tells whether no x is NaN or infinite.
func Finite(xs ...float64) bool {
	for _, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// Mean is the average of xs, 0 for none.
func Mean(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
