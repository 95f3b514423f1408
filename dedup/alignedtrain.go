package dedup

import (
	"errors"
	"math"

	"plumb/internal/kernels"
)

// Labelled is two texts and whether they say the same.
type Labelled struct {
	A    string `json:"a"`
	B    string `json:"b"`
	Same bool   `json:"same"`
}

// ridge keeps the weights finite where a feature separates the classes.
const ridge = 1e-2

// TrainAligned fits the weights of an AlignedVerifier by Newton's method on the ridge-penalised log-likelihood, the mean
// over pairs plus ridge/2 |w|^2 / n. The result depends on the pairs and their order alone.
func TrainAligned(pairs []Labelled, trained string) (*AlignedVerifier, error) {
	same := 0
	for _, p := range pairs {
		if p.Same {
			same++
		}
	}
	if same == 0 || same == len(pairs) {
		return nil, errors.New("train-verifier: needs pairs that are the same and pairs that are not")
	}
	x := make([][alignCount]float64, len(pairs))
	kernels.Parallel((len(pairs)+63)/64, func(g int) {
		for i := g * 64; i < min((g+1)*64, len(pairs)); i++ {
			x[i] = alignFeatures(pairs[i].A, pairs[i].B)
		}
	})
	v := &AlignedVerifier{Weights: make([]float64, alignCount), Trained: trained}
	for range 50 {
		var g [alignCount]float64
		var h [alignCount][alignCount]float64
		for i := range x {
			p := sigmoid(v.logit(x[i]))
			d := p
			if pairs[i].Same {
				d--
			}
			for a := range alignCount {
				g[a] += d * x[i][a]
				for b := 0; b <= a; b++ {
					h[a][b] += p * (1 - p) * x[i][a] * x[i][b]
				}
			}
		}
		for a := range alignCount {
			g[a] += ridge * v.Weights[a]
			h[a][a] += ridge
			for b := range a {
				h[b][a] = h[a][b]
			}
		}
		step := solve(h, g)
		size := 0.0
		for a, s := range step {
			v.Weights[a] -= s
			size = math.Max(size, math.Abs(s))
		}
		if size < 1e-10 {
			break
		}
	}
	for a, w := range v.Weights { // six decimals: readable, and the same on machines that round differently
		v.Weights[a] = math.Round(w*1e6) / 1e6
	}
	return v, nil
}

// solve returns h^-1 g for a positive definite h, by Cholesky's factorisation.
func solve(h [alignCount][alignCount]float64, g [alignCount]float64) [alignCount]float64 {
	for j := range alignCount {
		for k := range j {
			h[j][j] -= h[j][k] * h[j][k]
		}
		h[j][j] = math.Sqrt(h[j][j])
		for i := j + 1; i < alignCount; i++ {
			for k := range j {
				h[i][j] -= h[i][k] * h[j][k]
			}
			h[i][j] /= h[j][j]
		}
	}
	for i := range alignCount {
		for k := range i {
			g[i] -= h[i][k] * g[k]
		}
		g[i] /= h[i][i]
	}
	for i := alignCount - 1; i >= 0; i-- {
		for k := i + 1; k < alignCount; k++ {
			g[i] -= h[k][i] * g[k]
		}
		g[i] /= h[i][i]
	}
	return g
}
