// Package tokenizer turns text into token ids and back, and conversations into text.
//
// It owns the reading of Hugging Face tokenizer.json folders and of the vocabulary in GGUF metadata,
// the whole pipeline (added tokens, normalizer, pre-tokenizer, model, post-processor, decoder), chat templates,
// and the writing of a folder that transformers loads with equal ids. It imports nothing of the project: it must not
// know models, batches or records.
//
// Every Tokenizer is immutable after construction and safe for concurrent use.
package tokenizer
