// Package datasets owns preference data at rest: what a record is, every format it is read from and written to, its one Arrow
// schema, provenance, splits and inspection.
//
// It must not know models, tokenizers, cleaning rules or near-duplicates: where one of these is needed (counting tokens, grouping
// near-equal prompts) it is handed in as a function. It imports nothing of the project. Parquet is in datasets/parquet, because its
// reader brings 38 MB that only its users should pay for.
//
// Two promises hold everywhere. No row is lost: every row read becomes at least one record, or one Reject that says where it stood
// and why it was refused. Nothing is held: readers and writers stream, and a set larger than memory costs no more than a small one.
package datasets
