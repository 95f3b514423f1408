package parquet

import (
	"io"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/pierrec/lz4/v4"
)

// lz4Raw is the LZ4_RAW codec of the format (number 7 in parquet.thrift), which the library leaves out: LZ4 blocks without a frame. It is
// only read.
type lz4Raw struct{}

func init() { compress.RegisterCodec(compress.Compression(7), lz4Raw{}) }

// Decode unpacks a page into dst, which has its size. Like the library's own codecs it panics over a broken one; verify catches that.
func (lz4Raw) Decode(dst, src []byte) []byte {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		panic(err)
	}
	return dst[:n]
}

// NewReader is not used for pages.
func (lz4Raw) NewReader(r io.Reader) io.ReadCloser { return io.NopCloser(lz4.NewReader(r)) }

// NewWriter and the rest would write; nothing here does.
func (lz4Raw) NewWriter(io.Writer) io.WriteCloser                    { panic("lz4 is only read") }
func (lz4Raw) NewWriterLevel(io.Writer, int) (io.WriteCloser, error) { panic("lz4 is only read") }
func (lz4Raw) Encode(_, _ []byte) []byte                             { panic("lz4 is only read") }
func (lz4Raw) EncodeLevel(_, _ []byte, _ int) []byte                 { panic("lz4 is only read") }
func (lz4Raw) CompressBound(int64) int64                             { panic("lz4 is only read") }
