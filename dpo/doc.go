// Package dpo aligns a policy adapter with preference pairs directly: DPO and its relatives. The
// reference is a frozen adapter value, or the bare base; its log-probabilities are computed once
// a pair and kept.
//
// It must not know the reward model or the gold reward.
package dpo
