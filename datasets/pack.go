package datasets

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// memberRows is how many rows share one gzip member or zstd frame. Members one after another are one stream to every reader, and a
// conversion can go on after one. Their ends depend on row numbers alone. Neither format gets a time or more than one worker, so that
// equal records give equal bytes.
const memberRows = 1 << 16

// packer writes rows through a buffer and an optional compressor.
type packer struct {
	out  *bufio.Writer
	kind string
	pack io.WriteCloser
	buf  *bufio.Writer // before the compressor
	rows int
}

func newPacker(w io.Writer, compression string) *packer {
	return &packer{out: bufio.NewWriterSize(w, 1<<20), kind: compression}
}

// row writes one row.
func (p *packer) row(b []byte) error {
	if _, err := p.Write(b); err != nil {
		return err
	}
	p.rows++
	if p.kind != "" && p.rows%memberRows == 0 {
		return p.endMember()
	}
	return nil
}

// Write writes bytes that are no row: brackets, headers.
func (p *packer) Write(b []byte) (int, error) {
	if p.kind == "" {
		return p.out.Write(b)
	}
	if p.pack == nil {
		if p.kind == "gz" {
			p.pack = gzip.NewWriter(p.out)
		} else {
			z, err := zstd.NewWriter(p.out, zstd.WithEncoderConcurrency(1))
			if err != nil {
				return 0, err
			}
			p.pack = z
		}
		p.buf = bufio.NewWriterSize(p.pack, 1<<18)
	}
	return p.buf.Write(b)
}

func (p *packer) endMember() error {
	if p.pack == nil {
		return nil
	}
	if err := p.buf.Flush(); err != nil {
		return err
	}
	err := p.pack.Close()
	p.pack = nil
	return err
}

func (p *packer) settle() (bool, error) {
	if p.pack != nil {
		return false, nil
	}
	return true, p.out.Flush()
}

func (p *packer) finish() error {
	if p.kind != "" && p.rows == 0 && p.pack == nil {
		if _, err := p.Write(nil); err != nil { // an empty member: the file is a valid one
			return err
		}
	}
	if err := p.endMember(); err != nil {
		return err
	}
	return p.out.Flush()
}
