package dedup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"plumb/datasets"
)

// The ledger is JSON lines: a header, then one row for each record that was removed or changed, in input order. A row holds the
// record whole as it was, so that output and ledger together give the input back (Undo).
const ledgerVersion = 1

// Ref points at a record.
type Ref struct {
	Index int64  `json:"index"` // position in the input, from 0
	ID    string `json:"id,omitempty"`
	File  string `json:"file,omitempty"`
	Row   int64  `json:"row,omitempty"`
}

// LedgerHeader is the first line.
type LedgerHeader struct {
	Ledger  int    `json:"plumb_dedup_ledger"`
	Records int64  `json:"records"`
	Kept    int64  `json:"kept"`
	Config  Config `json:"config"`
}

// The actions of a ledger row.
const (
	ActionRemove = "remove" // Record is not in the output
	ActionEdit   = "edit"   // Record was changed: this is how it was
	ActionCopies = "copies" // only its count of copies was raised, from CopiesBefore
)

// LedgerRow is one removal or change.
type LedgerRow struct {
	Action       string           `json:"action"`
	Stage        string           `json:"stage"`              // exact, normalised, minhash, vectors, against:<tier>, preference:<finding>
	Score        float64          `json:"score"`              // of the stage
	Check        *float64         `json:"verifier,omitempty"` // the verifier's, where it was asked
	Kept         *Ref             `json:"kept,omitempty"`     // what stays for it, the test record it leaked, or the label that outvoted it
	Record       *datasets.Record `json:"record,omitempty"`   // whole
	Ref          Ref              `json:"ref"`                // the record itself
	Span         *[2]int          `json:"span,omitempty"`     // bytes of its compared text that the kept one has too
	CopiesBefore int              `json:"copies_before,omitempty"`
}

type ledgerWriter struct {
	w *bufio.Writer
	e *json.Encoder
}

func newLedgerWriter(w io.Writer, h LedgerHeader) (*ledgerWriter, error) {
	if w == nil {
		return nil, nil
	}
	b := bufio.NewWriterSize(w, 1<<16)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return &ledgerWriter{b, e}, e.Encode(h)
}

func (l *ledgerWriter) write(r *LedgerRow) error {
	if l == nil {
		return nil
	}
	return l.e.Encode(r)
}

func (l *ledgerWriter) close() error {
	if l == nil {
		return nil
	}
	return l.w.Flush()
}

// ReadLedger calls row for each row of a ledger and returns its header.
func ReadLedger(r io.Reader, row func(*LedgerRow) error) (LedgerHeader, error) {
	var h LedgerHeader
	d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("ledger: line 1: %w", err)
	}
	if h.Ledger != ledgerVersion {
		return h, fmt.Errorf("ledger: line 1: expected {\"plumb_dedup_ledger\":%d,...}", ledgerVersion)
	}
	last := int64(-1)
	for line := 2; ; line++ {
		var x LedgerRow
		err := d.Decode(&x)
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return h, fmt.Errorf("ledger: line %d: %w", line, err)
		}
		if x.Ref.Index <= last || x.Ref.Index >= h.Records {
			return h, fmt.Errorf("ledger: line %d: record index %d, expected one between %d and %d", line, x.Ref.Index, last+1, h.Records-1)
		}
		if x.Action != ActionCopies && x.Record == nil {
			return h, fmt.Errorf("ledger: line %d: no record", line)
		}
		last = x.Ref.Index
		if err := row(&x); err != nil {
			return h, err
		}
	}
}

// Undo writes the records that a run had read, in their order, from what it wrote and its ledger. kept must yield exactly
// what the run wrote: a record too few or too many is an error.
func Undo(ctx context.Context, kept Reader, ledger io.Reader, out Writer) error {
	next := int64(0)
	fromKept := func() (datasets.Record, error) {
		if err := ctx.Err(); err != nil {
			return datasets.Record{}, err
		}
		rec, err := kept.Next()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the output ends where record %d is expected: it is not the output this ledger belongs to", next)
		}
		return rec, err
	}
	copyTo := func(end int64) error {
		for ; next < end; next++ {
			rec, err := fromKept()
			if err != nil {
				return err
			}
			if err := out.Write(rec); err != nil {
				return err
			}
		}
		return nil
	}
	h, err := ReadLedger(ledger, func(r *LedgerRow) error {
		if err := copyTo(r.Ref.Index); err != nil {
			return err
		}
		next++
		if r.Action == ActionRemove {
			return out.Write(*r.Record)
		}
		rec, err := fromKept()
		if err != nil {
			return err
		}
		if rec.ID != r.Ref.ID {
			return fmt.Errorf("record %d of the output is %q, the ledger expects %q", next-1, rec.ID, r.Ref.ID)
		}
		if r.Action == ActionEdit {
			return out.Write(*r.Record)
		}
		rec.Copies = r.CopiesBefore
		return out.Write(rec)
	})
	if err != nil {
		return err
	}
	if err := copyTo(h.Records); err != nil {
		return err
	}
	if _, err := kept.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the output holds more than the %d records this ledger expects", h.Kept)
	}
	return nil
}
