package parquet

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"plumb/datasets"
	"plumb/internal/testpaths"
)

// readOurs opens our files with Hugging Face datasets in every way its users do and prints what it sees.
const readOurs = `
import sys, json, os
os.environ["HF_HUB_OFFLINE"] = "1"
from datasets import Dataset, load_dataset
folder = sys.argv[1]
cache = os.path.join(folder, "cache")
out = {
    "stream": Dataset.from_file(os.path.join(folder, "x.arrow")),
    "arrow": load_dataset("arrow", data_files=os.path.join(folder, "x.arrow"), split="train", cache_dir=cache),
    "file": load_dataset("arrow", data_files=os.path.join(folder, "y.arrow"), split="train", cache_dir=cache),
    "parquet": load_dataset("parquet", data_files=os.path.join(folder, "x.parquet"), split="train", cache_dir=cache),
    "json": load_dataset("json", data_files=os.path.join(folder, "x.jsonl.gz"), split="train", cache_dir=cache),
}
print(json.dumps({k: [d[i] for i in range(len(d))] for k, d in out.items()}))
`

// writeTheirs writes a data set of each usual shape with datasets, and one of ours after a pass through map.
const writeTheirs = `
import sys, json, os
os.environ["HF_HUB_OFFLINE"] = "1"
from datasets import Dataset, Features, Value, ClassLabel
folder = sys.argv[1]
rows = [{"prompt": f"q{i} é", "chosen": f" good {i}", "rejected": f" bad {i}"} for i in range(2500)]
Dataset.from_list(rows).save_to_disk(os.path.join(folder, "text"))
Dataset.from_list(rows).to_parquet(os.path.join(folder, "text.parquet"))
Dataset.from_list(rows).to_json(os.path.join(folder, "text.jsonl"))
Dataset.from_list(rows).to_csv(os.path.join(folder, "text.csv"))
chat = [{"chosen": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}],
         "rejected": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "b"}], "score_chosen": 1.5, "score_rejected": None} for i in range(3)]
Dataset.from_list(chat).to_parquet(os.path.join(folder, "chat.parquet"))
Dataset.from_list(chat).save_to_disk(os.path.join(folder, "chat"))
ours = Dataset.from_file(os.path.join(folder, "x.arrow"))
ours.map(lambda r: r).to_parquet(os.path.join(folder, "ours.parquet"))
ours.save_to_disk(os.path.join(folder, "ours"))
ours.to_json(os.path.join(folder, "ours.jsonl"))
`

func python(t *testing.T, code, folder string) []byte {
	t.Helper()
	bin := testpaths.Python(t, "datasets")
	cmd := exec.Command(bin, "-c", code, folder)
	cmd.Env = append(os.Environ(), "HF_HOME="+filepath.Join(folder, "home"))
	var stderr []byte
	out, err := cmd.Output()
	if e, ok := err.(*exec.ExitError); ok {
		stderr = e.Stderr
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	return out
}

func TestHuggingFaceReadsOurs(t *testing.T) {
	folder := t.TempDir()
	want := records(3000)
	for _, name := range []string{"x.arrow", "x.parquet", "x.jsonl.gz", "y.feather"} {
		save(t, filepath.Join(folder, name), want)
	}
	if err := os.Rename(filepath.Join(folder, "y.feather"), filepath.Join(folder, "y.arrow")); err != nil {
		t.Fatal(err)
	}
	var seen map[string][]json.RawMessage
	if err := json.Unmarshal(python(t, readOurs, folder), &seen); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"stream", "arrow", "file", "parquet", "json"} {
		rows := seen[way]
		if len(rows) != len(want) {
			t.Errorf("%s: %d rows of %d", way, len(rows), len(want))
			continue
		}
		path := filepath.Join(folder, way+"-back.jsonl")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			f.Write(append(r, '\n'))
		}
		f.Close()
		got, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{Format: "plumb"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%s: record %d:\n got %+v\nwant %+v", way, i, got[i], want[i])
				break
			}
		}
	}
}

func TestWeReadHuggingFace(t *testing.T) {
	folder := t.TempDir()
	want := records(3000)
	save(t, filepath.Join(folder, "x.arrow"), want)
	python(t, writeTheirs, folder)
	arrow := func(name string) string {
		files, err := filepath.Glob(filepath.Join(folder, name, "*.arrow"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v %v", name, files, err)
		}
		return files[0]
	}
	for _, path := range []string{arrow("text"), filepath.Join(folder, "text.parquet"), filepath.Join(folder, "text.jsonl"), filepath.Join(folder, "text.csv")} {
		got, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2500 || !reflect.DeepEqual(got[7].Prompt, datasets.Text("q7 é")) || !reflect.DeepEqual(got[7].Rejected, datasets.Text(" bad 7")) {
			t.Errorf("%s: %d records, record 7: %+v", path, len(got), got[7])
		}
	}
	for _, path := range []string{arrow("chat"), filepath.Join(folder, "chat.parquet")} {
		got, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || got[1].Prompt[0].Content != "q1" || got[1].Rejected[0].Content != "b" || *got[1].ChosenScore != 1.5 || got[1].RejectedScore != nil {
			t.Errorf("%s: %+v", path, got)
		}
	}
	for _, path := range []string{arrow("ours"), filepath.Join(folder, "ours.parquet"), filepath.Join(folder, "ours.jsonl")} {
		got, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: records changed on the way through datasets: %d of %d; first %+v", path, len(got), len(want), got[0])
		}
	}
}
