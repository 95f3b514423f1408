package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ReadOptions says how a file is read. The zero value detects everything and treats a bad row as an error.
type ReadOptions struct {
	Format       string                               // what the rows mean (see Formats); "" or "auto" detects it from the first good row
	OnReject     func(Reject)                         // takes rows that cannot be read; nil makes Next return a *RejectError
	OnUnused     func(Reject)                         // takes rows that are in no record although nothing is wrong with them; nil: they are only counted
	Source       string                               // name of the file in ids and provenance; default: the last element of the path
	MaxRow       int                                  // longest row in bytes; default DefaultMaxRow
	Pairs        string                               // how a ranking becomes pairs: "all" (default), "best" (first against each), "ends" (first against last)
	DuplicateIDs string                               // a given id seen before: "reject" (default) or "rename" (gets ~2, ~3, ...)
	Kind         Kind                                 // refuse records of another kind
	OnProgress   func(file string, done, total int64) // told every 1,024 rows or so; bytes of the file as it lies on disk

	ids     *idSet       // shared by the files of one ReadAll
	columns columnCounts // gathers the columns of rows; nil: nobody asks
}

// Reader yields records in the order of the file; io.EOF ends it.
type Reader interface {
	Next() (Record, error)
	Close() error
}

// Counts is what a reader has seen. Rows = Used + Rejected + Unused, always: each row is at least part of a record, or a Reject, or in no
// record although nothing is wrong with it.
type Counts struct {
	Rows     int64 `json:"rows"`
	Used     int64 `json:"used"`
	Rejected int64 `json:"rejected"`
	Unused   int64 `json:"unused"`
	Records  int64 `json:"records"` // a ranking of three answers is one row and three records
}

// CountsOf gives the counts of a reader made by Open so far.
func CountsOf(r Reader) Counts {
	if c, ok := r.(interface{ Counts() Counts }); ok {
		return c.Counts()
	}
	return Counts{}
}

// FormatOf gives the format that a reader made by Open reads, "" before it is known.
func FormatOf(r Reader) string {
	if f, ok := r.(interface{ Format() string }); ok {
		return f.Format()
	}
	return ""
}

// Open opens one file. Container and compression are found by content, the meaning of the rows by opt.Format or their fields.
func Open(path string, opt ReadOptions) (Reader, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	if opt.Source == "" {
		opt.Source = SourceNames([]string{path})[0]
	}
	if opt.MaxRow <= 0 {
		opt.MaxRow = DefaultMaxRow
	}
	if opt.ids == nil {
		opt.ids = newIDSet()
	}
	in, err := openInput(path)
	if err != nil {
		return nil, err
	}
	kind, err := sniffContainer(path, in)
	if err != nil {
		in.Close()
		return nil, err
	}
	r := &reader{path: path, opt: opt, in: in, format: opt.Format, container: kind}
	if r.format == "auto" {
		r.format = ""
	}
	var t Table
	switch kind {
	case containerJSONL:
		r.rows = &jsonlSource{in: in, limit: opt.MaxRow}
		return r, nil
	case containerJSON:
		r.rows = &jsonSource{in: in, limit: opt.MaxRow}
		return r, nil
	case containerCSV, containerTSV:
		comma := ','
		if kind == containerTSV {
			comma = '\t'
		}
		s, err := newCSVSource(path, in, comma, opt.MaxRow)
		if err != nil {
			in.Close()
			return nil, err
		}
		r.rows = s
		return r, nil
	case containerArrow:
		t, err = openArrowStream(in)
	case containerFeather:
		t, err = openArrowFile(in)
	case containerParquet:
		t, err = openParquet(in)
	}
	return r.table(t, err, in)
}

func (opt *ReadOptions) check() error {
	if opt.Format != "" && opt.Format != "auto" {
		if _, ok := formats[opt.Format]; !ok {
			return fmt.Errorf("unknown format %q: expected one of %v", opt.Format, FormatNames())
		}
	}
	switch opt.Pairs {
	case "", "all", "best", "ends":
	default:
		return fmt.Errorf("unknown way %q to make pairs of a ranking: expected all, best or ends", opt.Pairs)
	}
	switch opt.DuplicateIDs {
	case "", "reject", "rename":
	default:
		return fmt.Errorf("unknown policy %q for duplicate ids: expected reject or rename", opt.DuplicateIDs)
	}
	return nil
}

// ReadAll reads whole files into memory, in the given order. Ids are unique over all of them.
func ReadAll(paths []string, opt ReadOptions) ([]Record, error) {
	if len(paths) == 0 {
		return nil, errors.New("no data file was named")
	}
	var all []Record
	err := each(context.Background(), paths, opt, func(r *Record) error {
		all = append(all, *r)
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// each reads files one after another, with ids unique over all of them. done, if not nil, is told when the end of
// a file is reached, while its reader is still open.
func each(ctx context.Context, paths []string, opt ReadOptions, take func(*Record) error, done func(Reader)) error {
	all := &several{paths: paths, opt: opt, done: done}
	defer all.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := all.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(&rec)
		}
		if err != nil {
			return err
		}
	}
}

// OpenAll reads files one after another as one, with ids unique over all of them.
func OpenAll(paths []string, opt ReadOptions) (Reader, error) {
	if len(paths) == 0 {
		return nil, errors.New("no data file was named")
	}
	if err := opt.check(); err != nil {
		return nil, err
	}
	return &several{paths: paths, opt: opt}, nil
}

// several is a Reader over files.
type several struct {
	paths []string
	opt   ReadOptions
	done  func(Reader)
	names []string
	at    int
	open  Reader
}

func (s *several) Next() (Record, error) {
	if s.names == nil {
		s.names = SourceNames(s.paths)
		s.opt.ids = newIDSet()
	}
	for {
		if s.open == nil {
			if s.at == len(s.paths) {
				return Record{}, io.EOF
			}
			o := s.opt
			if o.Source == "" || len(s.paths) > 1 {
				o.Source = s.names[s.at]
			}
			if o.columns != nil {
				clear(o.columns)
			}
			r, err := Open(s.paths[s.at], o)
			if err != nil {
				return Record{}, err
			}
			s.open = r
			s.at++
		}
		rec, err := s.open.Next()
		if !errors.Is(err, io.EOF) {
			return rec, err
		}
		if s.done != nil {
			s.done(s.open)
		}
		if err := s.Close(); err != nil {
			return Record{}, err
		}
	}
}

func (s *several) Close() error {
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return err
}
