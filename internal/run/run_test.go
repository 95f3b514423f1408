package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRandDependsOnEachPartOfItsKey(t *testing.T) {
	base := Rand(1, "sample", 2, 3).Uint64()
	if again := Rand(1, "sample", 2, 3).Uint64(); again != base {
		t.Errorf("the same key gave %d, then %d", base, again)
	}
	seen := map[uint64]string{base: "1 sample 2 3"}
	for name, got := range map[string]uint64{
		"seed":         Rand(2, "sample", 2, 3).Uint64(),
		"purpose":      Rand(1, "order", 2, 3).Uint64(),
		"first key":    Rand(1, "sample", 3, 3).Uint64(),
		"second key":   Rand(1, "sample", 2, 4).Uint64(),
		"one key less": Rand(1, "sample", 2).Uint64(),
		"zero key":     Rand(1, "sample", 2, 3, 0).Uint64(),
		"order":        Rand(1, "sample", 3, 2).Uint64(),
	} {
		if other, ok := seen[got]; ok {
			t.Errorf("changing the %s gave the stream of %s", name, other)
		}
		seen[got] = name
	}
}

func TestRandIsFrozen(t *testing.T) {
	// A changed stream changes every trained adapter: these values must never move.
	r := Rand(42, "lora", 7)
	got := []uint64{r.Uint64(), r.Uint64(), r.Uint64()}
	want := []uint64{0x3b29b213d1b3f8c0, 0xedca6784ec386709, 0xec2748adc676f60e}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("draw %d: %#x, want %#x", i, got[i], want[i])
		}
	}
}

func TestExitErrors(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		code int
	}{{Usage(cause), 2}, {Findings(cause), 3}, {Interrupted(cause), 130}} {
		var exit *ExitError
		if !errors.As(fmt.Errorf("around: %w", c.err), &exit) || exit.Code != c.code {
			t.Errorf("%v: code %+v, want %d", c.err, exit, c.code)
		}
		if !errors.Is(c.err, cause) {
			t.Errorf("code %d hides its cause", c.code)
		}
	}
	if Usage(nil) != nil || Findings(nil) != nil || Interrupted(nil) != nil {
		t.Error("marking nil made an error")
	}
}

func TestFaultNamesKeyValueAndWant(t *testing.T) {
	f := &Fault{Key: "lora.r", Value: "0", Want: "1 or more"}
	if got := f.Error(); got != "lora.r: 0, want 1 or more" {
		t.Errorf("got %q", got)
	}
	if f.FaultKey() != "lora.r" {
		t.Errorf("key %q", f.FaultKey())
	}
}

func TestWriteFileIsWholeOrAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.txt")
	write := func(s string, fail error) error {
		return WriteFile(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
			return fail
		})
	}
	if err := write("first", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("second, in part", broken); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	wantContent(t, path, "first")
	wantNames(t, filepath.Dir(path), "out.txt")
	if err := write("third", nil); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "third")
}

func TestHashTree(t *testing.T) {
	dir := t.TempDir()
	put := func(rel, s string) {
		t.Helper()
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hash := func() string {
		t.Helper()
		h, err := HashTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	put("a", "1")
	put("b/c", "2")
	first := hash()
	put(".tmp-a-77", "half")
	if hash() != first {
		t.Error("an unfinished file changed the hash")
	}
	put("b/c", "3")
	if hash() == first {
		t.Error("content does not count")
	}
	put("b/c", "2")
	if hash() != first {
		t.Error("equal content, other hash")
	}
	put("b/d", "")
	if hash() == first {
		t.Error("a new empty file does not count")
	}
	if _, err := HashTree(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	// SHA-256 of "1", from sha256sum.
	if h, err := HashTree(filepath.Join(dir, "a")); err != nil || h != "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b" {
		t.Errorf("file: %s %v", h, err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("%s: %q, want %q", path, b, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
