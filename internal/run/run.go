// Package run owns what every stage of Plumb shares with the file system and the clock: the run directory, its manifest,
// metrics, checkpoints and progress lines, the named random streams, and the errors that become exit codes.
//
// It must not know what a stage computes: no model, no tensor, no record, no configuration key. It imports nothing of the project.
package run

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// A Fault is one thing wrong with one value of a configuration. The loader of configurations finds the line that belongs to
// Key and prints all faults together.
type Fault struct {
	Key   string // dotted path below the struct that reports it, as written in YAML: "lora.r"
	Value string // what was found
	Want  string // what was expected: "a number above 0"
}

func (f *Fault) Error() string {
	if f.Value == "" {
		return fmt.Sprintf("%s: want %s", f.Key, f.Want)
	}
	return fmt.Sprintf("%s: %s, want %s", f.Key, f.Value, f.Want)
}

// FaultKey is the dotted path of the value at fault; the loader of configurations asks for it.
func (f *Fault) FaultKey() string { return f.Key }

// Exit codes that an error may ask for. Any other error is 1, none is 0.
const (
	CodeUsage       = 2   // wrong usage or configuration
	CodeFindings    = 3   // done, with findings: rejected rows, a leak, a warning
	CodeInterrupted = 130 // stopped by a signal, after a checkpoint
)

// ExitError carries the exit code that an error should end the process with.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// Usage marks an error as wrong usage or configuration (exit code 2). Nil stays nil.
func Usage(err error) error { return withCode(CodeUsage, err) }

// Findings marks a result that is complete but has findings (exit code 3). Nil stays nil.
func Findings(err error) error { return withCode(CodeFindings, err) }

// Interrupted marks work that stopped on request after saving what it had (exit code 130). Nil stays nil.
func Interrupted(err error) error { return withCode(CodeInterrupted, err) }

func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: code, Err: err}
}

// Rand returns the random stream of a purpose. The stream depends on (seed, purpose, keys) only, so a sample's numbers do not
// change with the thread that draws them, with what was drawn before, or with a restart. Typical keys are step and sample.
// Source: ChaCha8 (math/rand/v2) keyed by SHA-256.
func Rand(seed uint64, purpose string, keys ...uint64) *rand.Rand {
	b := binary.LittleEndian.AppendUint64(nil, seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(purpose)))
	b = append(b, purpose...)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	return rand.New(rand.NewChaCha8(sha256.Sum256(b)))
}
