// Package train owns what every trainer shares and none should write twice: the options, AdamW,
// gradient clipping, learning-rate schedules, the order of examples, the averages that are
// logged, checkpoints and resuming from them.
//
// It must not know what is trained: no model, no adapter, no record, no loss. A trainer computes
// gradients into spago parameters; this package does the rest of a step.
package train
