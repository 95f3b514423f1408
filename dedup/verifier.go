package dedup

import "context"

// A Verifier says how probable it is that two texts say the same. Scores lie in [0, 1] and do not depend on the other
// pairs of a call. A cross-encoder is one; Aligned is the one that needs no model.
type Verifier interface {
	Score(ctx context.Context, pairs [][2]string) ([]float64, error)
}
