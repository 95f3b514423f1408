package train

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"

	"plumb/internal/run"
)

func param(name string, values ...float32) Param {
	p := nn.NewParam(mat.NewDense[float32](mat.WithShape(1, len(values)), mat.WithBacking(values)))
	return Param{name, p}
}

func setGrad(p Param, g ...float32) {
	if !p.HasGrad() {
		p.AccGrad(p.ZerosLike())
	}
	copy(p.grad(), g)
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.10g, want %.10g", what, got, want)
	}
}

// Two steps by hand in float64, written as torch's documentation has them.
func TestAdamW(t *testing.T) {
	opt := Defaults(0.1)
	opt.WeightDecay = 0.5
	p := param("w", 2)
	bias := param("b.bias", 2)
	a := NewAdamW("o", []Param{p, bias}, opt)
	w, b, m, v := 2.0, 2.0, 0.0, 0.0
	for step, g := range []float64{0.3, -4} {
		setGrad(p, float32(g))
		setGrad(bias, float32(g))
		a.Step(0.1)
		k := float64(step + 1)
		m = 0.9*m + 0.1*g
		v = 0.999*v + 0.001*g*g
		mh, vh := m/(1-math.Pow(0.9, k)), v/(1-math.Pow(0.999, k))
		w -= 0.1 * 0.5 * w
		w -= 0.1 * mh / (math.Sqrt(vh) + 1e-8)
		b -= 0.1 * mh / (math.Sqrt(vh) + 1e-8) // a bias does not decay
		near(t, "w", float64(p.values()[0]), w, 1e-6)
		near(t, "bias", float64(bias.values()[0]), b, 1e-6)
		if p.grad()[0] != 0 {
			t.Error("gradient not cleared")
		}
	}
}

func TestUndecayed(t *testing.T) {
	for name, want := range map[string]bool{
		"model.layers.0.input_layernorm.weight": true, "model.norm.weight": true, "transformer.h.0.ln_1.weight": true, "transformer.h.0.attn.c_attn.bias": true,
		"model.layers.0.mlp.up_proj.weight": false, "model.layers.0.self_attn.q_proj.lora_A.weight": false, "score.weight": false,
	} {
		if undecayed.MatchString(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}

func TestClip(t *testing.T) {
	p, q := param("p", 0, 0), param("q", 0)
	a := NewAdamW("o", []Param{p, q}, Defaults(1))
	setGrad(p, 3, 0)
	setGrad(q, 4)
	near(t, "norm", a.GradNorm(), 5, 1e-12)
	a.Clip(5, 10)
	near(t, "below the limit", float64(p.grad()[0]), 3, 0)
	a.Clip(5, 0)
	near(t, "no limit", float64(p.grad()[0]), 3, 0)
	a.Clip(5, 1)
	near(t, "clipped", float64(q.grad()[0]), 4/(5+1e-6), 1e-7)
}

func TestLR(t *testing.T) {
	o := Defaults(2)
	near(t, "linear first", o.LR(0, 4), 2, 0)
	near(t, "linear last", o.LR(3, 4), 0.5, 0)
	o.WarmupSteps = 2
	near(t, "warm-up first", o.LR(0, 6), 0, 0)
	near(t, "warm-up second", o.LR(1, 6), 1, 0)
	near(t, "after warm-up", o.LR(3, 6), 1.5, 0)
	o.WarmupSteps, o.WarmupRatio = 0, 0.3
	near(t, "ratio rounds up", o.LR(1, 5), 1, 0)
	o.WarmupRatio, o.LRScheduler = 0, "cosine"
	near(t, "cosine half", o.LR(2, 4), 1, 1e-12)
	o.LRScheduler = "constant"
	near(t, "constant", o.LR(3, 4), 2, 0)
}

func TestSteps(t *testing.T) {
	o := Defaults(1)
	o.BatchSize, o.GradAccumulation, o.Epochs = 4, 2, 1.5
	if per, total := o.Steps(17); per != 3 || total != 5 { // 5 batches, 3 steps an epoch
		t.Errorf("%d, %d", per, total)
	}
	o.MaxSteps = 7
	if _, total := o.Steps(17); total != 7 {
		t.Errorf("max_steps: %d", total)
	}
	for _, c := range []struct{ max, limit, want int }{{0, 100, 5}, {0, 2, 2}, {7, 100, 7}, {7, 6, 6}} {
		l := o
		l.MaxSteps = c.max
		l.LimitSteps(c.limit)
		l.LimitSteps(1000) // a limit is never raised
		if _, total := l.Steps(17); total != c.want {
			t.Errorf("max_steps %d, at most %d: %d steps, want %d", c.max, c.limit, total, c.want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	if f := Defaults(1e-4).Validate(); len(f) != 0 {
		t.Errorf("defaults: %v", f)
	}
	bad := Options{LearningRate: math.NaN(), LRScheduler: "step", WarmupRatio: 1, AdamBeta2: 1, MaxGradNorm: -1, MaxSteps: -1}
	var keys []string
	for _, err := range bad.Validate() {
		var f *run.Fault
		if !errors.As(err, &f) {
			t.Fatalf("%v is no Fault", err)
		}
		keys = append(keys, f.FaultKey())
	}
	want := []string{"learning_rate", "epochs", "max_steps", "batch_size", "grad_accumulation", "micro_batch_tokens", "lr_scheduler",
		"warmup_ratio", "adam_beta2", "adam_eps", "max_grad_norm", "logging_steps"}
	if !slices.Equal(keys, want) {
		t.Errorf("faults %v, want %v", keys, want)
	}
	for _, change := range []func(o *Options){
		func(o *Options) { o.Epochs = 1e19 }, func(o *Options) { o.Epochs, o.MaxSteps = -1, 5 }, func(o *Options) { o.GradAccumulation = 1e12 },
		func(o *Options) { o.BatchSize = 1 << 62 }, func(o *Options) { o.StepLimit = -1 },
	} {
		o := Defaults(1e-4)
		change(&o)
		if f := o.Validate(); len(f) != 1 {
			t.Errorf("%+v: faults %v, want one", o, f)
		}
	}
}

func TestSnapshot(t *testing.T) {
	p := param("w", 1, 2)
	a := NewAdamW("o", []Param{p}, Defaults(1))
	setGrad(p, 1, 1)
	a.Step(0.1)
	want, m := slices.Clone(p.values()), slices.Clone(a.m[0])
	a.Snapshot()
	setGrad(p, 5, -1)
	a.Step(0.1)
	setGrad(p, 1, 1)
	a.Restore()
	if !slices.Equal(p.values(), want) || !slices.Equal(a.m[0], m) || a.step != 1 || p.grad()[0] != 0 {
		t.Errorf("%v %v step %d gradient %v", p.values(), a.m[0], a.step, p.grad())
	}
}

func TestNoExamples(t *testing.T) {
	st, err := run.OpenStage(filepath.Join(t.TempDir(), "toy"), run.Manifest{Stage: "toy"})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := NewLoop(st, Defaults(1), 0, 0); err == nil || !strings.Contains(err.Error(), "no examples") {
		t.Errorf("error %v", err)
	}
}

func TestWindowKeepsFloats(t *testing.T) {
	w := newWindow()
	w.observe(map[string]float64{"a": 0.1, "nan": math.NaN()})
	w.observe(map[string]float64{"a": 0.2})
	w.gauge("g", math.Inf(1))
	w.commit()
	w.observe(map[string]float64{"a": 7})
	w.drop()
	b, err := json.Marshal(w.state())
	if err != nil {
		t.Fatal(err)
	}
	var s windowState
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	r := newWindow()
	if err := r.restore(s); err != nil {
		t.Fatal(err)
	}
	got := r.flush()
	a, b2 := 0.1, 0.2 // variables: constants would be added exactly
	if got["a"] != (a+b2)/2 || !math.IsNaN(got["nan"]) || !math.IsInf(got["g"], 1) {
		t.Errorf("%v", got)
	}
}
