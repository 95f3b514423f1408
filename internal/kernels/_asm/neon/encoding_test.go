package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEncodings has binutils read every word in the assembly that was written: it must say what the comment beside it says.
func TestEncodings(t *testing.T) {
	const objdump = "aarch64-linux-gnu-objdump"
	if _, err := exec.LookPath(objdump); err != nil {
		t.Skip(objdump + " is not installed (Debian: binutils-aarch64-linux-gnu)")
	}
	files, err := filepath.Glob("../../*_arm64.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("no assembly: %v", err)
	}
	seen := map[string]string{} // word -> comment
	var order []string
	var raw []byte
	word := regexp.MustCompile(`WORD \$(0x[0-9a-f]{8}) // (.*)`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found := word.FindAllStringSubmatch(string(text), -1)
		if len(found) != strings.Count(string(text), "WORD") {
			t.Fatalf("%s has words without a comment", f)
		}
		for _, m := range found {
			if was, ok := seen[m[1]]; ok {
				if was != m[2] {
					t.Errorf("%s is %q and %q", m[1], was, m[2])
				}
				continue
			}
			seen[m[1]] = m[2]
			order = append(order, m[1])
			u, err := strconv.ParseUint(m[1], 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			raw = binary.LittleEndian.AppendUint32(raw, uint32(u))
		}
	}
	path := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "aarch64", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := regexp.MustCompile(`(?m)^ *[0-9a-f]+:\t([0-9a-f]{8}) \t(.*)$`).FindAllStringSubmatch(string(out), -1)
	if len(lines) != len(order) {
		t.Fatalf("%d lines for %d words:\n%s", len(lines), len(order), out)
	}
	for i, l := range lines {
		if got := strings.ReplaceAll(l[2], "\t", " "); "0x"+l[1] != order[i] || got != seen[order[i]] {
			t.Errorf("%s is %q, the comment says %q", order[i], got, seen[order[i]])
		}
	}
}
