package datasets

import (
	"fmt"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
)

// SchemaKey is the key of the Arrow schema's metadata under which the version of the schema stands.
const SchemaKey = "plumb.schema"

// SchemaVersion is the version that is written. Readers take every version up to it; a later one may hold what would be lost here, and is
// an error.
const SchemaVersion = 1

var (
	messageType = arrow.StructOf(
		arrow.Field{Name: "role", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "content", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "tool_call_id", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "tool_calls", Type: arrow.BinaryTypes.String, Nullable: true},
	)
	sourceType = arrow.StructOf(
		arrow.Field{Name: "file", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "row", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		arrow.Field{Name: "hash", Type: arrow.BinaryTypes.String, Nullable: true},
	)
	metaType = arrow.StructOf(
		arrow.Field{Name: "key", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "value", Type: arrow.BinaryTypes.String, Nullable: true},
	)
)

// Columns of the schema, in order.
const (
	colID = iota
	colTools
	colPrompt
	colChosen
	colRejected
	colMargin
	colChosenScore
	colRejectedScore
	colLabel
	colSplit
	colSource
	colCopies
	colMeta
)

// Schema is the one Arrow schema of preference, instruction, unpaired and prompt-only records. Every column is nullable, as Hugging
// Face datasets and pandas expect; a kind of record leaves the columns it has no use for null.
func Schema() *arrow.Schema {
	meta := arrow.NewMetadata([]string{SchemaKey}, []string{strconv.Itoa(SchemaVersion)})
	return arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "tools", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "prompt", Type: arrow.ListOf(messageType), Nullable: true},
		{Name: "chosen", Type: arrow.ListOf(messageType), Nullable: true},
		{Name: "rejected", Type: arrow.ListOf(messageType), Nullable: true},
		{Name: "margin", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "chosen_score", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "rejected_score", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "label", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		{Name: "split", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "source", Type: sourceType, Nullable: true},
		{Name: "copies", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "meta", Type: arrow.ListOf(metaType), Nullable: true},
	}, &meta)
}

// schemaVersion tells whether a schema is ours: 0 when it is not. A schema with our key but other columns is an error.
func schemaVersion(s *arrow.Schema) (int, error) {
	i := s.Metadata().FindKey(SchemaKey)
	if i < 0 {
		return 0, nil
	}
	v, err := strconv.Atoi(s.Metadata().Values()[i])
	if err != nil || v < 1 {
		return 0, fmt.Errorf("metadata %s is %q: a version number was expected", SchemaKey, s.Metadata().Values()[i])
	}
	if v > SchemaVersion {
		return 0, fmt.Errorf("schema version %d is newer than this program's %d: update plumb", v, SchemaVersion)
	}
	want := Schema()
	for _, f := range want.Fields() {
		at := s.FieldIndices(f.Name)
		if len(at) != 1 || !sameType(s.Field(at[0]).Type, f.Type) {
			return 0, nil // rewritten by someone who kept the metadata: read it as a foreign table
		}
	}
	return v, nil
}

// sameType compares types without the names of list children, which writers choose freely.
func sameType(a, b arrow.DataType) bool {
	if la, ok := a.(*arrow.ListType); ok {
		lb, ok := b.(*arrow.ListType)
		return ok && sameType(la.Elem(), lb.Elem())
	}
	if sa, ok := a.(*arrow.StructType); ok {
		sb, ok := b.(*arrow.StructType)
		if !ok || sa.NumFields() != sb.NumFields() {
			return false
		}
		for i := range sa.Fields() {
			if sa.Field(i).Name != sb.Field(i).Name || !sameType(sa.Field(i).Type, sb.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return arrow.TypeEqual(a, b)
}
