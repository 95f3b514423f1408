package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumb/internal/run"
)

// toy fits a vector to the mean of its examples; one example is one target.
type toy struct {
	loop *Loop
	opt  *AdamW
	w    Param
	data []float32
}

func toyOptions() Options {
	o := Defaults(0.05)
	o.BatchSize, o.GradAccumulation, o.Epochs, o.LoggingSteps, o.SaveSteps, o.EvalSteps = 2, 2, 3, 3, 4, 5
	return o
}

func newToy(t *testing.T, dir string, o Options) (*toy, *run.Stage) {
	t.Helper()
	st, err := run.OpenStage(dir, run.Manifest{Stage: "toy", ConfigHash: "c"})
	if err != nil {
		t.Fatal(err)
	}
	st.SetOutput(io.Discard)
	y := &toy{w: param("w", 0, 0, 0)}
	for i := range 18 {
		y.data = append(y.data, float32(i%7)-3)
	}
	y.opt = NewAdamW("o", []Param{y.w}, o)
	if y.loop, err = NewLoop(st, o, len(y.data), 0, y.opt); err != nil {
		t.Fatal(err)
	}
	return y, st
}

// train runs until done, or until stop says so of the finished steps.
func (y *toy) train(ctx context.Context, during func(step int)) error {
	eval := func(ctx context.Context) (map[string]float64, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return map[string]float64{"eval_w": float64(y.w.values()[0])}, nil
	}
	if err := y.loop.Begin(ctx, eval); err != nil {
		return err
	}
	for !y.loop.Done() {
		if ctx.Err() != nil {
			return y.loop.Interrupt(ctx)
		}
		total := 0.0
		batches := y.loop.Batches()
		for _, b := range batches {
			for _, i := range b {
				for k, w := range y.w.values() {
					d := w - y.data[i]*float32(k+1)
					total += float64(d*d) / 2
					setGrad(y.w, addAt(y.w.grad(), k, d/float32(len(b)*len(batches)))...)
				}
			}
			y.loop.Observe(map[string]float64{"seen": float64(len(b))})
		}
		if during != nil {
			during(y.loop.Step)
		}
		if ctx.Err() != nil {
			return y.loop.Interrupt(ctx)
		}
		lr := y.loop.LR()
		norm, err := y.loop.Update(y.opt, total, lr)
		if err != nil {
			return err
		}
		y.loop.Observe(map[string]float64{"loss": total})
		y.loop.Gauge("grad_norm", norm)
		y.loop.Gauge("learning_rate", lr)
		y.loop.State["tokens"] += 1.5
		if err := y.loop.End(ctx, eval); err != nil {
			return err
		}
	}
	return nil
}

func addAt(g []float32, k int, d float32) []float32 {
	out := make([]float32, 3)
	copy(out, g)
	out[k] += d
	return out
}

var timeField = regexp.MustCompile(`,"time":"[^"]*"`)

// snapshotDir reads what must be the same: checkpoints, and metrics without their time.
func snapshotDir(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if !strings.HasPrefix(rel, "checkpoints") && rel != "metrics.jsonl" {
			return nil
		}
		b, err := os.ReadFile(path)
		out[rel] = timeField.ReplaceAllString(string(b), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantSame(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if g != w {
			t.Errorf("%s: %s differs:\n%s\n%s", what, name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is too many", what, name)
		}
	}
}

// A run that is interrupted anywhere, in a step, in an evaluation or without notice, leaves the
// same bytes as one that was not.
func TestResume(t *testing.T) {
	straight := filepath.Join(t.TempDir(), "toy")
	y, st := newToy(t, straight, toyOptions())
	if err := y.train(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	st.Close()
	want := snapshotDir(t, straight)
	if len(want) != 7 { // two checkpoints of three files, and the metrics
		t.Fatalf("%d files: %v", len(want), want)
	}
	if !strings.Contains(want["metrics.jsonl"], `"eval_w"`) || !strings.Contains(want["metrics.jsonl"], `"seen"`) {
		t.Fatalf("metrics: %s", want["metrics.jsonl"])
	}

	for stop := range y.loop.Total {
		dir := filepath.Join(t.TempDir(), "toy")
		// Interrupted in the step after stop.
		y, st := newToy(t, dir, toyOptions())
		ctx, cancel := context.WithCancel(context.Background())
		err := y.train(ctx, func(step int) {
			if step == stop {
				cancel()
			}
		})
		var exit *run.ExitError
		if !errors.As(err, &exit) || exit.Code != run.CodeInterrupted || !errors.Is(err, context.Canceled) {
			t.Fatalf("step %d: error %v", stop, err)
		}
		st.Close()
		stray := filepath.Join(dir, "checkpoints", fmt.Sprintf("step-%08d", stop))
		saved := filepath.Join(t.TempDir(), "stray")
		if err := os.CopyFS(saved, os.DirFS(stray)); err != nil && stop > 0 {
			t.Fatal(err)
		}
		// Continued for two steps and dropped like a killed process.
		y, st = newToy(t, dir, toyOptions())
		if y.loop.Step != stop {
			t.Fatalf("continues at %d, want %d", y.loop.Step, stop)
		}
		kill := errors.New("killed")
		func() {
			defer func() {
				if r := recover(); r != nil && r != kill {
					panic(r)
				}
			}()
			y.train(context.Background(), func(step int) {
				if step == stop+2 {
					panic(kill)
				}
			})
		}()
		st.Close()
		// Killed after it had a checkpoint of its own, before it could remove the interruption's.
		if _, err := os.Stat(stray); os.IsNotExist(err) && stop > 0 {
			if err := os.CopyFS(stray, os.DirFS(saved)); err != nil {
				t.Fatal(err)
			}
		}
		y, st = newToy(t, dir, toyOptions())
		if err := y.train(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		st.Close()
		wantSame(t, "stopped at "+string(rune('0'+stop)), snapshotDir(t, dir), want)
	}
}

// An evaluation that is interrupted is made up for.
func TestResumeInEvaluation(t *testing.T) {
	straight := filepath.Join(t.TempDir(), "toy")
	o := toyOptions()
	o.EvalSteps = 4 // together with a checkpoint
	y, st := newToy(t, straight, o)
	if err := y.train(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	st.Close()
	dir := filepath.Join(t.TempDir(), "toy")
	y, st = newToy(t, dir, o)
	ctx, cancel := context.WithCancel(context.Background())
	y.loop.Extra = nil
	err := func() error {
		for !y.loop.Done() {
			if err := y.trainOne(ctx, cancel); err != nil {
				return err
			}
		}
		return nil
	}()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	st.Close()
	y, st = newToy(t, dir, o)
	if err := y.train(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	st.Close()
	wantSame(t, "in evaluation", snapshotDir(t, dir), snapshotDir(t, straight))
}

// trainOne is a step of train whose evaluation is interrupted.
func (y *toy) trainOne(ctx context.Context, cancel func()) error {
	total := 0.0
	batches := y.loop.Batches()
	for _, b := range batches {
		for _, i := range b {
			for k, w := range y.w.values() {
				d := w - y.data[i]*float32(k+1)
				total += float64(d*d) / 2
				setGrad(y.w, addAt(y.w.grad(), k, d/float32(len(b)*len(batches)))...)
			}
		}
		y.loop.Observe(map[string]float64{"seen": float64(len(b))})
	}
	lr := y.loop.LR()
	norm, err := y.loop.Update(y.opt, total, lr)
	if err != nil {
		return err
	}
	y.loop.Observe(map[string]float64{"loss": total})
	y.loop.Gauge("grad_norm", norm)
	y.loop.Gauge("learning_rate", lr)
	y.loop.State["tokens"] += 1.5
	return y.loop.End(ctx, func(ctx context.Context) (map[string]float64, error) {
		cancel()
		return nil, ctx.Err()
	})
}

func TestBatches(t *testing.T) {
	o := toyOptions()
	y, st := newToy(t, filepath.Join(t.TempDir(), "toy"), o)
	defer st.Close()
	var seen, after []int
	for y.loop.Step = 0; y.loop.Step < 5; y.loop.Step++ { // 18 examples, 4 a step
		batches := y.loop.Batches()
		if want := 2; y.loop.Step == 4 {
			if len(batches) != 1 || len(batches[0]) != 2 {
				t.Errorf("last step: %v", batches)
			}
		} else if len(batches) != want || len(batches[0]) != 2 || len(batches[1]) != 2 {
			t.Errorf("step %d: %v", y.loop.Step, batches)
		}
		for i, b := range batches {
			if len(seen) > 0 && !slices.Equal(b, after) {
				t.Errorf("step %d, batch %d: %v, announced %v", y.loop.Step, i, b, after)
			}
			after = slices.Clone(y.loop.After(i))
			seen = append(seen, b...)
		}
	}
	if len(after) != 0 {
		t.Errorf("after an epoch %v", after)
	}
	y.loop.Step, y.loop.Total = 2, 3
	if next, last := y.loop.After(0), y.loop.After(1); !slices.Equal(next, y.loop.Batches()[1]) || len(last) != 0 {
		t.Errorf("in the training's last step %v and %v", next, last)
	}
	if slices.IsSorted(seen) {
		t.Error("not shuffled")
	}
	second := slices.Clone(y.loop.Batches()[0])
	if slices.Equal(second, seen[:2]) {
		t.Error("the second epoch has the order of the first")
	}
	slices.Sort(seen)
	for i, v := range seen {
		if i != v {
			t.Fatalf("an epoch visits %v", seen)
		}
	}
}

func TestNotFinite(t *testing.T) {
	for name, spoil := range map[string]func(*toy) float64{
		"loss":     func(*toy) float64 { return math.NaN() },
		"infinite": func(*toy) float64 { return math.Inf(1) },
		"gradient": func(y *toy) float64 { setGrad(y.w, 1, float32(math.NaN()), 0); return 1 },
	} {
		dir := filepath.Join(t.TempDir(), "toy")
		y, st := newToy(t, dir, toyOptions())
		kill := errors.New("enough")
		func() {
			defer func() { recover() }()
			y.train(context.Background(), func(step int) {
				if step == 5 {
					panic(kill)
				}
			})
		}()
		before := snapshotDir(t, dir)
		w := slices.Clone(y.w.values())
		_, err := y.loop.Update(y.opt, spoil(y), 0.1)
		if err == nil || !strings.Contains(err.Error(), "step 6") || !strings.Contains(err.Error(), "step-00000004") {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(w, y.w.values()) {
			t.Errorf("%s: parameters changed", name)
		}
		wantSame(t, name, snapshotDir(t, dir), before)
		st.Close()
	}
}
