package dpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

// One pair with c = 2 ln 3 and r = ln 3 over 2 and 1 tokens. With beta 1: bd = ln 3, s(bd) = 3/4,
// s(bc) = 9/10, s(br) = 3/4. Every expectation below follows from these by hand.
func TestLossesByHand(t *testing.T) {
	ln3 := math.Log(3)
	pair := Pair{
		Chosen: -5 + 2*ln3, RefChosen: -5, Rejected: -7 + ln3, RefRejected: -7,
		ChosenTokens: 2, RejectedTokens: 1, ChosenRaw: -5 + 2*ln3, ChosenScored: 2,
	}
	l := math.Log
	m := 1 / (1 + math.Pow(3, -2)) // discopop with tau 1/2: s(2 ln 3) = 9/10
	for _, c := range []struct {
		name string
		want float64
	}{
		{"sigmoid", l(4.0 / 3)},
		{"hinge", 0},     // 1 - ln 3 < 0
		{"ipo", 1.0 / 4}, // (ln 3 - ln 3 - 1/2)^2
		{"robust", (0.9*l(4.0/3) - 0.1*l(4)) / 0.8},
		{"cdpo", 0.9*l(4.0/3) + 0.1*l(4)},
		{"exo_pair", 0.75*l(0.75/0.9) + 0.25*l(0.25/0.1)},
		{"nca_pair", l(10.0/9) + 0.5*l(10) + 0.5*l(4)},
		{"bco_pair", l(10.0/9) + l(4)},
		{"sppo_hard", (2*ln3-0.5)*(2*ln3-0.5) + (ln3+0.5)*(ln3+0.5)},
		{"apo_zero", 0.1 + 0.75},
		{"apo_down", 0.9 + 0.25},
		{"discopop", l(4.0/3)*(1-m) + m/3},
		{"sft", (5 - 2*ln3) / 2},
		{"sigmoid_norm", math.Ln2},
		{"aot", 0.9*l(4.0/3) + 0.1*l(4)},          // one pair: nothing to sort
		{"aot_unpaired", 0.9*l(4.0/3) + 0.1*l(4)}, // likewise
	} {
		o := Objective{Types: []string{c.name}, Beta: 1, LabelSmoothing: 0.1, DiscoPOPTau: 0.5}
		got, _ := o.Loss([]Pair{pair}, Of([]Pair{pair}))
		near(t, c.name, got, c.want, 1e-12)
	}
}

// Half the log ratios of TestLossesByHand under twice its beta: what depends on bc and br alone is as there, and the losses
// whose target moves with beta are worked out anew.
func TestBetaByHand(t *testing.T) {
	ln3, l := math.Log(3), math.Log
	pair := Pair{Chosen: -5 + ln3, RefChosen: -5, Rejected: -7 + ln3/2, RefRejected: -7, ChosenTokens: 2, RejectedTokens: 1}
	for _, c := range []struct {
		name string
		want float64
	}{
		{"sigmoid", l(4.0 / 3)},
		{"hinge", 0},
		{"cdpo", 0.9*l(4.0/3) + 0.1*l(4)},
		{"robust", (0.9*l(4.0/3) - 0.1*l(4)) / 0.8},
		{"exo_pair", 0.75*l(0.75/0.9) + 0.25*l(0.25/0.1)},
		{"nca_pair", l(10.0/9) + 0.5*l(10) + 0.5*l(4)},
		{"bco_pair", l(10.0/9) + l(4)},
		{"apo_zero", 0.1 + 0.75},
		{"apo_down", 0.9 + 0.25},
		{"aot", 0.9*l(4.0/3) + 0.1*l(4)},
		{"aot_unpaired", 0.9*l(4.0/3) + 0.1*l(4)},
		{"ipo", 1.0 / 16}, // (ln 3 / 2 - ln 3 / 2 - 1/4)^2
		{"sppo_hard", (ln3-0.25)*(ln3-0.25) + (ln3/2+0.25)*(ln3/2+0.25)},
	} {
		o := Objective{Types: []string{c.name}, Beta: 2, LabelSmoothing: 0.1}
		got, _ := o.Loss([]Pair{pair}, Of([]Pair{pair}))
		near(t, c.name, got, c.want, 1e-12)
	}
}

// Reference-free losses, from average log-probabilities ln(1/2) and ln(1/4) of 2 and 3 tokens.
func TestReferenceFreeByHand(t *testing.T) {
	pair := Pair{Chosen: 2 * math.Log(0.5), Rejected: 3 * math.Log(0.25), ChosenTokens: 2, RejectedTokens: 3}
	for _, c := range []struct {
		name string
		want float64
	}{
		{"simpo", -math.Log(1 / (1 + math.Exp(-(2*math.Ln2 - 0.5))))}, // 2 (ln 1/2 - ln 1/4) - gamma
		{"cpo", -math.Log(1 / (1 + math.Exp(-2*(2*math.Log(0.5)-3*math.Log(0.25)))))},
		{"orpo", 2 * math.Log(4.0/3)}, // odds 1 against 1/3: s(ln 3) = 3/4
	} {
		o := Objective{Types: []string{c.name}, Beta: 2, SimPOGamma: 0.5}
		got, _ := o.Loss([]Pair{pair}, Batch{Pairs: 1})
		near(t, c.name, got, c.want, 1e-12)
	}
}

// Scores of a log ratio ln 2 under each divergence: f'(t) at t = 2.
func TestDivergencesByHand(t *testing.T) {
	for _, c := range []struct {
		name string
		want float64
	}{{"reverse_kl", math.Ln2}, {"forward_kl", 0.5}, {"js_divergence", math.Log(4.0 / 3)}, {"alpha_divergence", 2 - math.Sqrt2}} {
		got, _ := Objective{Divergence: c.name, AlphaDivergence: 0.5}.score(math.Ln2)
		near(t, c.name, got, c.want, 1e-12)
	}
}

// The policy's log ratios 1, 3 meet the reference's 5, 0 in sorted order: 1-0 and 3-5.
func TestAOTSorts(t *testing.T) {
	pairs := []Pair{{Chosen: 1, RefChosen: 5}, {Chosen: 3, RefChosen: 0}}
	got, grads := Objective{Types: []string{"aot"}, Beta: 1}.Loss(pairs, Of(pairs))
	near(t, "aot", got, (math.Log1p(math.Exp(-1))+math.Log1p(math.Exp(2)))/2, 1e-12)
	near(t, "slope of the first", grads[0].Chosen, -0.5/(1+math.E), 1e-12)
	near(t, "slope of the second", grads[1].Rejected, 0.5/(1+math.Exp(-2)), 1e-12)
}

func samplePairs() []Pair {
	rng := rand.New(rand.NewPCG(1, 2))
	pairs := make([]Pair, 6)
	for i := range pairs {
		p := &pairs[i]
		p.Chosen, p.Rejected = -20*rng.Float64()-1, -20*rng.Float64()-1
		p.RefChosen, p.RefRejected = p.Chosen+4*rng.Float64()-2, p.Rejected+4*rng.Float64()-2
		p.ChosenTokens, p.RejectedTokens = 1+rng.IntN(9), 1+rng.IntN(9)
		p.ChosenRaw, p.ChosenScored = p.Chosen*1.1, p.ChosenTokens
	}
	return pairs
}

// Every loss under every divergence it allows, and a weighted sum, against finite differences.
func TestGradients(t *testing.T) {
	pairs := samplePairs()
	var objectives []Objective
	for _, name := range LossTypes() {
		for _, d := range []string{"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"} {
			if d == "reverse_kl" || divergent[name] {
				objectives = append(objectives, Objective{Types: []string{name}, Divergence: d})
			}
		}
	}
	objectives = append(objectives, Objective{Types: []string{"sigmoid", "sft", "bco_pair"}, Weights: []float64{0.5, 2, 0.25}})
	for _, o := range objectives {
		o.Beta, o.LabelSmoothing, o.DiscoPOPTau, o.SimPOGamma, o.AlphaDivergence = 0.3, 0.15, 0.7, 0.4, 0.6
		in := Of(pairs)
		_, grads := o.Loss(pairs, in)
		const h = 1e-6
		moved := false
		for i := range pairs {
			for _, f := range []struct {
				name string
				x    *float64
				g    float64
			}{{"chosen", &pairs[i].Chosen, grads[i].Chosen}, {"rejected", &pairs[i].Rejected, grads[i].Rejected}, {"raw", &pairs[i].ChosenRaw, grads[i].ChosenRaw}} {
				x := *f.x
				*f.x = x + h
				up, _ := o.Loss(pairs, in)
				*f.x = x - h
				down, _ := o.Loss(pairs, in)
				*f.x = x
				want := (up - down) / (2 * h)
				near(t, fmt.Sprintf("%v %s pair %d %s", o.Types, o.Divergence, i, f.name), f.g, want, 1e-6*(1+math.Abs(want)))
				moved = moved || math.Abs(want) > 1e-3
			}
		}
		if !moved {
			t.Errorf("%v %s: no gradient above 1e-3: nothing was tested", o.Types, o.Divergence)
		}
	}
}

// A batch computed in parts has the loss and gradients of the whole.
func TestLossInParts(t *testing.T) {
	pairs := samplePairs()
	for _, name := range LossTypes() {
		o := Objective{Types: []string{name, "sft"}, Beta: 0.3, LabelSmoothing: 0.15, DiscoPOPTau: 0.7}
		if o.coupled() {
			continue
		}
		in := Of(pairs)
		whole, grads := o.Loss(pairs, in)
		a, ga := o.Loss(pairs[:2], in)
		b, gb := o.Loss(pairs[2:], in)
		near(t, name, a+b, whole, 1e-12)
		for i, g := range append(ga, gb...) {
			near(t, name+" gradient", g.Chosen, grads[i].Chosen, 0)
		}
	}
}

// Extreme log ratios neither overflow nor lose the sign of the gradient.
func TestLossesStayFinite(t *testing.T) {
	for _, name := range LossTypes() {
		for _, c := range []float64{-1e4, 1e4} {
			if name == "discopop" && c < 0 { // exponential by definition
				continue
			}
			p := []Pair{{Chosen: -1e4 + c, RefChosen: -1e4, Rejected: -1e4 - c, RefRejected: -1e4, ChosenTokens: 9, RejectedTokens: 9, ChosenRaw: -1e4, ChosenScored: 9}}
			o := Objective{Types: []string{name}, Beta: 0.1, LabelSmoothing: 0.1, DiscoPOPTau: 0.05}
			loss, g := o.Loss(p, Of(p))
			for _, x := range []float64{loss, g[0].Chosen, g[0].Rejected} {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					t.Errorf("%s at %g: loss %g, gradient %+v", name, c, loss, g[0])
				}
			}
		}
	}
}
