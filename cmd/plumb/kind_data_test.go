package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/internal/run"
)

// A split in a data stage that fails where a checkpoint would be does not promise to go on, because all its records are converted anew,
// and leaves nothing behind; the next run does all of it.
func TestDataStageAfterAFailedSplit(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	for i := 0; i < 100_100; i++ { // the first checkpoint of a split with one small side is behind 100,000
		fmt.Fprintf(&rows, `{"prompt":"q%d","chosen":"a","rejected":"b"}`+"\n", i)
	}
	data := put(t, filepath.Join(dir, "x.jsonl"), rows.String())
	s := &dataStage{Files: []string{data}, Format: "auto", Pairs: "all", DuplicateIDs: "rename", HeldOut: 300}
	p := &plan{name: "data", dir: filepath.Join(dir, "data"), makes: map[string]string{}}
	if faults := s.plan(p); len(faults) > 0 {
		t.Fatal(faults)
	}
	stage, err := run.OpenStage(p.dir, run.Manifest{Stage: "data"})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	r := &stageRun{plan: p, ctx: context.Background(), dir: stage, stderr: io.Discard}
	own, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(p.makes[heldOut], "in the way"), 0o777); err != nil { // nothing can be put in its place
		t.Fatal(err)
	}
	if _, err := s.run(r); err == nil || strings.Contains(err.Error(), "goes on") {
		t.Fatalf("%v", err)
	}
	if err := os.RemoveAll(p.makes[heldOut]); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(p.dir)
	if err != nil || len(left) != len(own) {
		t.Errorf("left behind: %v, the stage's own are %v (%v)", left, own, err)
	}
	got, err := s.run(r)
	if err != nil || got["train"].(int64)+got["held_out"].(int64) != 100_100 {
		t.Errorf("%v %v", got, err)
	}
}
