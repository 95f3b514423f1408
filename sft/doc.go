// Package sft trains a language model on demonstrations: a LoRA adapter on a frozen base, all of
// a model's weights, or a new model from scratch. The last two write a model folder, which is an
// immutable base from then on.
//
// It must not know preferences or rewards.
package sft
