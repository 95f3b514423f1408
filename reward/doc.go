// Package reward trains a pairwise reward model: a LoRA adapter and a score head on the shared
// base, by the Bradley-Terry loss, and scores text with it.
//
// It talks to other stages in text, with its own tokenizer: it must not know which policy its
// scores will train, nor the gold reward of synthetic data.
package reward
