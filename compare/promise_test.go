package compare

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// finished reads the report of a finished run that the environment names, or skips the test.
func finished(t *testing.T, env, config string) *Report {
	t.Helper()
	dir := os.Getenv(env)
	if dir == "" {
		t.Skipf("%s is not set: it names the folder of a finished run of %s", env, config)
	}
	var r Report
	readJSON(t, filepath.Join(dir, "compare", "report.json"), &r)
	return &r
}

func gains(t *testing.T, r *Report, run string) {
	t.Helper()
	d := r.Difference(run, "base", FigureGold)
	if d == nil {
		t.Fatalf("the report does not compare %s with the base in gold", run)
	}
	t.Logf("%s - base in gold: %+.3f %s", run, d.Paired.Mean, bounds(d.Paired))
	if d.Paired.Low <= 0 {
		t.Errorf("%s does not gain in gold: %+v", run, d.Paired)
	}
}

// What the quickstart promises: aligned policies are better by the true reward, and not by having learned a phrase.
func TestQuickstartKeepsItsPromise(t *testing.T) {
	r := finished(t, "PLUMB_RUN", "configs/quickstart.yaml")
	if r.Prompts < 500 {
		t.Errorf("compared on %d prompts, want 500", r.Prompts)
	}
	gains(t, r, "dpo")
	gains(t, r, "ppo")
	base := r.Run("base").Gold.Mean
	if base < 0.3 || base > 0.6 {
		t.Errorf("the base scores %.3f, want .3 to .6", base)
	}
	if r.Constant == nil || r.Constant.Tried < 1000 || r.Constant.Gold > base+0.05 {
		t.Errorf("constant answers: %+v, the base scores %.3f", r.Constant, base)
	}
	for _, name := range []string{"dpo", "ppo"} {
		if kl := r.Run(name).KL; kl == nil || kl.Low <= 0 {
			t.Errorf("%s has KL %+v", name, kl)
		}
	}
}

// What its controls promise: shuffled labels teach nothing, and the truth teaches more than its proxy. Where a policy goes that follows coins differs from
// one shuffling to the next by more than its interval over prompts, so the mean of three is judged by their spread, and beside what labels teach.
func TestControlsKeepTheirPromise(t *testing.T) {
	r := finished(t, "PLUMB_CONTROLS", "configs/controls.yaml")
	gains(t, r, "ppo_gold")
	labels := r.Difference("ppo", "base", FigureGold)
	var coins []float64
	for _, run := range []string{"ppo_shuffled_1", "ppo_shuffled_2", "ppo_shuffled_3"} {
		d := r.Difference(run, "base", FigureGold)
		if d == nil || labels == nil {
			t.Fatalf("the report does not compare ppo and %s with the base in gold", run)
		}
		t.Logf("%s - base in gold: %+.3f %s", run, d.Paired.Mean, bounds(d.Paired))
		if d.Paired.High >= labels.Paired.Low {
			t.Errorf("PPO on shuffled labels gains %+v, on labels %+v", d.Paired, labels.Paired)
		}
		coins = append(coins, d.Paired.Mean)
	}
	m, spread := mean(coins), 0.0
	for _, x := range coins {
		spread += (x - m) * (x - m) / float64(len(coins)-1)
	}
	const student = 4.303 // 97.5% of the distribution with two degrees of freedom
	if low := m - student*math.Sqrt(spread/float64(len(coins))); low > 0 || m > labels.Paired.Mean/10 {
		t.Errorf("PPO on shuffled labels gains %+.3f at least, %+.3f in the mean; on labels %+.3f", low, m, labels.Paired.Mean)
	}
	gold, proxy := r.Run("ppo_gold").Gold, r.Run("ppo").Gold
	t.Logf("PPO on gold %.3f, on the proxy %.3f", gold.Mean, proxy.Mean)
	if gold.Low <= proxy.High {
		t.Errorf("PPO on gold reaches %+v, on the proxy %+v", gold, proxy)
	}
}
