package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
)

// ParquetFormat is how this package reaches Parquet without importing it.
type ParquetFormat struct {
	Open   func(f *os.File) (Table, error)        // closes f with the table
	Create func(w io.Writer) (BatchWriter, error) // writes tables of Schema(); does not close w
}

var parquetFormat ParquetFormat

// RegisterParquet is called by package datasets/parquet when it is linked in.
func RegisterParquet(p ParquetFormat) { parquetFormat = p }

var errNoParquet = errors.New("this program was built without Parquet: import plumb/datasets/parquet")

// openParquet opens a Parquet file; it cannot be inside a compressed one, because its directory is at its end.
func openParquet(in *input) (Table, error) {
	if in.unpack != nil {
		return nil, errors.New("a Parquet file inside a gzip or zstd file: unpack it first")
	}
	if parquetFormat.Open == nil {
		return nil, errNoParquet
	}
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return parquetFormat.Open(in.file)
}

// fileTable reads an Arrow IPC file.
type fileTable struct {
	in *input
	r  *ipc.FileReader
	at int
}

func openArrowFile(in *input) (t Table, err error) {
	defer recoverArrow(&err)
	if in.unpack != nil {
		return nil, errors.New("an Arrow IPC file inside a gzip or zstd file: unpack it first")
	}
	r, err := ipc.NewFileReader(in.file)
	if err != nil {
		return nil, fmt.Errorf("not a whole Arrow IPC file: %w", err)
	}
	return &fileTable{in: in, r: r}, nil
}

func (t *fileTable) Schema() *arrow.Schema { return t.r.Schema() }

func (t *fileTable) Next() (rec arrow.Record, err error) {
	defer recoverArrow(&err)
	if t.at >= t.r.NumRecords() {
		return nil, io.EOF
	}
	rec, err = t.r.Record(t.at)
	if err != nil {
		return nil, fmt.Errorf("broken Arrow IPC file, batch %d: %w", t.at, err)
	}
	t.at++
	return rec, nil
}

func (t *fileTable) Close() error {
	t.r.Close()
	return t.in.Close()
}

// seekBuffer buffers writes for a writer that asks where it stands but never goes back.
type seekBuffer struct {
	*bufio.Writer
	n int64
}

func (s *seekBuffer) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	s.n += int64(n)
	return n, err
}

func (s *seekBuffer) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekCurrent || offset == s.n && whence == io.SeekStart {
		return s.n, nil
	}
	return 0, errors.New("cannot seek while writing")
}
