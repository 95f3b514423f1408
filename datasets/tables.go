package datasets

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
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

// openArrowFile reads an Arrow IPC file: a stream between a magic number and a directory. We read the stream, which needs neither trust in
// the directory's offsets nor a file that can seek.
func openArrowFile(in *input) (Table, error) {
	const head, tail = 8, 10
	if in.unpack != nil {
		return nil, errors.New("an Arrow IPC file inside a gzip or zstd file: unpack it first")
	}
	var end [tail]byte
	if in.size < head+tail {
		return nil, errors.New("not a whole Arrow IPC file: it is too short")
	}
	if _, err := in.file.ReadAt(end[:], in.size-tail); err != nil {
		return nil, err
	}
	directory := int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != string(magicArrow) || directory > in.size-head-tail {
		return nil, errors.New("not a whole Arrow IPC file: its directory is missing")
	}
	if _, err := in.buf.Discard(head); err != nil {
		return nil, err
	}
	// Some writers leave out the mark at the end of the stream: the directory ends it too.
	return openStream(in, &messages{r: io.LimitReader(in.buf, in.size-head-tail-directory), bounded: true})
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
