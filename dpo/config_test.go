package dpo

import (
	"errors"
	"slices"
	"testing"

	"plumb/internal/run"
)

func TestValidate(t *testing.T) {
	if f := Defaults().Validate(); len(f) != 0 {
		t.Errorf("defaults: %v", f)
	}
	faults := func(change func(*Config)) []string {
		cfg := Defaults()
		change(&cfg)
		var keys []string
		for _, err := range cfg.Validate() {
			var f *run.Fault
			if !errors.As(err, &f) {
				t.Fatalf("%v is no Fault", err)
			}
			keys = append(keys, f.Key)
		}
		return keys
	}
	for _, c := range []struct {
		want   []string
		change func(*Config)
	}{
		{[]string{"max_length", "beta", "loss_type"}, func(c *Config) { c.MaxLength, c.Beta, c.LossType = 1, 0, nil }},
		{[]string{"loss_type", "loss_weights"}, func(c *Config) { c.LossType, c.LossWeights = []string{"sigmoidal"}, []float64{1, 2} }},
		{[]string{"label_smoothing"}, func(c *Config) { c.LossType, c.LabelSmoothing = []string{"robust"}, 0.5 }},
		{[]string{"label_smoothing"}, func(c *Config) { c.LossType = []string{"exo_pair"} }},
		{[]string{"f_divergence_type"}, func(c *Config) { c.LossType, c.FDivergenceType = []string{"nca_pair"}, "forward_kl" }},
		{[]string{"ld_alpha", "f_divergence_type"}, func(c *Config) { c.LDAlpha, c.FDivergenceType = 2, "kl" }},
	} {
		if got := faults(c.change); !slices.Equal(got, c.want) {
			t.Errorf("faults %v, want %v", got, c.want)
		}
	}
}
