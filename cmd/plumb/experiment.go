package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"plumb/configs"
	"plumb/internal/kernels"
	"plumb/internal/run"
)

// experiment is the file of "plumb run": a name, what all stages share, and the stages in the order they run.
type experiment struct {
	Name    string       `yaml:"name"`
	Seed    uint64       `yaml:"seed"`    // of every stage that does not set its own
	Out     string       `yaml:"out"`     // default runs/NAME
	Model   string       `yaml:"model"`   // base of every stage that does not name its own; "": what an earlier sft stage made
	Compute string       `yaml:"compute"` // auto, f32, bf16 or int16
	Stages  configs.Node `yaml:"stages,omitempty"`

	plans []*plan
}

var stageName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Validate returns every fault of the part that stages share.
func (x *experiment) Validate() []error {
	var faults []error
	bad := func(key, value, want string) {
		faults = append(faults, &run.Fault{Key: key, Value: value, Want: want})
	}
	if !stageName.MatchString(x.Name) {
		bad("name", fmt.Sprintf("%q", x.Name), "lower-case letters, digits, - and _: it names a folder")
	}
	if !slices.Contains(computes, x.Compute) {
		bad("compute", fmt.Sprintf("%q", x.Compute), strings.Join(computes, ", "))
	}
	if len(x.Stages.Keys()) == 0 {
		bad("stages", "", "at least one stage")
	}
	return faults
}

// computes are the words for arithmetic.
var computes = kernels.ComputeWords()

// body is one configured stage: a struct whose YAML keys are its wiring and the configuration of the package that does the work.
type body interface {
	// plan names what the stage reads and makes; faults carry keys below the stage.
	plan(p *plan) []error
	// run does the work in an open stage directory; the results go into its manifest.
	run(r *stageRun) (map[string]any, error)
}

// kinds makes a stage of each kind, filled with defaults.
var kinds = map[string]func(x *experiment) body{}

// stepper is a stage whose training --max-steps can shorten.
type stepper interface{ limitSteps(n int) }

// What stages make for later ones.
const (
	aModel    = "model"          // an immutable base model: folder or .gguf file
	anAdapter = "adapter"        // a policy: PEFT folder
	aStart    = "start"          // a policy that alignment starts from: the adapter of supervised training
	aReward   = "reward"         // a reward model: PEFT folder with its head
	pairs     = "pairs"          // preference records to train on
	heldOut   = "held_out"       // preference records that no stage trains on
	demos     = "demonstrations" // answers to imitate
)

// input is one thing a stage reads.
type input struct {
	Role  string `json:"role"` // what the stage uses it as; one role may have several
	Path  string `json:"path"`
	Stage string `json:"stage,omitempty"` // the stage that makes it, "" for a file of the user
}

// plan is what is known of a stage before it runs.
type plan struct {
	name, kind, dir string
	body            body
	inputs          []input
	makes           map[string]string // what -> path
	base            input             // the model below the adapter it makes
	x               *experiment
	earlier         []*plan
}

// loadExperiment reads an experiment and plans its stages; every fault of all of them is in the error.
func loadExperiment(name string, src []byte, sets []string, out string, maxSteps int) (*experiment, error) {
	x := &experiment{Seed: 42, Compute: "auto"}
	faults := &configs.Faults{}
	faults.Add(name, configs.Load(name, src, sets, x))
	if !slices.Contains(computes, x.Compute) {
		x.Compute = "auto" // said once: the stages take it over
	}
	if out != "" {
		x.Out = out
	}
	if x.Out == "" {
		x.Out = filepath.Join("runs", x.Name)
	}
	for _, key := range x.Stages.Keys() {
		x.planStage(key, name, faults, maxSteps)
	}
	return x, faults.Err()
}

func (x *experiment) planStage(key, file string, faults *configs.Faults, maxSteps int) {
	node := x.Stages.Get(key)
	if !stageName.MatchString(key) {
		faults.Add(file, node.Fault("a stage name is lower-case letters, digits, - and _: it names a folder"))
		return
	}
	kind := key
	if k := node.Get("kind"); k != nil {
		kind = k.Text()
	}
	make, ok := kinds[kind]
	if !ok {
		faults.Add(file, node.Fault("no stage kind %q: name the stage after its kind, or set kind to one of %s", kind, strings.Join(kindNames(), ", ")))
		return
	}
	p := &plan{name: key, kind: kind, dir: filepath.Join(x.Out, key), body: make(x), makes: map[string]string{}, x: x, earlier: x.plans}
	if err := node.Decode(p.body, "kind"); err != nil {
		faults.Add(file, err)
	}
	if s, ok := p.body.(stepper); ok && maxSteps > 0 {
		s.limitSteps(maxSteps)
	}
	for _, err := range p.body.plan(p) {
		faults.Add(file, locate(node, err))
	}
	x.plans = append(x.plans, p)
}

// locate puts a fault of a stage at the line of its key.
func locate(node *configs.Node, err error) error {
	keyed, ok := err.(interface{ FaultKey() string })
	if !ok {
		return node.Fault("%v", err)
	}
	at := node
	if n := node.Get(keyed.FaultKey()); n != nil {
		at = n
	}
	f := at.Fault("%s", strings.TrimPrefix(err.Error(), keyed.FaultKey()+": "))
	if at == node {
		f.Key = strings.TrimPrefix(f.Key+"."+keyed.FaultKey(), ".")
	}
	return f
}

func kindNames() []string {
	var names []string
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// latest finds the newest earlier stage that makes what, nil when none does.
func (p *plan) latest(what string) *plan {
	for _, e := range slices.Backward(p.earlier) {
		if e.makes[what] != "" {
			return e
		}
	}
	return nil
}

// stage finds an earlier stage by name.
func (p *plan) stage(name string) *plan {
	for _, e := range p.earlier {
		if e.name == name {
			return e
		}
	}
	return nil
}

// read adds an input: an earlier stage by name, a path, or with an empty ref the latest stage that makes what.
func (p *plan) read(role, what, key, ref string) (input, error) {
	in := input{Role: role}
	switch e := p.stage(ref); {
	case ref == "":
		e = p.latest(what)
		if e == nil {
			return in, &run.Fault{Key: key, Value: "not set", Want: "a path, or an earlier stage that makes " + what}
		}
		in.Stage, in.Path = e.name, e.makes[what]
	case e != nil:
		if e.makes[what] == "" {
			return in, &run.Fault{Key: key, Value: ref, Want: fmt.Sprintf("a stage that makes %s, %s makes none", what, ref)}
		}
		in.Stage, in.Path = e.name, e.makes[what]
	case what == aModel:
		path, err := findModel(ref)
		if err != nil {
			return in, &run.Fault{Key: key, Value: ref, Want: "a folder, a .gguf file, a model in the hub's cache or an earlier stage"}
		}
		in.Path = path
	default:
		if _, err := os.Stat(ref); err != nil {
			return in, &run.Fault{Key: key, Value: ref, Want: "the path of a file or the name of an earlier stage"}
		}
		in.Path = ref
	}
	p.inputs = append(p.inputs, in)
	return in, nil
}

// make declares something the stage makes, by its path below the stage directory.
func (p *plan) make(what string, elem ...string) string {
	path := filepath.Join(append([]string{p.dir}, elem...)...)
	p.makes[what] = path
	return path
}
