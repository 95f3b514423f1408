package dpo

import (
	"math"
	"slices"

	"plumb/internal/train"
)

// smoothed is -(1-e) log s(x) - e log s(-x) and its derivative.
func smoothed(x, e float64) (float64, float64) {
	return -(1-e)*train.LogSigmoid(x) - e*train.LogSigmoid(-x), -(1-e)*train.Sigmoid(-x) + e*train.Sigmoid(x)
}

// LossTypes lists every name that Config.LossType accepts, sorted.
func LossTypes() []string {
	names := []string{"aot", "aot_unpaired", "sft"}
	for name := range lossTypes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// referenceFree losses take no reference log-probabilities.
var referenceFree = map[string]bool{"simpo": true, "cpo": true, "orpo": true, "sft": true}

// divergent losses depend on the difference of scores only, so that the normaliser of an
// f-divergence cancels; the others have no meaning under one.
var divergent = map[string]bool{"sigmoid": true, "sigmoid_norm": true, "hinge": true, "ipo": true,
	"exo_pair": true, "robust": true, "cdpo": true, "discopop": true, "sft": true}

// lossTypes maps a name to the loss of one pair and its gradient.
var lossTypes = map[string]func(Objective, Pair) (float64, Grad){
	// -log s(b(c-r)). Rafailov et al. 2023.
	"sigmoid": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		return -train.LogSigmoid(x), back(-train.Sigmoid(-x))
	},
	// relu(1 - b(c-r)). Liu et al. 2023, SLiC as in RSO.
	"hinge": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		if x >= 1 {
			return 0, back(0)
		}
		return 1 - x, back(-1)
	},
	// (c/|c| - r/|r| - 1/(2b))^2, token averages. Azar et al. 2023, equation 17.
	"ipo": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.normed(p)
		x -= 1 / (2 * o.Beta)
		return x * x, back(2 * x)
	},
	// [-(1-e) log s(x) + e log s(-x)]/(1-2e). Chowdhury et al. 2024.
	"robust": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		e := o.LabelSmoothing
		l := (-(1-e)*train.LogSigmoid(x) + e*train.LogSigmoid(-x)) / (1 - 2*e)
		return l, back((-(1-e)*train.Sigmoid(-x) - e*train.Sigmoid(x)) / (1 - 2*e))
	},
	// -(1-e) log s(x) - e log s(-x). Mitchell 2023, conservative DPO.
	"cdpo": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		l, g := smoothed(x, o.LabelSmoothing)
		return l, back(g)
	},
	// s(x)(log s(x) - log(1-e)) + s(-x)(log s(-x) - log e). Ji et al. 2024, equation 16.
	"exo_pair": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		q, nq := train.Sigmoid(x), train.Sigmoid(-x)
		lw := train.LogSigmoid(x) - math.Log1p(-o.LabelSmoothing)
		ll := train.LogSigmoid(-x) - math.Log(o.LabelSmoothing)
		// d/dx: s' (lw - ll), since the derivatives of the two logarithms cancel.
		return q*lw + nq*ll, back(q * nq * (lw - ll))
	},
	// -log s(bc) - log s(-bc)/2 - log s(-br)/2. Chen et al. 2024, noise contrastive alignment.
	"nca_pair": func(o Objective, p Pair) (float64, Grad) {
		c, r := o.Beta*(p.Chosen-p.RefChosen), o.Beta*(p.Rejected-p.RefRejected)
		l := -train.LogSigmoid(c) - 0.5*train.LogSigmoid(-c) - 0.5*train.LogSigmoid(-r)
		return l, Grad{
			Chosen:   o.Beta * (-train.Sigmoid(-c) + 0.5*train.Sigmoid(c)),
			Rejected: o.Beta * 0.5 * train.Sigmoid(r),
		}
	},
	// -log s(bc) - log s(-br). Jung et al. 2024, without the shift by a running mean.
	"bco_pair": func(o Objective, p Pair) (float64, Grad) {
		c, r := o.Beta*(p.Chosen-p.RefChosen), o.Beta*(p.Rejected-p.RefRejected)
		return -train.LogSigmoid(c) - train.LogSigmoid(-r),
			Grad{Chosen: -o.Beta * train.Sigmoid(-c), Rejected: o.Beta * train.Sigmoid(r)}
	},
	// (c - 1/(2b))^2 + (r + 1/(2b))^2. Wu et al. 2024, equation 4.7 with P in {0, 1}.
	"sppo_hard": func(o Objective, p Pair) (float64, Grad) {
		c := p.Chosen - p.RefChosen - 0.5/o.Beta
		r := p.Rejected - p.RefRejected + 0.5/o.Beta
		return c*c + r*r, Grad{Chosen: 2 * c, Rejected: 2 * r}
	},
	// 1 - s(bc) + s(br). D'Oosterlinck et al. 2024, equation 7.
	"apo_zero": func(o Objective, p Pair) (float64, Grad) {
		c, r := train.Sigmoid(o.Beta*(p.Chosen-p.RefChosen)), train.Sigmoid(o.Beta*(p.Rejected-p.RefRejected))
		return 1 - c + r, Grad{Chosen: -o.Beta * c * (1 - c), Rejected: o.Beta * r * (1 - r)}
	},
	// s(bc) + 1 - s(b(c-r)). D'Oosterlinck et al. 2024, equation 8.
	"apo_down": func(o Objective, p Pair) (float64, Grad) {
		c, r := p.Chosen-p.RefChosen, p.Rejected-p.RefRejected
		sc, sd := train.Sigmoid(o.Beta*c), train.Sigmoid(o.Beta*(c-r))
		gc, gd := o.Beta*sc*(1-sc), o.Beta*sd*(1-sd)
		return sc + 1 - sd, Grad{Chosen: gc - gd, Rejected: gd}
	},
	// -log s(x)(1-m) + e^-x m, m = s(x/tau). Lu et al. 2024, equation 5.
	"discopop": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.delta(p)
		m := train.Sigmoid(x / o.DiscoPOPTau)
		logistic, exp := -train.LogSigmoid(x), math.Exp(-x)
		dm := m * (1 - m) / o.DiscoPOPTau
		return logistic*(1-m) + exp*m, back(-train.Sigmoid(-x)*(1-m) - exp*m + (exp-logistic)*dm)
	},
	// -log s(b(c/|c| - r/|r|)), token averages. Length-normalised DPO, Lambert et al. 2024.
	"sigmoid_norm": func(o Objective, p Pair) (float64, Grad) {
		x, back := o.normed(p)
		x *= o.Beta
		return -train.LogSigmoid(x), back(-train.Sigmoid(-x) * o.Beta)
	},
	// cDPO's form of b(avg log pi(chosen) - avg log pi(rejected)) - gamma; no reference. Meng et al. 2024.
	"simpo": func(o Objective, p Pair) (float64, Grad) {
		nc, nr := float64(max(p.ChosenTokens, 1)), float64(max(p.RejectedTokens, 1))
		l, g := smoothed(o.Beta*(p.Chosen/nc-p.Rejected/nr)-o.SimPOGamma, o.LabelSmoothing)
		return l, Grad{Chosen: g * o.Beta / nc, Rejected: -g * o.Beta / nr}
	},
	// cDPO's form of b(log pi(chosen) - log pi(rejected)); no reference. Xu et al. 2024; its
	// likelihood term is the sft loss beside it.
	"cpo": func(o Objective, p Pair) (float64, Grad) {
		l, g := smoothed(o.Beta*(p.Chosen-p.Rejected), o.LabelSmoothing)
		return l, Grad{Chosen: g * o.Beta, Rejected: -g * o.Beta}
	},
	// -b log s(log odds(chosen) - log odds(rejected)), odds of the token-averaged probability; no
	// reference. Hong et al. 2024, equation 7; its likelihood term is the sft loss beside it.
	"orpo": func(o Objective, p Pair) (float64, Grad) {
		nc, nr := float64(max(p.ChosenTokens, 1)), float64(max(p.RejectedTokens, 1))
		c, dc := logOdds(p.Chosen / nc)
		r, dr := logOdds(p.Rejected / nr)
		g := -o.Beta * train.Sigmoid(-(c - r))
		return -o.Beta * train.LogSigmoid(c-r), Grad{Chosen: g * dc / nc, Rejected: -g * dr / nr}
	},
}

// logOdds returns log(p/(1-p)) of a log-probability and its derivative 1/(1-p). A probability
// that rounds to 1 is taken just below it: its odds are infinite and would end the run.
func logOdds(lp float64) (float64, float64) {
	lp = math.Min(lp, -1e-9)
	return lp - math.Log(-math.Expm1(lp)), -1 / math.Expm1(lp)
}
