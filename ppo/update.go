package ppo

import (
	"context"

	"plumb/adapters"
	"plumb/internal/ops"
	"plumb/internal/train"
)

// stats are TRL's numbers of one minibatch.
type stats struct{ policy, value, approxKL, clipFrac, valueClipFrac, entropy, ratio float64 }

// groups cuts an update's episodes, in an epoch's order, into those over whose tokens means run.
//
// A minibatch is one group and one optimiser step. In compat trl a minibatch is cut
// into batches of batch_size episodes, over which the means run, and grad_accumulation of these make a step
// whatever the minibatch; in the last update of a pass over the prompts, where accelerate ends
// accumulation, each makes one, with gradients as small as before.
func (t *trainer) groups(episodes []*episode, order []int) (out [][]*episode) {
	mini := len(episodes) / t.cfg.NumMiniBatches
	size := mini
	if t.cfg.Compat == "trl" {
		size = min(mini, t.cfg.BatchSize)
	}
	for first := 0; first < len(order); {
		end := min(first+size, (first/mini+1)*mini)
		group := make([]*episode, 0, size)
		for _, i := range order[first:end] {
			group = append(group, episodes[i])
		}
		out, first = append(out, group), end
	}
	return out
}

// share is what a group's gradients count in an optimiser step, and perStep how many groups one has.
func (t *trainer) share(update int) (share float64, perStep int) {
	if t.cfg.Compat != "trl" {
		return 1, 1
	}
	share, perStep = 1/float64(t.cfg.GradAccumulation), t.cfg.GradAccumulation
	if t.lastOfPass(update) {
		perStep = 1
	}
	return share, perStep
}

// optimise appraises an update's episodes and trains policy and critic on them for NumPPOEpochs, and returns the
// stats of each group. order gives the episodes' order in an epoch. It stops with the context's error between passes.
func (t *trainer) optimise(ctx context.Context, loop *train.Loop, episodes []*episode, order func(epoch int) []int) ([]stats, error) {
	share, perStep := t.share(loop.Step)
	groups := t.groups(episodes, order(0))
	ahead, err := t.appraise(ctx, episodes, groups, min(perStep, len(groups)), share)
	if err != nil {
		return nil, err
	}
	lr := loop.LR()
	vlr := lr
	if t.cfg.ValueLearningRate > 0 {
		critic := t.cfg.Options
		critic.LearningRate = t.cfg.ValueLearningRate
		vlr = critic.LR(loop.Step, loop.Total)
	}
	var out []stats
	loss, waiting := 0.0, 0
	for epoch := range t.cfg.NumPPOEpochs {
		if epoch > 0 {
			groups = t.groups(episodes, order(epoch))
		}
		for _, group := range groups {
			var learnt *stats
			if len(out) < len(ahead) {
				learnt = &ahead[len(out)]
			}
			s, err := t.gradients(ctx, group, share, learnt)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
			loss += (s.policy + t.cfg.VFCoef*s.value) * share
			if waiting++; waiting < perStep {
				continue
			}
			// Each is clipped by itself: a critic's large first errors must not still the policy.
			norm, err := loop.Update(t.policyOpt, loss, lr)
			if err != nil {
				return nil, err
			}
			valueNorm, err := loop.Update(t.criticOpt, loss, vlr)
			if err != nil {
				return nil, err
			}
			loop.Gauge("policy/grad_norm", norm)
			loop.Gauge("val/grad_norm", valueNorm)
			loss, waiting = 0, 0
		}
	}
	return out, nil
}

// gradients adds a group's gradients, times share, to those of policy and critic; the critic's are there already where learnt has its
// stats.
func (t *trainer) gradients(ctx context.Context, group []*episode, share float64, learnt *stats) (stats, error) {
	var s stats
	tokens := 0
	for _, e := range group {
		tokens += len(e.tokens)
	}
	perToken, perPosition := 1/float64(tokens), perPosition(group)
	policy, releasePolicy := t.policy.Fixed()
	defer releasePolicy()
	critic, releaseCritic := t.critic.Fixed()
	defer releaseCritic()
	passes := parts(group, t.cfg.MicroBatchTokens)
	each, values := make([]stats, len(passes)), ops.Turns(len(passes))
	t.cfg.Passes(len(passes), func(i int, turn *ops.Turn) {
		defer values[i].Finish()
		if ctx.Err() != nil {
			return
		}
		t.policyPass(policy, passes[i], &each[i], turn, perToken, share)
		if learnt == nil {
			t.valuePass(critic, passes[i], &each[i], values[i], perPosition, share, false)
		}
	})
	if err := ctx.Err(); err != nil {
		return s, err
	}
	for _, x := range each {
		s.add(x)
	}
	if learnt != nil {
		s.add(*learnt)
	}
	if t.cfg.Compat == "trl" { // its means of ratio and KL run over padding too, where the ratio is 1
		all := float64(len(group) * t.longest)
		s.ratio = (s.ratio*float64(tokens) + all - float64(tokens)) / all
		s.approxKL *= float64(tokens) / all
	}
	return s, nil
}

// perPosition is what a position of a group's buffers counts in a mean.
func perPosition(group []*episode) float64 {
	n := 0
	for _, e := range group {
		n += e.n
	}
	return 1 / float64(n)
}

func (s *stats) add(x stats) {
	s.policy, s.value, s.entropy = s.policy+x.policy, s.value+x.value, s.entropy+x.entropy
	s.approxKL, s.ratio = s.approxKL+x.approxKL, s.ratio+x.ratio
	s.clipFrac, s.valueClipFrac = s.clipFrac+x.clipFrac, s.valueClipFrac+x.valueClipFrac
}

func (t *trainer) policyPass(policy *adapters.Adapter, p *part, s *stats, turn *ops.Turn, perToken, share float64) {
	tape := ops.TrainingTape(0, ops.Dropout{}, t.cfg.GradientCheckpointing)
	tape.Turn = turn
	var tok ops.TokenStats
	lp := t.base.Score(tape, p.tree, policy, p.targets, t.cfg.Temperature, &tok)
	now := ops.Widen(ops.F32(lp))
	seed := make([]float32, len(now))
	for i, e := range p.episodes {
		at := p.spans[i].target
		n := len(e.tokens)
		loss, grad, ps := PolicyLoss(now[at:at+n], e.logprobs, e.advantages[:n], t.cfg.ClipRange, perToken)
		s.policy += loss
		s.clipFrac += ps.Clipped * perToken
		s.ratio += ps.Ratio * perToken
		s.approxKL += ps.ApproxKL * perToken
		for k, g := range grad {
			seed[at+k] = float32(g * share)
			s.entropy += float64(tok.Entropy[at+k]) * perToken
		}
	}
	tape.Backward(lp, seed)
}

// valuePass is the critic's; the first one of an update also finds the values that the others start from.
func (t *trainer) valuePass(critic *adapters.Adapter, p *part, s *stats, turn *ops.Turn, perPosition, share float64, first bool) {
	tape := ops.TrainingTape(0, ops.Dropout{}, t.cfg.GradientCheckpointing)
	tape.Turn = turn
	v := ops.Project(tape, t.base.ForwardRows(tape, p.tree, critic, p.valueRows), critic.Head, nil)
	now := ops.Widen(ops.F32(v))
	seed := make([]float32, len(now))
	if first {
		t.credit(p, now)
	}
	for i, e := range p.episodes {
		at := p.spans[i].value
		loss, grad, clipped := ValueLoss(now[at:at+e.n], e.values, e.returns, t.cfg.ClipRangeValue, perPosition)
		s.value += loss
		s.valueClipFrac += clipped * perPosition
		for k, g := range grad {
			seed[at+k] = float32(g * t.cfg.VFCoef * share)
		}
	}
	tape.Backward(v, seed)
}

// metrics returns TRL's metrics of an update, without its clock (eps): kl, entropy and
// non_score_reward are sums over a response's tokens, averaged over episodes.
func (t *trainer) metrics(episodes []*episode, all []stats, klCoef, lr float64) map[string]float64 {
	m := map[string]float64{"lr": lr, "objective/kl_coef": klCoef}
	n := float64(len(episodes))
	eos := t.tok.EOS()
	for _, name := range []string{"objective/kl", "objective/entropy", "objective/scores", "objective/response_length", "val/num_eos_tokens"} {
		m[name] = 0
	}
	for _, e := range episodes {
		for k, kl := range e.kl {
			m["objective/kl"] += kl / n
			m["objective/entropy"] -= e.logprobs[k] / n
			if e.tokens[k] == eos {
				m["val/num_eos_tokens"]++
			}
		}
		m["objective/scores"] += e.score / n
		m["objective/response_length"] += float64(len(e.tokens)) / n
	}
	m["objective/non_score_reward"] = -klCoef * m["objective/kl"]
	m["objective/rlhf_reward"] = m["objective/non_score_reward"] + m["objective/scores"]
	ratios := make([]float64, len(all))
	k := 1 / float64(len(all))
	for i, s := range all {
		m["policy/approxkl_avg"] += s.approxKL * k
		m["policy/clipfrac_avg"] += s.clipFrac * k
		m["policy/entropy_avg"] += s.entropy * k
		m["loss/policy_avg"] += s.policy * k
		m["loss/value_avg"] += s.value * k
		m["val/clipfrac_avg"] += s.valueClipFrac * k
		ratios[i] = s.ratio
	}
	mean := train.Mean(ratios)
	m["val/ratio"] = mean
	squares := 0.0
	for _, r := range ratios {
		squares += (r - mean) * (r - mean)
	}
	m["val/ratio_var"] = 0
	if len(ratios) > 1 {
		m["val/ratio_var"] = squares / float64(len(ratios)-1)
	}
	return m
}
