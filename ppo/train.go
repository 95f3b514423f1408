package ppo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/internal/tokenizer"
	"plumb/internal/train"
)

// Inputs are what a policy is aligned from.
type Inputs struct {
	Base   *model.Bundle
	Start  *adapters.Adapter // the policy's first value and the reference; nil: the bare base
	Critic *adapters.Adapter // the critic's first value, with or without a head; nil: a fresh adapter
	Reward Scorer            // nil: the one that the configuration names
	Train  []datasets.Record // prompts, or preferences whose prompts are taken
	Eval   []datasets.Record // may be empty
}

// Result is an aligned policy.
type Result struct {
	Policy  *adapters.Adapter
	Critic  *adapters.Adapter
	Adapter string // folder of the policy's adapter in PEFT's format
	Updates int
	Prompts int
	Dropped map[string]int     // reason -> records of Train that were not used
	Eval    map[string]float64 // metrics without prefix; nil without Eval records
}

// prompt is an encoded prompt and its record.
type prompt struct {
	record *datasets.Record
	tokens []int32
}

// trainer is one PPO training.
type trainer struct {
	cfg       Config
	base      *model.Model
	tok       *tokenizer.Tokenizer
	reward    Scorer
	policy    *adapters.Adapter
	reference *adapters.Adapter // nil: the bare base
	critic    *adapters.Adapter
	policyOpt *train.AdamW
	criticOpt *train.AdamW
	record    *record
	prompts   int // prompts of the training data
	longest   int // tokens of the longest response of the update
}

// lastOfPass tells whether TRL's loader, which drops the last batch where it is short, has no
// more batches after that of an update.
func (t *trainer) lastOfPass(update int) bool {
	perPass := max(t.prompts/t.cfg.Episodes(), 1)
	return update%perPass == perPass-1
}

// Train aligns an adapter and writes it to the stage's folder adapter/, and the critic to critic/.
//
// It continues from the stage's last checkpoint: a checkpoint is taken between updates, and the update under way
// when a run was killed is done again from the same random streams, with the scores that
// rollouts.jsonl holds of it. When ctx is cancelled it goes back to the start of the update, saves
// a checkpoint and returns an error that wraps the context's, with exit code 130.
//
// LoRA dropout is not applied: the first ratio of an update is 1 exactly.
func Train(ctx context.Context, cfg Config, in Inputs, st *run.Stage) (res Result, err error) {
	if cfg.Compat == "trl" {
		cfg.MaxGradNorm = 0
	}
	prompts, dropped, err := encodePrompts(cfg, in.Base, in.Train)
	if err != nil {
		return res, fmt.Errorf("ppo: training data: %w", err)
	}
	if len(dropped) > 0 {
		fmt.Fprintf(st.Output(), "ppo: %d of %d prompts used; %s\n", len(prompts), len(in.Train), encode.Reasons(dropped))
	}
	t, err := newTrainer(cfg, in)
	if err != nil {
		return res, fmt.Errorf("ppo: %w", err)
	}
	if t.reward == nil {
		return res, errors.New("ppo: there is no reward: neither a model nor reward_command nor reward_url")
	}
	t.prompts = len(prompts)
	if t.record, err = openRecord(st.Path(recordName), cfg.SaveSteps); err != nil {
		return res, fmt.Errorf("ppo: %w", err)
	}
	if !cfg.GradientCheckpointing { // which says that memory is what counts
		defer t.base.KeepBackward()()
	}
	var loop *train.Loop
	var evaluate train.Evaluation
	if len(in.Eval) > 0 {
		held, _, err := encodePrompts(cfg, in.Base, in.Eval)
		if err != nil {
			return res, fmt.Errorf("ppo: evaluation data: %w", err)
		}
		evaluate = func(ctx context.Context) (map[string]float64, error) {
			if res.Eval, err = t.evaluate(ctx, held, loop.Step); err != nil {
				return nil, err
			}
			return train.Prefixed("eval_", res.Eval), nil
		}
	}
	if loop, err = train.NewLoop(st, cfg.Options, len(prompts), cfg.Updates(len(prompts)), t.policyOpt, t.criticOpt); err != nil {
		return res, err
	}
	if _, ok := loop.State["kl_coef"]; !ok {
		loop.State["kl_coef"] = cfg.KLCoef
	}
	loop.Extra = func(dir string) error { return t.policy.Save(filepath.Join(dir, "adapter")) }
	if err := loop.Begin(ctx, evaluate); err != nil {
		return res, err
	}
	for !loop.Done() {
		t.policyOpt.Snapshot()
		t.criticOpt.Snapshot()
		metrics, err := t.update(ctx, loop, prompts)
		if err != nil {
			if ctx.Err() != nil {
				t.policyOpt.Restore()
				t.criticOpt.Restore()
				return res, loop.Interrupt(ctx)
			}
			return res, err
		}
		loop.Observe(metrics)
		if err := loop.End(ctx, evaluate); err != nil {
			return res, err
		}
	}
	if res.Eval == nil && evaluate != nil { // resumed after the last evaluation
		if _, err := evaluate(ctx); err != nil {
			return res, err
		}
	}
	res.Policy, res.Critic, res.Adapter = t.policy, t.critic, st.Path("adapter")
	res.Updates, res.Prompts, res.Dropped = loop.Step, len(prompts), dropped
	if err := t.critic.Save(st.Path("critic")); err != nil {
		return res, err
	}
	return res, t.policy.Save(res.Adapter)
}

// newTrainer makes policy and critic. A fresh critic is a LoRA adapter that starts as the base itself
// under a head of N(0, value_head_init_std), zeros by default: the first values are 0 and the first returns
// are the rewards to come.
func newTrainer(cfg Config, in Inputs) (*trainer, error) {
	t := &trainer{cfg: cfg, base: in.Base.Model, tok: in.Base.Tokenizer, reward: in.Reward, reference: in.Start}
	if t.reward == nil {
		t.reward = cfg.External()
	}
	var err error
	if t.policy = in.Start.Clone(); t.policy == nil {
		if t.policy, err = adapters.New(cfg.Lora, t.base.Linears(), cfg.Seed); err != nil {
			return nil, err
		}
	}
	t.policy.Head = nil
	t.policy.TaskType, t.policy.BaseModel = "CAUSAL_LM", in.Base.Path
	if t.critic = in.Critic.Clone(); t.critic == nil {
		// A seed of its own: policy and critic must not start from the same A.
		if t.critic, err = adapters.New(cfg.Lora, t.base.Linears(), run.Rand(cfg.Seed, "critic").Uint64()); err != nil {
			return nil, err
		}
	}
	if t.critic.Head == nil {
		t.critic.WithHead(t.base.Config.Hidden, cfg.ValueHeadInitStd, cfg.Seed)
	}
	t.critic.BaseModel = in.Base.Path
	t.policy.SetTrainable(true)
	t.critic.SetTrainable(true)
	t.policyOpt = train.NewAdamW("policy", train.Params(t.policy.Params()), cfg.Options)
	t.criticOpt = train.NewAdamW("critic", train.Params(t.critic.Params()), cfg.Options)
	return t, nil
}

func encodePrompts(cfg Config, base *model.Bundle, recs []datasets.Record) ([]prompt, map[string]int, error) {
	room := base.Model.MaxLen() - cfg.ResponseLength
	if room < 1 {
		return nil, nil, fmt.Errorf("response_length %d leaves no room for a prompt in the model's %d positions", cfg.ResponseLength, base.Model.MaxLen())
	}
	enc := &encode.Encoder{Tok: base.Tokenizer, MaxLength: min(cfg.MaxPromptLength, room), Vocab: base.Model.Config.Vocab}
	set, err := encode.All(recs, enc.Prompt)
	if err != nil {
		return nil, nil, err
	}
	out := make([]prompt, len(set.Items))
	for i, tokens := range set.Items {
		out[i] = prompt{&recs[set.Records[i]], tokens}
	}
	return out, set.Dropped, nil
}

// episodes returns the prompts of an update. Updates walk through an endless row of epochs, each in its
// own order; an episode's key is its place in that row. In compat trl the end of an epoch that does not fill an
// update is left out.
func (t *trainer) episodes(prompts []prompt, update int) []*episode {
	out := make([]*episode, t.cfg.Episodes())
	epoch, order := -1, []int(nil)
	for i := range out {
		at := update*len(out) + i
		pass := len(prompts)
		if t.cfg.Compat == "trl" && pass >= len(out) {
			pass -= pass % len(out)
		}
		if e := at / pass; e != epoch {
			epoch, order = e, t.cfg.Order(len(prompts), e)
		}
		p := prompts[order[at%pass]]
		out[i] = &episode{record: p.record, prompt: p.tokens, key: uint64(at)}
	}
	return out
}

// update samples, scores and learns once, and returns the metrics.
func (t *trainer) update(ctx context.Context, loop *train.Loop, prompts []prompt) (map[string]float64, error) {
	episodes := t.episodes(prompts, loop.Step)
	if err := t.sample(ctx, episodes); err != nil {
		return nil, fmt.Errorf("ppo: update %d: %w", loop.Step+1, err)
	}
	if err := t.scoreOnce(ctx, loop.Step+1, false, episodes); err != nil {
		return nil, fmt.Errorf("ppo: update %d: %w", loop.Step+1, err)
	}
	if err := t.refer(ctx, episodes); err != nil {
		return nil, err
	}
	coef := loop.State["kl_coef"]
	t.rewardAll(episodes, coef)
	all, err := t.optimise(ctx, loop, episodes, func(epoch int) []int { return t.order(len(episodes), loop.Step, epoch) })
	if err != nil {
		return nil, err
	}
	metrics := t.metrics(episodes, all, coef, loop.LR())
	if t.cfg.KLTarget > 0 {
		loop.State["kl_coef"] = AdaptKL(coef, metrics["objective/kl"], t.cfg.KLTarget, t.cfg.KLHorizon, len(episodes))
	}
	loop.Gauge("episode", float64((loop.Step+1)*len(episodes)))
	return metrics, nil
}

// order is the order of an update's episodes in one of its epochs.
func (t *trainer) order(n, update, epoch int) []int {
	if t.cfg.Shuffle {
		return run.Rand(t.cfg.Seed, "ppo epoch", uint64(update), uint64(epoch)).Perm(n)
	}
	return t.cfg.Order(n, epoch)
}
