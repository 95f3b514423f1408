package dedup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"plumb/internal/run"
)

// CalibrateOptions say how much is sampled and what is wanted.
type CalibrateOptions struct {
	PerBin    int        // pairs drawn from each bin of scores; 0: 50
	Precision float64    // the lower end of precision's interval that a threshold has to reach; 0: 0.95
	Labels    []Labelled // people's judgements; they go before the verifier's
}

// The bins: from calibrateReach below the threshold up to 1, calibrateStep wide.
const (
	calibrateReach = 0.3
	calibrateStep  = 0.05
	wilsonZ        = 1.959964 // two-sided 95%
)

// Interval is an estimate with its 95% interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Wilson is the score interval of a share p seen in n trials (Wilson, "Probable inference", 1927); n may be an effective
// number. Without trials it is 0 to 1.
func Wilson(p, n float64) Interval {
	if n <= 0 {
		return Interval{p, 0, 1}
	}
	z2 := wilsonZ * wilsonZ
	mid := (p + z2/(2*n)) / (1 + z2/n)
	half := wilsonZ / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return Interval{p, max(0, mid-half), min(1, mid+half)}
}

// Calibration is the estimate for one stage.
type Calibration struct {
	Stage     string           `json:"stage"`
	Threshold float64          `json:"threshold"` // the one in force
	Use       float64          `json:"use"`       // the lowest that reaches the wanted precision
	Reached   bool             `json:"reached"`   // false: none does; Use is the one with the best lower end
	Judge     string           `json:"judge"`     // labels, verifier, or both
	Points    []CalibratePoint `json:"points"`
	Samples   []Sample         `json:"samples"`
}

// CalibratePoint estimates what a threshold would do. Recall is the share of the true pairs among those from the lowest
// bin on: pairs below it, and pairs that no stage proposes, are outside the estimate.
type CalibratePoint struct {
	Threshold float64  `json:"threshold"`
	Pairs     int      `json:"pairs"`  // at or above it
	Judged    int      `json:"judged"` // of those
	Precision Interval `json:"precision"`
	Recall    Interval `json:"recall"`
}

// Sample is a pair that was drawn.
type Sample struct {
	A     string  `json:"a"`
	B     string  `json:"b"`
	Score float64 `json:"score"`
	Same  *bool   `json:"same"` // nil: nobody has judged it
}

type bin struct {
	low     float64
	pairs   []edge
	judged  int
	same    int
	samples []Sample
}

// Calibrate samples pairs of the configured stages around their thresholds, has them judged by labels or the verifier,
// and estimates precision and recall for thresholds in steps of 0.05.
func Calibrate(ctx context.Context, cfg Config, in Source, t Tools, opt CalibrateOptions) ([]Calibration, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, run.Usage(err)
	}
	if opt.PerBin <= 0 {
		opt.PerBin = 50
	}
	if opt.Precision <= 0 {
		opt.Precision = 0.95
	}
	verifier, err := openVerifier(cfg.Verifier, &t)
	if err != nil {
		return nil, err
	}
	if verifier == nil && len(opt.Labels) == 0 {
		return nil, errors.New("calibrate: needs a verifier or a file of labels")
	}
	labels := map[[2]string]bool{}
	for _, l := range opt.Labels {
		labels[[2]string{min(l.A, l.B), max(l.A, l.B)}] = l.Same
	}
	wide := cfg
	wide.MinHash.Threshold = max(cfg.MinHash.Threshold-calibrateReach, calibrateStep)
	wide.Vectors.Threshold = max(cfg.Vectors.Threshold-calibrateReach, calibrateStep)
	wide.MinHash.Containment, wide.MinHash.FieldFloor, wide.MinHash.Bands = 0, 0, 0
	wide.Exact.Enabled = true
	wide.Verifier.Kind = "none" // the stages' own pairs, unconfirmed
	c := newCorpus(wide, wide.Key, newSpool(t.TempDir, spoolMemory))
	defer c.texts.close()
	p := t.progress("read", 0)
	err = c.scan(ctx, in, false, p.Add)
	p.Done()
	if err != nil {
		return nil, err
	}
	m := &matcher{c: c, cfg: wide, tools: &t}
	defer m.close()
	edges, err := m.edges(ctx, &Report{})
	if err != nil {
		return nil, err
	}
	var out []Calibration
	for _, stage := range []struct {
		tier      Tier
		on        bool
		threshold float64
		low       float64
	}{{TierMinHash, cfg.MinHash.Enabled, cfg.MinHash.Threshold, wide.MinHash.Threshold},
		{TierVectors, cfg.Vectors.Enabled, cfg.Vectors.Threshold, wide.Vectors.Threshold}} {
		if !stage.on {
			continue
		}
		bins := makeBins(edges, stage.tier, stage.low)
		cal := Calibration{Stage: string(stage.tier), Threshold: stage.threshold}
		var byLabel, byVerifier int
		for i := range bins {
			rng := run.Rand(cfg.Seed, "dedup calibrate "+cal.Stage, uint64(i))
			a, b, err := m.judgeBin(ctx, &bins[i], opt.PerBin, rng.Perm, labels, verifier, cfg.Verifier.Threshold)
			if err != nil {
				return nil, err
			}
			byLabel, byVerifier = byLabel+a, byVerifier+b
			cal.Samples = append(cal.Samples, bins[i].samples...)
		}
		switch {
		case byLabel > 0 && byVerifier > 0:
			cal.Judge = "labels and verifier"
		case byLabel > 0:
			cal.Judge = "labels"
		case byVerifier > 0:
			cal.Judge = "verifier"
		default:
			cal.Judge = "nobody"
		}
		cal.estimate(bins, opt.Precision)
		out = append(out, cal)
	}
	return out, nil
}

func makeBins(edges []edge, tier Tier, low float64) []bin {
	n := int(math.Ceil((1 - low) / calibrateStep * (1 - 1e-9)))
	bins := make([]bin, n)
	for i := range bins {
		bins[i].low = math.Round((low+float64(i)*calibrateStep)*1e6) / 1e6
	}
	for _, e := range edges {
		if e.tier == tier {
			i := min(max(int((e.score-low)/calibrateStep), 0), n-1)
			bins[i].pairs = append(bins[i].pairs, e)
		}
	}
	return bins
}

// judgeBin draws up to n pairs of a bin and judges them; a pair is the same when all its fields are.
func (m *matcher) judgeBin(ctx context.Context, b *bin, n int, perm func(int) []int, labels map[[2]string]bool, v Verifier, threshold float64) (byLabel, byVerifier int, err error) {
	order := perm(len(b.pairs))
	var ask []edge
	for _, i := range order[:min(n, len(order))] {
		ask = append(ask, b.pairs[i])
	}
	var worst []float64
	if v != nil {
		if worst, err = m.worstField(ctx, ask, m.cfg.Verifier.Batch, nil, func(p [][2]string) ([]float64, error) {
			s, err := v.Score(ctx, p)
			if err == nil && len(s) != len(p) {
				err = fmt.Errorf("the verifier gave %d scores for %d pairs", len(s), len(p))
			}
			return s, err
		}); err != nil {
			return 0, 0, err
		}
	}
	for i, e := range ask {
		x, err := m.c.text(int(e.a))
		if err != nil {
			return 0, 0, err
		}
		y, err := m.c.text(int(e.b))
		if err != nil {
			return 0, 0, err
		}
		s := Sample{A: m.c.key.joined(&x), B: m.c.key.joined(&y), Score: e.score}
		if same, ok := labels[[2]string{min(s.A, s.B), max(s.A, s.B)}]; ok {
			s.Same = &same
			byLabel++
		} else if v != nil {
			same := worst[i] >= threshold
			s.Same = &same
			byVerifier++
		}
		if s.Same != nil {
			b.judged++
			if *s.Same {
				b.same++
			}
		}
		b.samples = append(b.samples, s)
	}
	return byLabel, byVerifier, nil
}

// estimate weighs each bin's share of true pairs by its number of pairs. The intervals are Wilson's with the effective
// number of judgements (sum N)^2 / sum(N^2/n) (Kish, "Survey Sampling", 1965).
func (c *Calibration) estimate(bins []bin, want float64) {
	share := make([]float64, len(bins))
	all := 0.0 // true pairs, estimated
	for i, b := range bins {
		if b.judged > 0 {
			share[i] = float64(b.same) / float64(b.judged)
		}
		all += share[i] * float64(len(b.pairs))
	}
	effective := func(from int, weight func(int) float64) float64 {
		sum, squares := 0.0, 0.0
		for i := from; i < len(bins); i++ {
			if w := weight(i); w > 0 && bins[i].judged > 0 {
				sum += w
				squares += w * w / float64(bins[i].judged)
			}
		}
		if squares == 0 {
			return 0
		}
		return sum * sum / squares
	}
	pairs := func(i int) float64 { return float64(len(bins[i].pairs)) }
	trueEffective := effective(0, func(i int) float64 { return share[i] * pairs(i) })
	best := 0.0
	c.Use = c.Threshold
	for i := range bins {
		p := CalibratePoint{Threshold: bins[i].low}
		same, total := 0.0, 0.0
		for j := i; j < len(bins); j++ {
			p.Pairs += len(bins[j].pairs)
			p.Judged += bins[j].judged
			if bins[j].judged > 0 {
				same += share[j] * pairs(j)
				total += pairs(j)
			}
		}
		if total > 0 {
			p.Precision = Wilson(same/total, effective(i, pairs))
		} else {
			p.Precision = Interval{0, 0, 1}
		}
		p.Recall = Interval{0, 0, 1}
		if all > 0 {
			p.Recall = Wilson(same/all, trueEffective)
		}
		c.Points = append(c.Points, p)
		if p.Judged == 0 || c.Reached {
			continue
		}
		if p.Precision.Low >= want {
			c.Use, c.Reached = p.Threshold, true
		} else if p.Precision.Low > best {
			best, c.Use = p.Precision.Low, p.Threshold
		}
	}
}

// ReadLabels reads judged pairs, one JSON object {"a":..., "b":..., "same": true} a line, as Calibration's samples are
// written; pairs without a judgement are skipped.
func ReadLabels(r io.Reader) ([]Labelled, error) {
	d := json.NewDecoder(r)
	var out []Labelled
	for line := 1; ; line++ {
		var s Sample
		err := d.Decode(&s)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("labels: object %d: %w", line, err)
		}
		if s.A == "" && s.B == "" {
			return nil, fmt.Errorf(`labels: object %d: expected {"a": text, "b": text, "same": true or false}`, line)
		}
		if s.Same != nil {
			out = append(out, Labelled{s.A, s.B, *s.Same})
		}
	}
}

// WriteSamples writes the drawn pairs for people to judge; ReadLabels reads them back.
func WriteSamples(w io.Writer, list []Calibration) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, c := range list {
		for _, s := range slices.Clone(c.Samples) {
			if err := e.Encode(s); err != nil {
				return err
			}
		}
	}
	return nil
}
