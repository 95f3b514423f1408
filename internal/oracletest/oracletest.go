// Package oracletest is what the trainers' tests share: small models and adapters, a stage to train in, and the
// comparison of adapters with the peers' goldens. It is imported by tests only and knows no trainer.
package oracletest

import (
	"encoding/json"
	"io"
	"math"
	"os"
	"testing"

	"plumb/adapters"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/weights"
)

// prefix is PEFT's before every name.
const prefix = "base_model.model."

// Base opens the model at path.
func Base(t *testing.T, path string, opt model.Options) *model.Bundle {
	t.Helper()
	b, err := model.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Adapter loads the adapter in dir for base.
func Adapter(t *testing.T, base *model.Bundle, dir string) *adapters.Adapter {
	t.Helper()
	a, err := adapters.Load(dir, base.Model.Linears())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Stage opens a stage in dir that prints nothing and is closed with the test.
func Stage(t *testing.T, dir, name string) *run.Stage {
	t.Helper()
	st, err := run.OpenStage(dir, run.Manifest{Stage: name, ConfigHash: "c"})
	if err != nil {
		t.Fatal(err)
	}
	st.SetOutput(io.Discard)
	t.Cleanup(func() { st.Close() })
	return st
}

// JSON reads the file at path.
func JSON(t *testing.T, into any, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// WantTensors compares each parameter's values (got) with the tensor of that name in the file at path: norm of
// the difference over norm of the golden, at most tol. It returns the largest.
func WantTensors(t *testing.T, what string, a *adapters.Adapter, got func(adapters.Param) []float32, tol float64, path string) float64 {
	t.Helper()
	set, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	worst := 0.0
	for _, p := range a.Params() {
		tensor, err := set.Take(prefix+p.Name, p.Shape()...)
		if err != nil {
			t.Fatal(err)
		}
		d := Distance(got(p), tensor.Float32())
		worst = max(worst, d)
		if !(d <= tol) {
			t.Errorf("%s: %s differs by %g, want at most %g", what, p.Name, d, tol)
		}
	}
	if err := set.Unused(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return worst
}

// GradOf is p's gradient, for WantTensors.
func GradOf(p adapters.Param) []float32 { return ops.Grad(p.Param) }

// Distance is the norm of a - b over that of b, infinite where their lengths differ.
func Distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d, n float64
	for i := range b {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / n)
}

// Logs compares every number of every step with the peer's within 1e-3, those above 1 (grad_norm, logps) relatively, and wants the
// peer's loss to have moved by 0.05 at least. It returns the largest difference of a loss and that of any number.
func Logs(t *testing.T, what string, rows []run.Entry, want []map[string]float64) (loss, worst float64) {
	t.Helper()
	for i, w := range want {
		for metric, v := range w {
			got, ok := rows[i].Fields[metric]
			d := math.Abs(got-v) / math.Max(1, math.Abs(v))
			worst = max(worst, d)
			if metric == "loss" {
				d = math.Abs(got - v)
				loss = max(loss, d)
			}
			if !ok || !(d <= 1e-3) {
				t.Errorf("%s step %d: %s is %.7g (logged: %v), want %.7g", what, i+1, metric, got, ok, v)
			}
		}
	}
	first, last := want[0]["loss"], want[len(want)-1]["loss"]
	if math.Abs(first-last) < 0.05 {
		t.Errorf("%s: the peer's loss moves from %g to %g only: the comparison shows little", what, first, last)
	}
	return loss, worst
}
