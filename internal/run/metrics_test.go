package run

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func logger(t *testing.T, dir string) *Metrics {
	t.Helper()
	m := newMetrics(dir)
	m.now = func() time.Time { return time.Unix(1700000000, 250e6) }
	t.Cleanup(func() { m.Close() })
	return m
}

func logSteps(t *testing.T, m *Metrics, from, to int) {
	t.Helper()
	for step := from; step <= to; step++ {
		if err := m.Log(step, map[string]float64{"loss": 1 / float64(step+1), "eval_loss": float64(step)}); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMetricsAreSortedAndExact(t *testing.T) {
	dir := t.TempDir()
	m := logger(t, dir)
	if err := m.Log(3, map[string]float64{"rewards/margins": 0.1, "loss": math.NaN(), "grad_norm": math.Inf(1), "a\"b": -1e-300}); err != nil {
		t.Fatal(err)
	}
	want := `{"step":3,"a\"b":-1e-300,"grad_norm":null,"loss":null,"rewards/margins":0.1,"time":"2023-11-14T22:13:20.250Z"}` + "\n"
	wantContent(t, filepath.Join(dir, metricsName), want)
	if err := m.Log(2, nil); err == nil {
		t.Error("a descending step was logged")
	}
	for _, name := range []string{"step", "time"} {
		if err := m.Log(4, map[string]float64{name: 1}); err == nil {
			t.Errorf("the reserved name %q was logged", name)
		}
	}
	wantContent(t, filepath.Join(dir, metricsName), want)
	entries, err := ReadMetrics(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("entries %v, %v", entries, err)
	}
	e := entries[0]
	if e.Step != 3 || e.Fields["rewards/margins"] != 0.1 || !math.IsNaN(e.Fields["loss"]) || len(e.Fields) != 4 {
		t.Errorf("entry %+v", e)
	}
}

func TestTruncateEqualsNeverHavingLogged(t *testing.T) {
	whole := t.TempDir()
	logSteps(t, logger(t, whole), 0, 9)
	for _, cut := range []int{-1, 0, 4, 8, 9, 50} {
		dir := t.TempDir()
		m := logger(t, dir)
		logSteps(t, m, 0, 9)
		if err := m.Truncate(cut); err != nil {
			t.Fatal(err)
		}
		entries, err := ReadMetrics(dir)
		if err != nil || len(entries) != min(cut, 9)+1 {
			t.Errorf("cut at %d left %d entries, %v", cut, len(entries), err)
		}
		logSteps(t, m, cut+1, 9)
		for _, name := range []string{metricsName, eventsName} {
			if read(t, dir, name) != read(t, whole, name) {
				t.Errorf("cut at %d and logged again: %s differs", cut, name)
			}
		}
	}
}

func TestTornEntriesAreCutOnOpening(t *testing.T) {
	whole := t.TempDir()
	logSteps(t, logger(t, whole), 0, 4)
	for lost := 1; lost < 40; lost += 3 {
		dir := t.TempDir()
		m := logger(t, dir)
		logSteps(t, m, 0, 4)
		m.Close()
		for _, name := range []string{metricsName, eventsName} {
			size := len(read(t, whole, name))
			if err := os.Truncate(filepath.Join(dir, name), int64(size-lost)); err != nil {
				t.Fatal(err)
			}
		}
		logSteps(t, m, 4, 4)
		for _, name := range []string{metricsName, eventsName} {
			if read(t, dir, name) != read(t, whole, name) {
				t.Errorf("%d bytes lost: %s differs after logging again", lost, name)
			}
		}
	}
}

func TestMaskedCRC(t *testing.T) {
	// crc32c("123456789") is 0xe3069283 (RFC 3720's check value); rotated right by 15 and offset.
	c := uint32(0xe3069283)
	if got, want := maskedCRC([]byte("123456789")), (c>>15|c<<17)+0xa282ead8; got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
}

// tensorBoardReader prints what TensorBoard's own loader finds in an event file.
const tensorBoardReader = `
import json, sys
from tensorboard.backend.event_processing import event_file_loader
out = []
for e in event_file_loader.LegacyEventFileLoader(sys.argv[1]).Load():
    out.append([e.wall_time, e.step, e.file_version, {v.tag: v.simple_value for v in e.summary.value}])
print(json.dumps(out))
`

func TestTensorBoardReadsTheEvents(t *testing.T) {
	python := os.Getenv("PLUMB_PYTHON")
	if python == "" {
		t.Skip("PLUMB_PYTHON is not set")
	}
	if err := exec.Command(python, "-c", "import tensorboard").Run(); err != nil {
		t.Skip("PLUMB_PYTHON has no tensorboard")
	}
	dir := t.TempDir()
	m := logger(t, dir)
	logSteps(t, m, 0, 5)
	if err := m.Truncate(2); err != nil {
		t.Fatal(err)
	}
	logSteps(t, m, 300, 300)
	out, err := exec.Command(python, "-c", tensorBoardReader, filepath.Join(dir, eventsName)).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{"[1.70000000025e+09 0 brain.Event:2 map[]]"}
	for _, step := range []int{0, 1, 2, 300} {
		loss := float64(float32(1 / float64(step+1)))
		want = append(want, fmt.Sprintf("[1.70000000025e+09 %v  map[eval_loss:%v loss:%v]]", float64(step), float64(step), loss))
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, fmt.Sprint(e))
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("TensorBoard read\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
