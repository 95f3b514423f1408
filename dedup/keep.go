package dedup

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"time"

	"plumb/datasets"
)

// keepRule ranks the records of a cluster by the policy; the caller breaks ties by input order.
type keepRule struct{ KeepConfig }

// rate sets e.rank and e.protected.
func (k keepRule) rate(e *entry, r *datasets.Record) error {
	for _, glob := range k.Protect {
		ok, err := matches(glob, r.Source.File)
		if err != nil {
			return fmt.Errorf("keep.protect: %q: %w", glob, err)
		}
		e.protected = e.protected || ok
	}
	switch k.Policy {
	case "longest":
		e.rank = float64(e.length)
	case "best":
		e.rank = math.Inf(-1)
		if s, ok := r.Meta[k.Field]; ok {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(v) {
				return fmt.Errorf("%s: row %d: Meta field %s is %q, expected a number", r.Source.File, r.Source.Row, k.Field, s)
			}
			e.rank = v
		} else if k.Field == "chosen_score" && r.ChosenScore != nil {
			e.rank = *r.ChosenScore
		}
	case "newest":
		e.rank = math.Inf(-1)
		if s, ok := r.Meta[k.Field]; ok {
			v, err := timeRank(s)
			if err != nil {
				return fmt.Errorf("%s: row %d: Meta field %s: %w", r.Source.File, r.Source.Row, k.Field, err)
			}
			e.rank = v
		}
	case "trusted":
		e.rank = -float64(len(k.Trusted))
		for i, glob := range k.Trusted {
			ok, err := matches(glob, r.Source.File)
			if err != nil {
				return fmt.Errorf("keep.trusted: %q: %w", glob, err)
			}
			if ok {
				e.rank = -float64(i)
				break
			}
		}
	}
	return nil
}

// matches compares a glob with a file's whole name and with its last element.
func matches(glob, file string) (bool, error) {
	ok, err := path.Match(glob, file)
	if err != nil || ok {
		return ok, err
	}
	return path.Match(glob, path.Base(file))
}

func timeRank(s string) (float64, error) {
	if v, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(v) {
		return v, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.UnixNano()) / 1e9, nil
		}
	}
	return 0, fmt.Errorf("%q is neither a number nor a time such as 2006-01-02T15:04:05Z", s)
}

// before reports whether record a stays rather than record b: test sets first, then protected files, then the policy,
// then input order.
func (c *corpus) before(a, b int32) bool {
	x, y := &c.entries[a], &c.entries[b]
	switch {
	case x.against != y.against:
		return x.against
	case x.protected != y.protected:
		return x.protected
	case x.rank != y.rank:
		return x.rank > y.rank
	}
	return a < b
}
