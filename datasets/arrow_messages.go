package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// messages reads the messages of an Arrow IPC stream for ipc.Reader. The library's own reader trusts every length it finds and would
// allocate what a broken or hostile file says; here a length is believed only as far as bytes for it exist. Other faults make the library
// panic, which recoverArrow catches.
//
// Message layout and field numbers: https://arrow.apache.org/docs/format/Columnar.html and its Message.fbs, Schema.fbs.
type messages struct {
	r       io.Reader
	bounded bool // the end of r is known to be the end of the stream
	msg     *ipc.Message
}

const (
	maxMetadata = 64 << 20
	maxBatch    = 4 << 30
	maxUnpacked = 1 << 30 // one compressed buffer
)

func (m *messages) Retain() {}

func (m *messages) Release() {
	if m.msg != nil {
		m.msg.Release()
		m.msg = nil
	}
}

// Message reads the next message; io.EOF only where the stream says that it ends.
func (m *messages) Message() (*ipc.Message, error) {
	var word [4]byte
	read := func() (uint32, error) {
		if _, err := io.ReadFull(m.r, word[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, errors.New("the stream is cut off: its end mark is missing")
			}
			return 0, err
		}
		return binary.LittleEndian.Uint32(word[:]), nil
	}
	if m.bounded {
		var first [1]byte
		if _, err := io.ReadFull(m.r, first[:]); err != nil {
			return nil, err // io.EOF between two messages
		}
		whole := m.r
		m.r = io.MultiReader(bytes.NewReader(first[:]), whole)
		defer func() { m.r = whole }()
	}
	n, err := read()
	if err != nil {
		return nil, err
	}
	if n == 0xffffffff { // before Arrow 0.15 the length came without this mark
		if n, err = read(); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, io.EOF
	}
	if n > maxMetadata {
		return nil, fmt.Errorf("metadata of %d bytes: at most %d was expected", n, maxMetadata)
	}
	meta, err := readExactly(m.r, int64(n))
	if err != nil {
		return nil, err
	}
	size, err := checkMessage(meta)
	if err != nil {
		return nil, err
	}
	body, err := readExactly(m.r, size)
	if err != nil {
		return nil, err
	}
	if err := checkCompressed(meta, body); err != nil {
		return nil, err
	}
	m.Release()
	m.msg = ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body))
	return m.msg, nil
}

// readExactly takes n bytes; memory grows only as they arrive.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	if n <= 1<<20 {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("the stream is cut off: %w", err)
		}
		return b, nil
	}
	var b bytes.Buffer
	b.Grow(int(min(n, 32<<20)))
	got, err := io.CopyN(&b, r, n)
	if err != nil {
		return nil, fmt.Errorf("the stream is cut off after %d of %d bytes: %w", got, n, err)
	}
	return b.Bytes(), nil
}

// fb is a place in a flatbuffer. Every read is checked.
type fb struct {
	b  []byte
	at int
}

var errFlatbuffer = errors.New("broken metadata: an offset leaves its message")

func (f fb) u32(at int) (int, error) {
	if at < 0 || at+4 > len(f.b) {
		return 0, errFlatbuffer
	}
	return int(binary.LittleEndian.Uint32(f.b[at:])), nil
}

func (f fb) i64(at int) (int64, error) {
	if at < 0 || at+8 > len(f.b) {
		return 0, errFlatbuffer
	}
	return int64(binary.LittleEndian.Uint64(f.b[at:])), nil
}

// follow goes where the offset at a place points.
func (f fb) follow(at int) (fb, error) {
	o, err := f.u32(at)
	if err != nil || at+o+4 > len(f.b) {
		return f, errFlatbuffer
	}
	return fb{f.b, at + o}, nil
}

// field gives the place of field number k of a table, 0 when it is absent.
func (f fb) field(k int) (int, error) {
	back, err := f.u32(f.at)
	if err != nil {
		return 0, err
	}
	table := f.at - int(int32(back))
	if table < 0 || table+4 > len(f.b) {
		return 0, errFlatbuffer
	}
	size := int(binary.LittleEndian.Uint16(f.b[table:]))
	slot := 4 + 2*k
	if slot+2 > size {
		return 0, nil
	}
	if table+slot+2 > len(f.b) {
		return 0, errFlatbuffer
	}
	o := int(binary.LittleEndian.Uint16(f.b[table+slot:]))
	if o == 0 {
		return 0, nil
	}
	if f.at+o >= len(f.b) {
		return 0, errFlatbuffer
	}
	return f.at + o, nil
}

// vector gives the place of the first element and the length of a vector field whose elements have the given size.
func (f fb) vector(k, size int) (first, n int, err error) {
	at, err := f.field(k)
	if err != nil || at == 0 {
		return 0, 0, err
	}
	v, err := f.follow(at)
	if err != nil {
		return 0, 0, err
	}
	if n, err = v.u32(v.at); err != nil {
		return 0, 0, err
	}
	if n > (len(f.b)-v.at-4)/size {
		return 0, 0, fmt.Errorf("broken metadata: a list of %d elements in %d bytes", n, len(f.b))
	}
	return v.at + 4, n, nil
}

// Numbers of fields in Message.fbs and Schema.fbs.
const (
	messageHeaderType, messageHeader, messageBody = 1, 2, 3
	schemaFields, schemaMeta                      = 1, 2
	fieldChildren, fieldMeta                      = 5, 6
	batchBuffers, batchCompression                = 2, 3
	dictionaryData                                = 1
	headerSchema, headerDictionary, headerBatch   = 1, 2, 3
)

// header opens a message: its kind and its inner table.
func header(meta []byte) (kind byte, msg, inner fb, err error) {
	if msg, err = (fb{meta, 0}).follow(0); err != nil {
		return 0, msg, inner, err
	}
	at, err := msg.field(messageHeaderType)
	if err != nil || at == 0 {
		return 0, msg, inner, errFlatbuffer
	}
	kind = meta[at]
	if at, err = msg.field(messageHeader); err != nil || at == 0 {
		return 0, msg, inner, errFlatbuffer
	}
	inner, err = msg.follow(at)
	return kind, msg, inner, err
}

// checkMessage holds the counts of a message against its size and gives the length of its body.
func checkMessage(meta []byte) (body int64, err error) {
	kind, msg, inner, err := header(meta)
	if err != nil {
		return 0, err
	}
	at, err := msg.field(messageBody)
	if err != nil {
		return 0, err
	}
	if at != 0 {
		if body, err = msg.i64(at); err != nil {
			return 0, err
		}
	}
	if body < 0 || body > maxBatch {
		return 0, fmt.Errorf("a batch of %d bytes: at most %d was expected", body, int64(maxBatch))
	}
	if kind != headerSchema {
		return body, nil
	}
	budget := len(meta)
	if _, _, err := inner.vector(schemaMeta, 4); err != nil {
		return 0, err
	}
	return body, checkFields(inner, schemaFields, 0, &budget)
}

// checkFields walks the fields of a schema. The budget ends a schema that points back into itself.
func checkFields(table fb, k, depth int, budget *int) error {
	first, n, err := table.vector(k, 4)
	if err != nil {
		return err
	}
	if *budget -= n; *budget < 0 || depth > 64 {
		return errors.New("broken metadata: fields nest in themselves")
	}
	for i := 0; i < n; i++ {
		f, err := table.follow(first + 4*i)
		if err != nil {
			return err
		}
		if _, _, err := f.vector(fieldMeta, 4); err != nil {
			return err
		}
		if err := checkFields(f, fieldChildren, depth+1, budget); err != nil {
			return err
		}
	}
	return nil
}

// checkCompressed holds the sizes that compressed buffers announce below a limit.
func checkCompressed(meta, body []byte) error {
	kind, _, batch, err := header(meta)
	if err != nil {
		return err
	}
	if kind == headerDictionary {
		at, err := batch.field(dictionaryData)
		if err != nil || at == 0 {
			return errFlatbuffer
		}
		if batch, err = batch.follow(at); err != nil {
			return err
		}
	} else if kind != headerBatch {
		return nil
	}
	first, n, err := batch.vector(batchBuffers, 16)
	if err != nil {
		return err
	}
	packed, err := batch.field(batchCompression)
	if err != nil {
		return err
	}
	for i := 0; i < n; i++ {
		offset, err := batch.i64(first + 16*i)
		if err != nil {
			return err
		}
		size, err := batch.i64(first + 16*i + 8)
		if err != nil {
			return err
		}
		if offset < 0 || size < 0 || offset > int64(len(body)) || size > int64(len(body))-offset {
			return errors.New("broken metadata: a buffer leaves its batch")
		}
		if packed == 0 || size < 8 {
			continue
		}
		if want := int64(binary.LittleEndian.Uint64(body[offset:])); want < -1 || want > maxUnpacked {
			return fmt.Errorf("a compressed buffer that claims %d bytes: at most %d was expected", want, maxUnpacked)
		}
	}
	return nil
}
