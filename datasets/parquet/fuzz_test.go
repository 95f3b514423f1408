package parquet

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"plumb/datasets"
)

// Whatever the bytes of a Parquet file are: records, rejects or an error, never a panic, and no row lost.
func FuzzParquet(f *testing.F) {
	for _, n := range []int{0, 1, 9} {
		path := filepath.Join(f.TempDir(), "x.parquet")
		save(f, path, records(n))
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := datasets.Open(path, datasets.ReadOptions{OnReject: func(datasets.Reject) {}})
		if err != nil {
			return
		}
		defer r.Close()
		for n := 0; ; n++ {
			if _, err = r.Next(); err != nil {
				break
			}
			if n > 1<<20 {
				t.Fatal("the file does not end")
			}
		}
		if c := datasets.CountsOf(r); errors.Is(err, io.EOF) && c.Rows != c.Used+c.Rejected+c.Unused {
			t.Fatalf("rows are lost: %+v", c)
		}
	})
}
