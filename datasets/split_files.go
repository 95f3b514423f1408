package datasets

import (
	"context"
	"fmt"
	"path/filepath"
)

// SplitReport is what came in, and how many records each part got.
type SplitReport struct {
	ConvertReport
	Parts []int64 `json:"parts"`
}

// SplitFiles deals files out to one file a part, without holding them: once over the input for fractions, twice for counts. It is a
// Convert with several outputs, which appear when all are whole; rejects and checkpoints lie beside SplitBase(outs).
func SplitFiles(ctx context.Context, ins, outs []string, opt ConvertOptions, split SplitOptions) (SplitReport, error) {
	s, err := NewSplitter(split)
	if err != nil {
		return SplitReport{}, err
	}
	if len(outs) != len(split.Parts) {
		return SplitReport{}, fmt.Errorf("%d output files for %d parts", len(outs), len(split.Parts))
	}
	c := newConversion(ins, outs, SplitBase(outs), opt)
	c.state.Options = fmt.Sprintf("%+v|%d|%s", split.Parts, split.Seed, split.By)
	c.route = func(r *Record) int {
		p := s.Part(r)
		r.Split = split.Parts[p].Name
		return p
	}
	if s.NeedsCounts() {
		first := opt.Read
		first.OnReject, first.OnUnused = func(Reject) {}, nil
		var records int64
		take := func(r *Record) error {
			records++
			s.Observe(r)
			return nil
		}
		if opt.OnProgress != nil {
			first.OnProgress = func(file string, done, size int64) { opt.OnProgress(Progress{file, done, size, records, 0}) }
		}
		if err := each(ctx, ins, first, take, nil); err != nil {
			return SplitReport{}, err
		}
	}
	err = c.do(ctx)
	rep := SplitReport{ConvertReport: *c.report}
	for _, o := range c.outs {
		if o.w != nil {
			rep.Parts = append(rep.Parts, o.w.n)
		}
	}
	return rep, err
}

// SplitBase is the path beside which the rejects and checkpoints of a split lie.
func SplitBase(outs []string) string { return filepath.Join(filepath.Dir(outs[0]), "split") }
