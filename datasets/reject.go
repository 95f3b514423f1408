package datasets

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// Reject is one row that could not become a record, or is in none.
type Reject struct {
	File   string `json:"file"`
	Row    int64  `json:"row"`
	Reason string `json:"reason"`
	Text   string `json:"text"`             // the row as it stood; cut at 64 KiB, and said so in Reason
	Unused bool   `json:"unused,omitempty"` // nothing is wrong with the row: no error and no finding
}

// RejectError is what Next returns for a bad row when nobody takes rejects (ReadOptions.OnReject is nil). The reader may be used
// further: the next call goes on with the next row.
type RejectError struct{ Reject }

// Error names file, row and reason.
func (e *RejectError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Row, e.Reason)
}

const rejectTextLimit = 64 << 10

// newReject keeps the text of a row within bounds, so that one huge line cannot fill the disk twice.
func newReject(file string, row int64, reason string, text []byte) Reject {
	if !utf8.Valid(text) {
		text = escapeInvalid(text[:min(len(text), 2*rejectTextLimit)])
	}
	if len(text) > rejectTextLimit {
		cut := rejectTextLimit
		for cut > 0 && !utf8.RuneStart(text[cut]) && cut > rejectTextLimit-4 {
			cut--
		}
		reason = fmt.Sprintf("%s (text cut to %d of %d bytes)", reason, cut, len(text))
		text = text[:cut]
	}
	return Reject{File: file, Row: row, Reason: reason, Text: string(text)}
}

// escapeInvalid writes bytes that are not UTF-8 as \xNN, because JSON cannot hold them.
func escapeInvalid(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size <= 1 {
			out = fmt.Appendf(out, "\\x%02x", text[0])
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// RejectPath is where the rejected rows of an output go: beside it.
func RejectPath(out string) string { return out + ".rejected.jsonl" }

// RejectWriter writes rejects as JSON lines beside an output. The file exists only if something was rejected, and appears whole when
// Close is called.
type RejectWriter struct {
	path  string
	file  *os.File
	buf   *bufio.Writer
	count int64
	err   error
}

// NewRejectWriter prepares RejectPath(out); a file of an earlier run is removed by Close when nothing is rejected this time.
func NewRejectWriter(out string) *RejectWriter { return &RejectWriter{path: RejectPath(out)} }

// Path is where the rejects go.
func (w *RejectWriter) Path() string { return w.path }

// Count is the number of rejects so far.
func (w *RejectWriter) Count() int64 { return w.count }

// Add writes one reject; it has the signature of ReadOptions.OnReject. An error shows in Close.
func (w *RejectWriter) Add(r Reject) {
	w.count++
	if w.err != nil {
		return
	}
	if w.file == nil {
		if w.file, w.err = os.Create(w.path + partialSuffix); w.err != nil {
			return
		}
		w.buf = bufio.NewWriterSize(w.file, 64<<10)
	}
	w.err = writeReject(w.buf, r)
}

func writeReject(w io.Writer, r Reject) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Close puts the file in its place.
func (w *RejectWriter) Close() error {
	err := w.seal()
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		w.discard()
	}
	return err
}

// seal writes the rest and closes the partial file, which stays where it is.
func (w *RejectWriter) seal() error {
	if w.file == nil {
		return w.err
	}
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	return seal(w.file, w.err)
}

// publish puts the sealed file in its place, or removes that of an earlier run when nothing was rejected.
func (w *RejectWriter) publish() error {
	if w.file != nil {
		return publish(w.path)
	}
	if err := os.Remove(w.path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// settle brings everything to the file and tells its length.
func (w *RejectWriter) settle() (int64, error) {
	if w.file == nil || w.err != nil {
		return 0, w.err
	}
	if err := w.buf.Flush(); err != nil {
		return 0, err
	}
	return place(w.file)
}

// resume goes on in the partial file of an earlier run.
func (w *RejectWriter) resume(size, count int64) error {
	w.count = count
	if size == 0 {
		return nil
	}
	f, err := os.OpenFile(w.path+partialSuffix, os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	if err := cutTo(f, size); err != nil {
		f.Close()
		return err
	}
	w.file, w.buf = f, bufio.NewWriterSize(f, 64<<10)
	return nil
}

// discard removes what was written; leave keeps it for a later run.
func (w *RejectWriter) discard() {
	if w.file != nil {
		w.file.Close()
		os.Remove(w.path + partialSuffix)
	}
}

func (w *RejectWriter) leave() {
	if w.file != nil {
		w.file.Close()
	}
}
