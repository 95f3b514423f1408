package parquet

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"plumb/datasets"
)

// writeTables writes one set of pairs in every way that pyarrow, pandas and datasets have of writing a table, and says what they are.
const writeTables = `
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.ipc as ipc, pandas as pd
from datasets import Dataset, Features, Value, ClassLabel, List
folder = sys.argv[1]
N = 300
at = lambda name: os.path.join(folder, name)
msg = lambda role, text: {"role": role, "content": text}
rows = [{"prompt": [msg("system", f"s{i % 3}"), msg("user", f"q{i} é")], "chosen": [msg("assistant", f"good {i}")], "rejected": [msg("assistant", "bad")],
         "score_chosen": None if i % 5 == 0 else i / 2, "source": ["web", "book"][i % 2]} for i in range(N)]
def table(string=pa.string(), lst=pa.list_, words=None):
    m = lst(pa.struct([("role", string), ("content", string)]))
    return pa.table({"prompt": pa.array([r["prompt"] for r in rows], m), "chosen": pa.array([r["chosen"] for r in rows], m),
        "rejected": pa.array([r["rejected"] for r in rows], m), "score_chosen": pa.array([r["score_chosen"] for r in rows], pa.float32()),
        "source": pa.array([r["source"] for r in rows], string) if words is None else pa.array([r["source"] for r in rows]).cast(words)})
names = []
def put(name, write):
    write(at(name))
    names.append(name)
t = table()
for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    put(f"{codec}.parquet", lambda p: pq.write_table(t, p, compression=codec, row_group_size=70))
put("v2pages.parquet", lambda p: pq.write_table(t, p, data_page_version="2.0", row_group_size=70, version="2.6"))
put("plain.parquet", lambda p: pq.write_table(t, p, use_dictionary=False, write_statistics=False, data_page_size=500))
put("delta.parquet", lambda p: pq.write_table(t, p, use_dictionary=False, column_encoding={"source": "DELTA_BYTE_ARRAY"}))
put("large.parquet", lambda p: pq.write_table(table(pa.large_string(), pa.large_list), p))
put("categories.parquet", lambda p: pq.write_table(table(words=pa.dictionary(pa.int32(), pa.string())), p))
put("pandas.parquet", lambda p: pd.DataFrame(rows).to_parquet(p))
put("datasets.parquet", lambda p: Dataset.from_list(rows).to_parquet(p, batch_size=64))
put("noarrow.parquet", lambda p: pq.write_table(t, p, store_schema=False))
def stream(t, p, codec=None, file=False, size=70):
    with pa.OSFile(p, "wb") as f, (ipc.new_file if file else ipc.new_stream)(f, t.schema, options=ipc.IpcWriteOptions(compression=codec)) as w:
        w.write_table(t, max_chunksize=size)
for codec in [None, "zstd", "lz4"]:
    put(f"{codec}.arrow", lambda p: stream(t, p, codec))
    put(f"{codec}.feather", lambda p: stream(t, p, codec, file=True))
put("large.arrow", lambda p: stream(table(pa.large_string(), pa.large_list), p))
put("views.arrow", lambda p: stream(table(pa.string_view()), p))
put("categories.arrow", lambda p: stream(table(words=pa.dictionary(pa.int8(), pa.string())), p))
put("binary.arrow", lambda p: stream(table(pa.binary()), p))
lying = Features({"prompt": {"role": List(Value("string")), "content": List(Value("string"))}, "chosen": {"role": List(Value("string")), "content": List(Value("string"))},
    "rejected": {"role": List(Value("string")), "content": List(Value("string"))}, "score_chosen": Value("float32"), "source": Value("string")})
flip = lambda ms: {"role": [m["role"] for m in ms], "content": [m["content"] for m in ms]}
put("sequence.parquet", lambda p: Dataset.from_list([{**r, **{k: flip(r[k]) for k in ["prompt", "chosen", "rejected"]}} for r in rows], features=lying).to_parquet(p))
d = Dataset.from_list(rows).train_test_split(0.5, seed=1)
d.save_to_disk(at("saved"), num_proc=None)
print(json.dumps(names))
`

// However a table of pairs is written, the same records come out.
func TestTablesOfOthers(t *testing.T) {
	folder := t.TempDir()
	var names []string
	if err := json.Unmarshal(python(t, writeTables, folder), &names); err != nil {
		t.Fatal(err)
	}
	if len(names) < 20 {
		t.Fatalf("only %d tables: %v", len(names), names)
	}
	var first string
	for _, name := range names {
		recs, err := datasets.ReadAll([]string{filepath.Join(folder, name)}, datasets.ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(recs) != 300 {
			t.Errorf("%s: %d records", name, len(recs))
			continue
		}
		r := recs[7]
		if r.Prompt[1].Content != "q7 é" || r.Prompt[0].Role != "system" || r.Chosen[0].Content != "good 7" || *r.ChosenScore != 3.5 || recs[5].ChosenScore != nil ||
			r.Meta["source"] != "book" {
			t.Errorf("%s: record 7 is %+v", name, r)
		}
		var hashes strings.Builder
		for i := range recs {
			hashes.WriteString(recs[i].Source.Hash)
		}
		if first == "" {
			first = hashes.String()
		} else if hashes.String() != first {
			t.Errorf("%s: other records than in %s", name, names[0])
		}
	}
	for _, part := range []string{"train", "test"} {
		files, err := filepath.Glob(filepath.Join(folder, "saved", part, "*.arrow"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if recs, err := datasets.ReadAll(files, datasets.ReadOptions{}); err != nil || len(recs) != 150 {
			t.Errorf("%s of a DatasetDict: %d records, %v", part, len(recs), err)
		}
	}
}
