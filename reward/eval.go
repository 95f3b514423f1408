package reward

import (
	"math"

	"plumb/internal/train"
)

// Report is what a reward model achieves on held-out pairs.
type Report struct {
	Pairs    int     `json:"pairs"`
	Correct  int     `json:"correct"` // chosen strictly above rejected
	Accuracy float64 `json:"accuracy"`
	Low      float64 `json:"accuracy_low"`  // Wilson's 95% interval
	High     float64 `json:"accuracy_high"` // of the accuracy
	Loss     float64 `json:"loss"`
	Margin   float64 `json:"margin"` // mean of r_c - r_r
	MarginSD float64 `json:"margin_sd"`
	Min      float64 `json:"min_reward"`
	Mean     float64 `json:"mean_reward"`
	Max      float64 `json:"max_reward"`
	// Calibration compares the confidence s(|r_c - r_r|) with how often it is right.
	Calibration []Bin   `json:"calibration"`
	ECE         float64 `json:"ece"` // expected calibration error: mean of |confidence - accuracy|, weighted by pairs

	Dropped map[string]int `json:"dropped,omitempty"` // reason -> records not scored
}

// Bin is the pairs whose confidence lies in [Low, High).
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Pairs      int     `json:"pairs"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

// calibrationBins cut the confidences, which lie in [1/2, 1].
const calibrationBins = 10

// NewReport summarises the rewards (P) of chosen and rejected sides. margin is (P) or nil.
func NewReport(chosen, rejected, margin []float64, center float64) Report {
	n := len(chosen)
	loss, _, _ := Loss(chosen, rejected, margin, center, n)
	m := Metrics(chosen, rejected)
	r := Report{
		Pairs: n, Accuracy: m["accuracy"], Loss: loss, Margin: m["margin"],
		Min: m["min_reward"], Mean: m["mean_reward"], Max: m["max_reward"],
		Calibration: make([]Bin, calibrationBins),
	}
	squares := 0.0
	right := make([]int, calibrationBins)
	for i, c := range chosen {
		d := c - rejected[i]
		squares += (d - r.Margin) * (d - r.Margin)
		p := train.Sigmoid(math.Abs(d))
		k := min(int((p-0.5)*2*calibrationBins), calibrationBins-1)
		r.Calibration[k].Pairs++
		r.Calibration[k].Confidence += p
		if d > 0 {
			r.Correct++
			right[k]++
		}
	}
	if n > 1 {
		r.MarginSD = math.Sqrt(squares / float64(n-1))
	}
	for k := range r.Calibration {
		b := &r.Calibration[k]
		b.Low, b.High = 0.5+0.5*float64(k)/calibrationBins, 0.5+0.5*float64(k+1)/calibrationBins
		if b.Pairs > 0 {
			b.Confidence /= float64(b.Pairs)
			b.Accuracy = float64(right[k]) / float64(b.Pairs)
			r.ECE += math.Abs(b.Confidence-b.Accuracy) * float64(b.Pairs) / float64(n)
		}
	}
	r.Low, r.High = Wilson(r.Correct, n)
	return r
}

// Metrics returns the report under TRL's names, for a log with the prefix eval_.
func (r Report) Metrics() map[string]float64 {
	return map[string]float64{
		"loss": r.Loss, "accuracy": r.Accuracy, "accuracy_low": r.Low, "accuracy_high": r.High, "margin": r.Margin,
		"min_reward": r.Min, "mean_reward": r.Mean, "max_reward": r.Max, "ece": r.ECE, "pairs": float64(r.Pairs),
	}
}

// Wilson returns the 95% score interval of a proportion of successes in n trials. Wilson 1927.
func Wilson(successes, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	p, m := float64(successes)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (mid-half)/(1+z*z/m)), min(1, (mid+half)/(1+z*z/m))
}
