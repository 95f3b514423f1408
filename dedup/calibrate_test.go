package dedup

import (
	"bytes"
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"plumb/datasets"
	"plumb/dedup/plant"
	"plumb/internal/run"
)

func TestWilson(t *testing.T) {
	// 8 of 10: 0.4902 to 0.9433 (Wilson's interval as statsmodels prints it)
	if w := Wilson(0.8, 10); math.Abs(w.Low-0.490162) > 1e-5 || math.Abs(w.High-0.943318) > 1e-5 {
		t.Errorf("got %+v", w)
	}
	if w := Wilson(0, 0); w.Low != 0 || w.High != 1 {
		t.Errorf("without trials %+v", w)
	}
}

// TestCalibrateFindsTheThreshold uses a judge that knows the truth: pairs are the same exactly when their word overlap
// is high, so precision must rise with the threshold and the threshold to use must be near the truth's edge.
func TestCalibrateFindsTheThreshold(t *testing.T) {
	p := plant.Planter{Rand: run.Rand(12, "test calibrate"), Half: -1}
	var in []datasets.Record
	for range 150 {
		words := strings.Fields(p.Text(6))
		for cut := range 5 {
			in = append(in, pairOf("", strings.Join(words[:len(words)-cut*len(words)/12], " "), "y", "n"))
		}
	}
	cfg := Defaults()
	cfg.Key, cfg.Vectors.Enabled = KeyPrompt, false
	const edge = 0.8
	judge := scorer(func(a, b string) float64 {
		w := newLexer(cfg.MinHash)
		if jaccard(w.set(nil, a), w.set(nil, b)) >= edge {
			return 1
		}
		return 0
	})
	cfg.Verifier.Kind = "judge"
	got, err := Calibrate(context.Background(), cfg, Records(in), Tools{Verifier: judge}, CalibrateOptions{PerBin: 60})
	if err != nil {
		t.Fatal(err)
	}
	c := got[0]
	if len(got) != 1 || c.Judge != "verifier" || !c.Reached || c.Use < edge-0.051 || c.Use > edge+0.001 {
		t.Errorf("%d calibrations; judge %s, reached %v, use %v", len(got), c.Judge, c.Reached, c.Use)
	}
	for _, x := range c.Points {
		if x.Precision.Low > x.Precision.Value || x.Precision.Value > x.Precision.High || x.Threshold >= edge && x.Pairs > 0 && x.Precision.Value != 1 {
			t.Errorf("point %+v", x)
		}
		if x.Threshold <= edge && x.Recall.Value < 0.999 {
			t.Errorf("recall at %v is %v: the true pairs all lie above", x.Threshold, x.Recall.Value)
		}
	}
	// People's labels go before the verifier: with everything labelled as different no threshold is good enough.
	labels := make([]Labelled, 0)
	for _, s := range c.Samples {
		labels = append(labels, Labelled{s.A, s.B, false})
	}
	got, err = Calibrate(context.Background(), cfg, Records(in), Tools{Verifier: judge}, CalibrateOptions{PerBin: 60, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Judge != "labels" || got[0].Reached {
		t.Errorf("judge %s, reached %v", got[0].Judge, got[0].Reached)
	}
	var b bytes.Buffer
	if err := WriteSamples(&b, got); err != nil {
		t.Fatal(err)
	}
	back, err := ReadLabels(&b)
	if err != nil || len(back) != len(labels) || !slices.Equal(back, labels) {
		t.Errorf("%d labels read back, want %d, %v", len(back), len(labels), err)
	}
	if _, err := ReadLabels(strings.NewReader(`{"same":true}`)); err == nil {
		t.Error("labels without texts were accepted")
	}
	cfg.Verifier.Kind = "none"
	if _, err := Calibrate(context.Background(), cfg, Records(in), Tools{}, CalibrateOptions{}); err == nil {
		t.Error("calibrated with nobody to judge")
	}
}

type scorer func(a, b string) float64

func (s scorer) Score(_ context.Context, pairs [][2]string) ([]float64, error) {
	out := make([]float64, len(pairs))
	for i, p := range pairs {
		out[i] = s(p[0], p[1])
	}
	return out, nil
}

func TestPageShowsClustersAndEscapes(t *testing.T) {
	in := contradictory()
	in = append(in, pairOf("evil", bake+" <script>alert(1)</script>", forty, never))
	var page bytes.Buffer
	runAll(t, Defaults(), in, Tools{Page: &page})
	html := page.String()
	for _, want := range []string{"good1", "evil", "minhash", "records read"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, never := range []string{"<script>alert", "http://", "https://"} {
		if strings.Contains(html, never) {
			t.Errorf("the page contains %q", never)
		}
	}
}

func TestSpoolBeyondMemory(t *testing.T) {
	s := newSpool(t.TempDir(), 10)
	var want []string
	for i := range 200 {
		x := strings.Repeat("x", i%7) + string(rune('a'+i%26))
		want = append(want, x)
		if err := s.add([]byte(x)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sync(); err != nil {
		t.Fatal(err)
	}
	for i, x := range want {
		if got, err := s.get(i, nil); err != nil || string(got) != x {
			t.Fatalf("string %d is %q, %v, want %q", i, got, err, x)
		}
	}
	name := s.file.Name()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the temporary file stays: %v", err)
	}
}

func TestConfigFaultsComeTogether(t *testing.T) {
	if f := Defaults().Validate(); len(f) != 0 {
		t.Errorf("the defaults are wrong: %v", f)
	}
	bad := Defaults()
	bad.Key, bad.MinHash.Threshold, bad.Vectors.Store, bad.Keep.Policy, bad.Preference.Ties = "text", 1.5, "redis://x", "newest", "majority"
	var keys []string
	for _, f := range bad.Validate() {
		keys = append(keys, f.(interface{ FaultKey() string }).FaultKey())
	}
	if want := []string{"key", "minhash.threshold", "vectors.store", "keep.field", "preference.ties"}; !slices.Equal(keys, want) {
		t.Errorf("faults %v, want %v", keys, want)
	}
	if _, err := Run(context.Background(), bad, Records(contradictory()), &sink{}, Tools{}); err == nil {
		t.Error("a wrong configuration ran")
	}
	if _, err := Run(context.Background(), Defaults(), Records(nil), &sink{}, Tools{}); err == nil {
		t.Error("an empty input ran")
	}
}

// TestLabelsKeepUnpairedApart has two equal answers with opposite labels: no copies.
func TestLabelsKeepUnpairedApart(t *testing.T) {
	yes, no := true, false
	in := []datasets.Record{{ID: "a", Prompt: datasets.Text(bake), Chosen: datasets.Text(forty), Label: &yes},
		{ID: "b", Prompt: datasets.Text(bake), Chosen: datasets.Text(forty), Label: &no},
		{ID: "c", Prompt: datasets.Text(bake), Chosen: datasets.Text(forty), Label: &yes}}
	out, _, _ := runAll(t, Defaults(), in, Tools{})
	if got := strings.Join(ids(out), ""); got != "ab" {
		t.Errorf("kept %q, want ab", got)
	}
}
