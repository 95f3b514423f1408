package parquet

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// verify decodes every column of a row group once, here, before the library decodes it into Arrow arrays. It does that in goroutines of
// its own, where a panic over a broken page would end the process; here the panic is caught and becomes an error. It also holds that every
// column has as many rows as the group, which the library takes for granted.
func verify(r *file.Reader, group int) (err error) {
	defer guard(&err)
	g := r.RowGroup(group)
	for c := 0; c < g.NumColumns(); c++ {
		col, err := g.Column(c)
		if err != nil {
			return fmt.Errorf("broken Parquet file, row group %d: %w", group, err)
		}
		rows, err := countRows(col)
		if err != nil {
			return fmt.Errorf("broken Parquet file, row group %d, column %s: %w", group, col.Descriptor().Path(), err)
		}
		if rows != g.NumRows() {
			return fmt.Errorf("broken Parquet file, row group %d, column %s: %d rows, %d were expected", group, col.Descriptor().Path(), rows, g.NumRows())
		}
	}
	return nil
}

func countRows(col file.ColumnChunkReader) (int64, error) {
	switch c := col.(type) {
	case *file.BooleanColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.Int32ColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.Int64ColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.Int96ColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.Float32ColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.Float64ColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.ByteArrayColumnChunkReader:
		return drain(col, c.ReadBatch)
	case *file.FixedLenByteArrayColumnChunkReader:
		return drain(col, c.ReadBatch)
	}
	return 0, fmt.Errorf("unknown column type %T", col)
}

// drain reads a column to its end and counts its rows: the values that do not continue a list.
func drain[T bool | int32 | int64 | parquet.Int96 | float32 | float64 | parquet.ByteArray | parquet.FixedLenByteArray](
	col file.ColumnChunkReader, read func(n int64, values []T, def, rep []int16) (int64, int, error)) (int64, error) {
	const step = 4096
	values, def, rep := make([]T, step), make([]int16, step), make([]int16, step)
	maxDef, maxRep := col.Descriptor().MaxDefinitionLevel(), col.Descriptor().MaxRepetitionLevel()
	rows := int64(0)
	for col.HasNext() {
		n, _, err := read(step, values, def, rep)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		for i := int64(0); i < n; i++ {
			if maxDef > 0 && (def[i] < 0 || def[i] > maxDef) || maxRep > 0 && (rep[i] < 0 || rep[i] > maxRep) {
				return 0, fmt.Errorf("level out of range at value %d", i)
			}
			if maxRep == 0 || rep[i] == 0 {
				rows++
			}
		}
	}
	return rows, col.Err()
}
