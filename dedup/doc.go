// Package dedup finds and removes duplicates in preference data, and proves what it did.
//
// It owns the stages exact hash, MinHash, vectors and verifier, the clusters they make, the choice of what to keep, the
// ledger that restores every removed record, the leakage certificate against test sets and the calibration of
// thresholds. It must not know trainers, commands or where its models come from: encoders and cross-encoders arrive as
// the interfaces Embedder and Verifier, vector databases as Store.
//
// Three rules hold everywhere. A stage only proposes; the score a decision rests on is computed here, from the texts.
// A removed record was compared with the very record that is kept for it, so clusters never chain through unlike
// documents. And the bytes written depend on neither the number of threads nor the order in which work finished.
package dedup
