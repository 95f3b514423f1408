package dedup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// spoolMemory is how much of a spool stays in memory; the rest goes to a temporary file, so that a set larger than memory
// costs no more than this.
const spoolMemory = 64 << 20

// spool is a list of byte strings: appended once, then read by position, by any number of goroutines.
type spool struct {
	memory int
	dir    string
	path   string // of a file that is kept; "": a temporary one in dir
	mem    []byte
	ends   []int64
	file   *os.File
	buf    *bufio.Writer
}

// newSpool prepares a spool whose overflow goes to a file in dir ("" is the system's temporary folder).
func newSpool(dir string, memory int) *spool { return &spool{dir: dir, memory: memory} }

func (s *spool) size() int64 {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

func (s *spool) add(b []byte) error {
	end := s.size() + int64(len(b))
	if s.file == nil && end <= int64(s.memory) {
		s.mem = append(s.mem, b...)
		s.ends = append(s.ends, end)
		return nil
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	if _, err := s.buf.Write(b); err != nil {
		return fmt.Errorf("temporary file %s: %w", s.file.Name(), err)
	}
	s.ends = append(s.ends, end)
	return nil
}

func (s *spool) create() (err error) {
	if s.path == "" {
		s.file, err = os.CreateTemp(s.dir, ".plumb-spool-*")
	} else {
		s.file, err = os.Create(s.path)
	}
	if err == nil {
		s.buf = bufio.NewWriterSize(s.file, 1<<20)
	}
	return err
}

// reopen takes up the file that an earlier run has kept, with its ends, and reports whether it is as long as they say.
func (s *spool) reopen(ends []int64) (bool, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.ends = ends
	if info, err := f.Stat(); err != nil || info.Size() != s.size() {
		s.ends = nil
		return false, errors.Join(err, f.Close())
	}
	s.file = f
	return true, nil
}

// sync makes everything added readable, and a file that is kept outlive the machine.
func (s *spool) sync() error {
	if s.buf == nil {
		return nil
	}
	if err := s.buf.Flush(); err != nil {
		return err
	}
	if s.path != "" {
		return s.file.Sync()
	}
	return nil
}

// get returns string i, in scratch when it has to be read from the file. The result must not be written to.
func (s *spool) get(i int, scratch []byte) ([]byte, error) {
	start := int64(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	n := int(s.ends[i] - start)
	if held := int64(len(s.mem)); start+int64(n) <= held {
		return s.mem[start : start+int64(n) : start+int64(n)], nil
	}
	if cap(scratch) < n {
		scratch = make([]byte, n)
	}
	scratch = scratch[:n]
	if _, err := s.file.ReadAt(scratch, start-int64(len(s.mem))); err != nil && err != io.EOF {
		return nil, fmt.Errorf("temporary file %s: %w", s.file.Name(), err)
	}
	return scratch, nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	name := s.file.Name()
	err := s.file.Close()
	if s.path == "" {
		err = errors.Join(err, os.Remove(name))
	}
	s.file = nil
	return err
}

// encodeTexts and decodeTexts are the form of a record's texts in a spool.
func encodeTexts(dst []byte, t *texts) []byte {
	for _, s := range t {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func decodeTexts(b []byte) (t texts) {
	for i := range t {
		n, size := binary.Uvarint(b)
		b = b[size:]
		t[i] = string(b[:n])
		b = b[n:]
	}
	return t
}

func encodeVector(dst []byte, v []float32) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}

func decodeVector(dst []float32, b []byte) []float32 {
	dst = dst[:0]
	for ; len(b) >= 4; b = b[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return dst
}
