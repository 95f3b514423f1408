package ppo

import (
	"context"
	"fmt"
	"math"
	"slices"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
)

// Example is an answer to be scored, as text.
type Example struct {
	Prompt []datasets.Message
	Tools  string // tool definitions as JSON, empty for none
	Answer string
}

// A Scorer gives each example a reward, whatever model or program it is.
type Scorer interface {
	Score(ctx context.Context, examples []Example) ([]float64, error)
}

// episode is one sampled response and all that is computed about it. L is its number of tokens, n
// the positions of its buffer: L, or one more in compat trl where the longest response is longer.
type episode struct {
	record     *datasets.Record
	key        uint64
	prompt     []int32
	tokens     []int32   // (L), the stop token included
	stopped    bool      // ended by the stop token
	n          int       // positions of values, rewards and returns
	logprobs   []float64 // (L) the sampler's
	ref        []float64 // (L) the reference's
	values     []float64 // (n) the critic's, before each token
	score      float64   // of the scorer, less the penalty for a missing end
	kl         []float64 // (L)
	rewards    []float64 // (n)
	advantages []float64 // (n), whitened over (L)
	returns    []float64 // (n)
}

// rows is how many rows an episode takes in a tree.
func (e *episode) rows() int { return len(e.prompt) + e.n - 1 }

// span is where an episode's targets and value rows are in a part.
type span struct{ target, value int }

// part is some episodes as one prefix tree.
type part struct {
	episodes  []*episode
	tree      *batch.Tree
	targets   []batch.Target // sum of L
	valueRows []int          // sum of n
	spans     []span
}

// parts cuts episodes into trees of at most limit rows.
func parts(episodes []*episode, limit int) []*part {
	rows := make([]int, len(episodes))
	for i, e := range episodes {
		rows[i] = e.rows()
	}
	var out []*part
	for _, items := range encode.Parts(rows, limit) {
		p := &part{episodes: encode.Pick(episodes, items), tree: &batch.Tree{}}
		for _, e := range p.episodes {
			p.spans = append(p.spans, span{len(p.targets), len(p.valueRows)})
			root := p.tree.Add(-1, e.prompt, e.key)
			seg := p.tree.Add(root, e.tokens[:e.n-1], e.key)
			targets := p.tree.Targets(root, seg, e.tokens)
			p.targets = append(p.targets, targets...)
			for _, tg := range targets {
				p.valueRows = append(p.valueRows, tg.Row)
			}
			if e.n > len(e.tokens) { // compat trl: the position after the last token
				p.valueRows = append(p.valueRows, p.tree.Last(seg))
			}
		}
		out = append(out, p)
	}
	return out
}

// logProbs returns the log-probabilities of the part's tokens under an adapter.
func (p *part) logProbs(m *model.Model, a *adapters.Adapter, temperature float64) []float64 {
	lp := m.Score(nil, p.tree, a, p.targets, temperature, nil)
	out := ops.Widen(ops.F32(lp))
	ops.Release(nil, lp)
	return out
}

// values returns the critic's values at the part's value rows.
func (p *part) values(m *model.Model, critic *adapters.Adapter) []float64 {
	x := m.ForwardRows(nil, p.tree, critic, p.valueRows)
	v := ops.Project(nil, x, critic.Head, nil)
	out := ops.Widen(ops.F32(v))
	ops.Release(nil, x, v)
	return out
}

// sample draws one response for each prompt of an update, with a stream of random numbers a
// sample. Nothing of the trainer changes.
func (t *trainer) sample(ctx context.Context, episodes []*episode) error {
	prompts := make([]model.GenPrompt, len(episodes))
	for i, e := range episodes {
		prompts[i] = model.GenPrompt{Tokens: e.prompt, N: 1, Key: e.key}
	}
	opt := model.GenOptions{MaxNew: t.cfg.ResponseLength, Temperature: t.cfg.Temperature, Seed: t.cfg.Seed}
	if t.cfg.StopToken == "eos" {
		opt.Stop = t.tok.StopIDs()
	}
	out, err := t.base.Generate(ctx, prompts, t.policy, opt)
	if err != nil {
		return err
	}
	for i, e := range episodes {
		c := out[i][0]
		e.tokens, e.stopped, e.logprobs = c.Tokens, c.Stopped, ops.Widen(c.LogProbs)
	}
	return nil
}

// answer is the text of a response, without the stop token.
func (t *trainer) answer(e *episode) string {
	ids := e.tokens
	if e.stopped {
		ids = ids[:len(ids)-1]
	}
	return t.tok.Decode(ids, true)
}

// score asks the scorer about every response.
func (t *trainer) score(ctx context.Context, episodes []*episode) error {
	examples := make([]Example, len(episodes))
	for i, e := range episodes {
		prompt, _, _ := encode.Split(e.record)
		examples[i] = Example{Prompt: prompt, Tools: e.record.Tools, Answer: t.answer(e)}
	}
	scores, err := t.reward.Score(ctx, examples)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	if len(scores) != len(episodes) {
		return fmt.Errorf("reward: %d scores for %d examples", len(scores), len(episodes))
	}
	for i, e := range episodes {
		if e.score = scores[i]; math.IsNaN(e.score) || math.IsInf(e.score, 0) {
			return fmt.Errorf("reward: the score of answer %.80q is %v", examples[i].Answer, e.score)
		}
	}
	return nil
}

// buffers sets the length of each episode's buffer.
func (t *trainer) buffers(episodes []*episode) {
	t.longest = 0
	for _, e := range episodes {
		t.longest = max(t.longest, len(e.tokens))
	}
	for _, e := range episodes {
		e.n = len(e.tokens)
		if t.cfg.Compat == "trl" {
			e.n = min(e.n+1, t.longest)
		}
	}
}

// refer fills what the reference says about sampled episodes, and the buffers' lengths.
func (t *trainer) refer(ctx context.Context, episodes []*episode) error {
	t.buffers(episodes)
	passes := parts(episodes, t.cfg.MicroBatchTokens)
	t.cfg.Passes(len(passes), func(i int, _ *ops.Turn) {
		if ctx.Err() != nil {
			return
		}
		p := passes[i]
		ref := p.logProbs(t.base, t.reference, t.cfg.Temperature)
		for i, e := range p.episodes {
			at := p.spans[i].target
			e.ref = ref[at : at+len(e.tokens)]
		}
	})
	return ctx.Err()
}

// rewardAll turns the scores of sampled episodes, and what the reference says, into rewards.
func (t *trainer) rewardAll(episodes []*episode, klCoef float64) {
	var rewards [][]float64
	var lens []int
	for _, e := range episodes {
		if !e.stopped && !slices.Contains(e.tokens, t.tok.EOS()) {
			e.score -= t.cfg.MissingEOSPenalty
		}
		e.rewards, e.kl = Rewards(t.cfg.KLEstimator, klCoef, e.logprobs, e.ref, e.score, e.n)
		rewards, lens = append(rewards, e.rewards), append(lens, e.n)
	}
	if t.cfg.WhitenRewards {
		Whiten(rewards, lens, true)
	}
}

// appraise fills the critic's values of episodes that have rewards, and with them advantages and returns. From the first groups, those
// of an update before whose gradients no parameter moves, the critic learns in the same pass: an episode's loss needs its own
// values and rewards only. groups hold all episodes; it returns the stats of those that are learnt from, gradients being weighed by share.
func (t *trainer) appraise(ctx context.Context, episodes []*episode, groups [][]*episode, learn int, share float64) ([]stats, error) {
	type pass struct {
		*part
		group int
	}
	var passes []pass
	for g, group := range groups {
		for _, p := range parts(group, t.cfg.MicroBatchTokens) {
			passes = append(passes, pass{p, g})
		}
	}
	each := make([]stats, len(passes))
	critic, release := t.critic.Fixed()
	defer release()
	t.cfg.Passes(len(passes), func(i int, turn *ops.Turn) {
		switch p := passes[i]; {
		case ctx.Err() != nil:
		case p.group >= learn:
			t.credit(p.part, p.values(t.base, critic))
		default:
			t.valuePass(critic, p.part, &each[i], turn, perPosition(groups[p.group]), share, true)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]stats, learn)
	for i, p := range passes {
		if p.group < learn {
			out[p.group].add(each[i])
		}
	}
	var advantages [][]float64
	var real []int
	for _, e := range episodes {
		advantages, real = append(advantages, e.advantages), append(real, len(e.tokens))
	}
	Whiten(advantages, real, false)
	return out, nil
}

// credit fills values, advantages, yet to be whitened, and returns of a part's episodes.
func (t *trainer) credit(p *part, values []float64) {
	for i, e := range p.episodes {
		at := p.spans[i].value
		e.values = values[at : at+e.n]
		e.advantages, e.returns = GAE(e.rewards, e.values, t.cfg.Gamma, t.cfg.Lam)
	}
}
