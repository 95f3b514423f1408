package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"plumb/internal/run"
	"plumb/internal/weights"
)

// Loop keeps the books of a training: which examples come next, what is logged, when to evaluate
// and to save, and the state from which a killed run continues to the same bytes.
//
// A trainer's body is
//
//	loop.Begin(ctx, evaluate)
//	for !loop.Done() {
//		if ctx.Err() != nil { return loop.Interrupt(ctx) }
//		for _, batch := range loop.Batches() { ...gradients...; loop.Observe(metrics) }
//		loop.Learn(optimiser, loss, tokens)
//		loop.End(ctx, evaluate)
//	}
type Loop struct {
	Opt   Options
	Step  int // finished steps
	Total int
	// State is what a trainer wants to find again after a resume (token counts, a KL coefficient).
	State map[string]float64
	// Extra writes a trainer's own files into a checkpoint folder; may be nil.
	Extra func(dir string) error

	n, perEpoch int
	epoch       int
	order       []int
	optims      []*AdamW
	stage       *run.Stage
	checkpoints *run.Checkpoints
	window      *window
	closed      int // last step whose evaluation and log entries are done
	resumedAt   int // step that this process continued from, -1 if it began anew
	progress    *run.Progress
}

// checkpointState is trainer_state.json of a checkpoint.
type checkpointState struct {
	Step       int               `json:"step"`
	Optimisers map[string]int    `json:"optimiser_steps"`
	Closed     int               `json:"closed"`
	State      map[string]string `json:"state"`
	Window     windowState       `json:"window"`
}

const (
	tensorsName = "training_state.safetensors"
	stateName   = "trainer_state.json"
)

// NewLoop prepares a training over n examples in stage st, total steps long (0: what the options
// say), and continues from the stage's last good checkpoint when there is one: parameters and
// moments of the optimisers are then those of the checkpoint, and the logs are cut back to it.
func NewLoop(st *run.Stage, opt Options, n, total int, optims ...*AdamW) (*Loop, error) {
	if n < 1 {
		return nil, fmt.Errorf("%s: no examples to train on", filepath.Base(st.Dir()))
	}
	l := &Loop{
		Opt: opt, State: map[string]float64{}, n: n, epoch: -1, optims: optims, stage: st,
		checkpoints: st.Checkpoints(opt.SaveTotalLimit), window: newWindow(), resumedAt: -1,
	}
	l.perEpoch, l.Total = opt.Steps(n)
	if total > 0 {
		l.Total = total
	}
	if err := l.resume(); err != nil {
		return nil, err
	}
	l.progress = st.Progress(filepath.Base(st.Dir()), l.Total)
	l.progress.Resume(l.Step)
	return l, st.BeginTraining()
}

// Done tells whether every step is finished.
func (l *Loop) Done() bool { return l.Step >= l.Total }

// Batches returns the batches of the coming step, as indices of examples. The last step of an
// epoch may have fewer and shorter ones.
func (l *Loop) Batches() [][]int {
	epoch := l.Step / l.perEpoch
	if epoch != l.epoch {
		l.epoch, l.order = epoch, l.Opt.Order(l.n, epoch)
	}
	var out [][]int
	for b := 0; b < l.Opt.GradAccumulation; b++ {
		if of := l.batch(b); len(of) > 0 {
			out = append(out, of)
		}
	}
	return out
}

// After returns the batch that comes after the one of index b of Batches in the same epoch, empty when that is the last of the epoch or of the training.
func (l *Loop) After(b int) []int {
	if b+1 >= l.Opt.GradAccumulation && l.Step+1 >= l.Total {
		return nil
	}
	return l.batch(b + 1)
}

// batch returns the b-th batch, counted from the coming step's first, of the step's epoch.
func (l *Loop) batch(b int) []int {
	first := min((l.Step%l.perEpoch*l.Opt.GradAccumulation+b)*l.Opt.BatchSize, l.n)
	return l.order[first:min(first+l.Opt.BatchSize, l.n)]
}

// Observe adds metrics to the averages of the next log entry.
func (l *Loop) Observe(fields map[string]float64) { l.window.observe(fields) }

// Gauge sets a metric whose last value is logged.
func (l *Loop) Gauge(name string, v float64) { l.window.gauge(name, v) }

// LR returns the learning rate of the coming step.
func (l *Loop) LR() float64 { return l.Opt.LR(l.Step, l.Total) }

// Learn takes a step of o with the coming step's learning rate and logs loss, norm, rate and the tokens seen so far, of which this step saw
// so many; 0: they are not counted. A step that is given up before it counts none.
func (l *Loop) Learn(o *AdamW, loss, tokens float64) error {
	lr := l.LR()
	norm, err := l.Update(o, loss, lr)
	if err != nil {
		return err
	}
	l.Observe(map[string]float64{"loss": loss})
	l.Gauge("grad_norm", norm)
	l.Gauge("learning_rate", lr)
	if tokens > 0 {
		l.State["num_tokens"] += tokens
		l.Gauge("num_tokens", l.State["num_tokens"])
	}
	return nil
}

// Update clips the gradients of o and takes a step with the learning rate given. It returns the
// norm before clipping. When loss or norm is not finite it changes nothing and returns an error
// that names the step and the last good checkpoint.
func (l *Loop) Update(o *AdamW, loss, lr float64) (norm float64, err error) {
	if !Finite(loss) {
		return 0, l.broken(l.Step+1, fmt.Errorf("the loss is %v", loss))
	}
	norm = o.GradNorm()
	if !Finite(norm) {
		return 0, l.broken(l.Step+1, fmt.Errorf("the gradient's norm is %v", norm))
	}
	o.Clip(norm, l.Opt.MaxGradNorm)
	o.Step(lr)
	return norm, nil
}

// broken is an error that stops the training in a step.
func (l *Loop) broken(step int, what error) error {
	last := "there is no checkpoint yet"
	if dir, step, ok, err := l.checkpoints.Latest(); err == nil && ok {
		last = fmt.Sprintf("the last good checkpoint is step %d (%s)", step, dir)
	}
	return fmt.Errorf("step %d: %w; stopped, nothing overwritten; %s", step, what, last)
}

// End finishes a step: the evaluation, log entries and checkpoint that are due. evaluate may be nil.
func (l *Loop) End(ctx context.Context, evaluate Evaluation) error {
	l.Step++
	l.window.commit()
	l.progress.Add(1)
	return l.close(ctx, evaluate)
}

// Evaluation returns the metrics of held-out examples.
type Evaluation func(context.Context) (map[string]float64, error)

// Begin makes up for an evaluation in the middle of which an earlier run was interrupted. A
// trainer calls it once before its first step, with what it will pass to End.
func (l *Loop) Begin(ctx context.Context, evaluate Evaluation) error {
	if l.closed == l.Step {
		return nil
	}
	return l.close(ctx, evaluate)
}

// close does what is due after a finished step. Evaluation comes before the log entries: a checkpoint
// that an interrupted evaluation makes belongs to a log that ends with the step before.
func (l *Loop) close(ctx context.Context, evaluate Evaluation) error {
	epoch := float64(l.Step) / float64(l.perEpoch)
	var held map[string]float64
	if evaluate != nil && (l.Done() || l.Opt.EvalSteps > 0 && l.Step%l.Opt.EvalSteps == 0) {
		var err error
		if held, err = evaluate(ctx); err != nil {
			if ctx.Err() != nil {
				return l.Interrupt(ctx)
			}
			return l.broken(l.Step, fmt.Errorf("evaluation: %w", err))
		}
		if loss, ok := held["eval_loss"]; ok && !Finite(loss) {
			return l.broken(l.Step, fmt.Errorf("the loss of the evaluation is %v", loss))
		}
	}
	if l.Step%l.Opt.LoggingSteps == 0 || l.Done() {
		fields := l.window.flush()
		fields["epoch"] = epoch
		if loss, ok := fields["loss"]; ok {
			l.progress.Note(fmt.Sprintf("loss %.4f", loss))
		}
		if err := l.stage.Metrics().Log(l.Step, fields); err != nil {
			return err
		}
	}
	if held != nil {
		held["epoch"] = epoch
		if err := l.stage.Metrics().Log(l.Step, held); err != nil {
			return err
		}
	}
	l.closed = l.Step
	if l.Done() {
		l.progress.Done()
	}
	if l.cadence(l.Step) {
		return l.save()
	}
	return nil
}

// Interrupt gives up the step under way, saves a checkpoint of the last finished one and returns
// the context's error as an interruption.
func (l *Loop) Interrupt(ctx context.Context) error {
	l.window.drop()
	for _, o := range l.optims {
		o.ZeroGrad()
	}
	l.progress.Done()
	if l.Step > 0 && l.Step != l.resumedAt {
		if err := l.save(); err != nil {
			return err
		}
	}
	return run.Interrupted(fmt.Errorf("interrupted after step %d of %d: %w", l.Step, l.Total, context.Cause(ctx)))
}

// cadence tells whether an uninterrupted run has a checkpoint at step.
func (l *Loop) cadence(step int) bool {
	return step >= l.Total || l.Opt.SaveSteps > 0 && step%l.Opt.SaveSteps == 0
}

func (l *Loop) save() error {
	// A checkpoint of an interruption is none that an uninterrupted run would have left: it goes
	// when the next one is safe, and takes no other's place until then.
	stray := l.resumedAt >= 1 && !l.cadence(l.resumedAt) && l.resumedAt != l.Step
	if limit := l.Opt.SaveTotalLimit; stray && limit > 0 {
		l.checkpoints.Keep(limit + 1)
		defer l.checkpoints.Keep(limit)
	}
	err := l.checkpoints.Save(l.Step, func(dir string) error {
		var tensors []weights.Named
		steps := map[string]int{}
		for _, o := range l.optims {
			tensors = append(tensors, o.tensors()...)
			steps[o.name] = o.step
		}
		if err := weights.WriteSafetensors(filepath.Join(dir, tensorsName), tensors, nil); err != nil {
			return err
		}
		state := checkpointState{Step: l.Step, Optimisers: steps, Closed: l.closed, State: toHex(l.State), Window: l.window.state()}
		err := run.WriteFile(filepath.Join(dir, stateName), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(state)
		})
		if err == nil && l.Extra != nil {
			err = l.Extra(dir)
		}
		return err
	})
	if err != nil || !stray {
		return err
	}
	err = l.checkpoints.Remove(l.resumedAt)
	l.resumedAt = -1
	return err
}

// resume loads the last good checkpoint and cuts the logs back to it.
func (l *Loop) resume() error {
	dir, step, ok, err := l.checkpoints.Latest()
	if err != nil {
		return err
	}
	if !ok {
		return l.stage.Metrics().Truncate(-1)
	}
	for _, damage := range l.checkpoints.Skipped() {
		fmt.Fprintf(l.stage.Output(), "passed over a damaged checkpoint: %v\n", damage)
	}
	if err := l.load(dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if l.Step != step {
		return fmt.Errorf("%s: holds step %d, want %d", dir, l.Step, step)
	}
	l.resumedAt = step
	if err := l.dropStrays(); err != nil {
		return err
	}
	return l.stage.Metrics().Truncate(l.closed)
}

// dropStrays removes checkpoints of interruptions before the one that is continued: a process was killed before it could.
func (l *Loop) dropStrays() error {
	steps, err := l.checkpoints.Steps()
	for _, s := range steps {
		if s < l.Step && !l.cadence(s) {
			err = errors.Join(err, l.checkpoints.Remove(s))
		}
	}
	return err
}

func (l *Loop) load(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return err
	}
	var state checkpointState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	if l.State, err = fromHex(state.State); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	if err := l.window.restore(state.Window); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	set, err := weights.Open(filepath.Join(dir, tensorsName))
	if err != nil {
		return err
	}
	defer set.Close()
	for _, o := range l.optims {
		if err := o.load(set); err != nil {
			return err
		}
		o.step = state.Optimisers[o.name]
	}
	if err := set.Unused(); err != nil {
		return err
	}
	l.Step, l.closed = state.Step, state.Closed
	return nil
}

// Prefixed returns fields with a prefix before each name, as in eval_loss.
func Prefixed(prefix string, fields map[string]float64) map[string]float64 {
	out := make(map[string]float64, len(fields))
	for name, v := range maps.All(fields) {
		out[prefix+name] = v
	}
	return out
}
