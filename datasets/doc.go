// Package datasets owns preference data at rest: what a record is, every format it is read from and written to, its one Arrow
// schema, provenance, splits and inspection.
//
// It must not know models, tokenizers, cleaning rules or near-duplicates: where one of these is needed (counting tokens, grouping
// near-equal prompts) it is handed in as a function. It imports nothing of the project. Parquet is in datasets/parquet, because its
// reader brings 38 MB that only its users should pay for.
//
// Where things are, from bytes to records and back:
//
//	input.go, rows*.go, foreign.go   a file's compression, encoding and container; its rows as JSON, whatever they mean
//	fields.go, messages.go, meta.go  a row taken apart: fields, conversations, everything else
//	formats.go, format_*.go          what rows mean: one file a family of formats, with what it can hold
//	ranking.go, losses.go            rankings into pairs; what a conversion loses
//	open.go, reader.go, ids.go       the reader: detection, ids, provenance, rejects
//	record.go, arrow_*.go, tables.go the record, its Arrow schema, tables in and out
//	create.go, pack.go, reject.go    writers: whole files or none, compression in members, rejected rows
//	convert.go, resume.go, split*.go files to files, in one piece or in parts, and going on after a kill
//	inspect*.go, columns.go          what is in a file
//
// Two promises hold everywhere. No row is lost: every row read becomes at least one record, or one Reject that says where it stood
// and why it was refused, or is in no record. Nothing is held: readers and writers stream, and a set larger than memory costs no more than a small one.
package datasets
