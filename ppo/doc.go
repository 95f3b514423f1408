// Package ppo aligns a policy adapter with a reward by proximal policy optimisation. Policy,
// reference and critic are adapters over one base.
//
// A reward is anything that scores text (Scorer); the package must not know which. It never sees
// token ids of another model.
package ppo
