package encode

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"plumb/datasets"
)

// Set is what became of a list of records: the encoded ones in order, the index of the record
// that each came from, and why the others were dropped.
type Set[T any] struct {
	Items   []T
	Records []int
	Dropped map[string]int // reason -> how many
}

// All encodes records with f, on all processors; the result does not depend on how many there are. An
// error other than Dropped ends it and names the record's file and row. A set in which nothing is
// left is an error that tells the reasons.
func All[T any](recs []datasets.Record, f func(*datasets.Record) (T, error)) (Set[T], error) {
	set := Set[T]{Dropped: map[string]int{}}
	if len(recs) == 0 {
		return set, errors.New("the data set is empty")
	}
	items := make([]T, len(recs))
	errs := make([]error, len(recs))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(recs)) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(recs) {
					return
				}
				items[i], errs[i] = f(&recs[i])
			}
		})
	}
	wait.Wait()
	for i, err := range errs {
		var d *Dropped
		switch {
		case err == nil:
			set.Items = append(set.Items, items[i])
			set.Records = append(set.Records, i)
		case errors.As(err, &d):
			set.Dropped[d.Reason]++
		default:
			return set, fmt.Errorf("%s: %w", where(&recs[i], i), err)
		}
	}
	if len(set.Items) == 0 {
		return set, fmt.Errorf("none of the %d records can be used: %s", len(recs), set.Report())
	}
	return set, nil
}

func where(rec *datasets.Record, i int) string {
	if rec.Source.File == "" {
		return fmt.Sprintf("record %d", i+1)
	}
	return fmt.Sprintf("%s: row %d", rec.Source.File, rec.Source.Row)
}

// Report tells how many records were dropped and why, "" when none was.
func (s Set[T]) Report() string { return Reasons(s.Dropped) }

// Reasons says how many records were dropped for each reason, "" for none.
func Reasons(dropped map[string]int) string {
	var parts []string
	for reason, n := range dropped {
		parts = append(parts, fmt.Sprintf("%d dropped: %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
