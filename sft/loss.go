package sft

// Loss returns the share of the given tokens in the mean negative log-likelihood of a step,
// -sum(logprobs)/labels, and the derivative with respect to each log-probability, which is the
// same for all. logprobs is (n); labels counts the tokens of the whole step, so that neither
// micro-batches nor accumulation change the loss.
func Loss(logprobs []float64, labels int) (loss, grad float64) {
	inv := 1 / float64(max(labels, 1))
	for _, lp := range logprobs {
		loss -= lp * inv
	}
	return loss, -inv
}
