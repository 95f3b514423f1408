package datasets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// fuzzRead reads bytes as a file of the given name and holds what every reader promises: no panic, an end, every row in a record or a
// reject, and records that can be written and read again as they are.
func fuzzRead(t *testing.T, name string, data []byte, opt ReadOptions) {
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	rejects := int64(0)
	opt.OnReject = func(r Reject) {
		rejects++
		if r.Reason == "" || r.Row < 1 || r.File != name {
			t.Errorf("reject %+v", r)
		}
	}
	opt.MaxRow = 4096
	r, err := Open(path, opt)
	if err != nil {
		return
	}
	defer r.Close()
	var recs []Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return // an error of the file
		}
		if len(recs) > 1<<16 {
			t.Skip("too many")
		}
		recs = append(recs, rec)
	}
	if c := CountsOf(r); c.Rows != c.Used+c.Rejected+c.Unused || c.Rejected != rejects || c.Records != int64(len(recs)) {
		t.Fatalf("rows are lost: %+v, %d rejects, %d records", c, rejects, len(recs))
	}
	ids := map[string]bool{}
	for i := range recs {
		if ids[recs[i].ID] {
			t.Fatalf("the id %q occurs twice", recs[i].ID)
		}
		ids[recs[i].ID] = true
	}
	if len(recs) == 0 {
		return
	}
	for _, out := range []string{"out.jsonl", "out.arrow"} {
		w, err := Create(filepath.Join(dir, out), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var want []Record
		for _, rec := range recs {
			err := w.Write(rec)
			var unfit *UnfitError
			if err != nil && !errors.As(err, &unfit) {
				t.Fatal(err)
			}
			if err == nil {
				want = append(want, rec)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		back, err := ReadAll([]string{filepath.Join(dir, out)}, ReadOptions{Format: "plumb"})
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if len(back) != len(want) {
			t.Fatalf("%s: %d records of %d", out, len(back), len(want))
		}
		for i := range back {
			if back[i].ContentHash() != want[i].ContentHash() || back[i].ID != want[i].ID {
				t.Fatalf("%s: record %d changed:\n got %+v\nwant %+v", out, i, back[i], want[i])
			}
		}
	}
}

// everyRow is one row of every format.
var everyRow = []string{
	good,
	`{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"}`,
	`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}],"weight":0}],"tools":[{"type":"function"}]}`,
	`{"input":{"messages":[{"role":"user","content":"q"}]},"preferred_output":[{"role":"assistant","content":"a"}],"non_preferred_output":[{"role":"assistant","content":"b"}]}`,
	`{"instruction":"Add","input":"1 2","output":"3","system":"s","history":[["x","y"]]}`,
	`{"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},{"from":"observation","value":"7"},{"from":"gpt","value":"seven"}],"system":"s","tools":"[{\"name\":\"f\"}]"}`,
	`{"conversations":{"from":["human","gpt"],"value":["q","a"]},"kto_tag":true}`,
	`{"context":"q","responses":[{"text":"mid","rank":2},{"text":"best","rank":1},{"text":"worst","rank":3}]}`,
	`{"instruction":"q","completions":[{"response":"lo","overall_score":9,"annotations":{"helpfulness":{"Rating":"2"}}},{"response":"hi","overall_score":10}]}`,
	`{"prompt":"p","completion":" c","label":true,"id":7}`,
	`{"message_tree_id":"t","prompt":{"message_id":"t","text":"q","role":"prompter","replies":[{"message_id":"a","text":"x","role":"assistant","rank":1},{"message_id":"b","text":"y","role":"assistant","rank":0}]}}`,
	`{"message_id":"a","parent_id":"t","message_tree_id":"t","text":"second","role":"assistant","rank":1}`,
	`{"message_id":"t","message_tree_id":"t","text":"q","role":"prompter"}`,
	`{"id":"x","prompt":[{"role":"user","content":"q"}],"source":{"file":"f","row":1,"hash":"h"},"copies":2,"meta":[{"key":"a","value":"b"}]}`,
}

func FuzzJSONL(f *testing.F) {
	all := ""
	for _, row := range everyRow {
		f.Add([]byte(row+"\n"+row), "")
		all += row + "\n"
	}
	f.Add([]byte(all), "")
	f.Add([]byte("\xef\xbb\xbf"+good+"\r\n\x00\n"), "trl")
	for _, name := range FormatNames() {
		f.Add([]byte(all), name)
	}
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		fuzzRead(t, "x.jsonl", data, ReadOptions{Format: format, DuplicateIDs: "rename"})
	})
}

func FuzzJSON(f *testing.F) {
	all := "["
	for i, row := range everyRow {
		f.Add([]byte("[" + row + "," + row + "]"))
		if i > 0 {
			all += ","
		}
		all += row
	}
	f.Add([]byte(all + "]"))
	f.Add([]byte(`{"version": 1, "data": [` + good + "]}"))
	f.Add([]byte("{\n\"prompt\": \"a\"\n}\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRead(t, "x.json", data, ReadOptions{}) })
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,prompt,chosen,rejected,label\n1,\"a, \"\"q\"\"\nline\",x,y,\n2,p\n3,b\"d,x,y,\n"))
	f.Add([]byte("conversations\n\"[{\"\"from\"\":\"\"human\"\",\"\"value\"\":\"\"q\"\"}]\"\n"))
	f.Add([]byte("instruction,output,meta\na,b,\"{\"\"k\"\":1}\"\n"))
	f.Add([]byte("message_id,message_tree_id,text,role,parent_id\nt,t,q,prompter,\na,t,x,assistant,t\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRead(t, "x.csv", data, ReadOptions{}) })
}

func fuzzFiles(f *testing.F, name string) {
	for _, recs := range [][]Record{nil, samples()[:1], samples()} {
		b, err := os.ReadFile(save(f, name, WriteOptions{}, recs))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRead(t, name, data, ReadOptions{DuplicateIDs: "rename"}) })
}

func FuzzArrow(f *testing.F)   { fuzzFiles(f, "x.arrow") }
func FuzzFeather(f *testing.F) { fuzzFiles(f, "x.feather") }
func FuzzGzip(f *testing.F)    { fuzzFiles(f, "x.jsonl.gz") }
func FuzzZstd(f *testing.F)    { fuzzFiles(f, "x.jsonl.zst") }
