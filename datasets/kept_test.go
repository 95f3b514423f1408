package datasets

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What a decoder does not read stays in the metadata.
func TestUnreadFieldsAreKept(t *testing.T) {
	pair := `{"prompt":"p","chosen":"a","rejected":"b",`
	chat := `{"input":{"messages":[{"role":"user","content":"q"}]%s},"preferred_output":[{"role":"assistant","content":"a"}],"non_preferred_output":[{"role":"assistant","content":"b"}]%s}`
	for text, want := range map[string]map[string]string{
		`{"prompt":"p","text":"t"}`:                                                                      {"text": "t"},
		`{"prompt":"p","id":7,"uid":"u"}`:                                                                {"uid": "u"},
		`{"prompt":"p","completion":"c","text":"t"}`:                                                     {"text": "t"},
		`{"chosen":"a","rejected":"b","label":"safe"}`:                                                   {"label": "safe"},
		pair + `"chosen_score":1,"score_chosen":2,"split":3}`:                                            {"score_chosen": "2", "split": "3"},
		pair + `"tools":[{"a":1}],"functions":[{"b":1}]}`:                                                {"functions": `[{"b":1}]`},
		pair + `"meta":[{"source":"a"},{"lang":"en"}]}`:                                                  {"meta": `[{"source":"a"},{"lang":"en"}]`},
		pair + `"meta":[{"key":"k","value":1,"note":"n"}]}`:                                              {"meta": `[{"key":"k","value":1,"note":"n"}]`},
		pair + `"meta":[{"key":"k"},{"key":"k","value":"v"}]}`:                                           {"meta": `[{"key":"k"},{"key":"k","value":"v"}]`},
		pair + `"meta":[{"key":"k","value":1},{"key":"l"}]}`:                                             {"k": "1", "l": ""},
		`{"instruction":"i","output":"o","chosen":"a"}`:                                                  {"chosen": "a"},
		`{"context":"q","prompt":"p","responses":[{"text":"a"}],"chosen_score":1}`:                       {"prompt": "p", "chosen_score": "1"},
		`{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b","text":"t"}`: {"text": "t"},
		fmt.Sprintf(chat, `,"parallel_tool_calls":true`, `,"label":"safe"`):                              {"input.parallel_tool_calls": "true", "label": "safe"},
	} {
		recs, rejects := read(t, write(t, "x.jsonl", text), ReadOptions{})
		if len(recs) != 1 || !reflect.DeepEqual(recs[0].Meta, want) {
			t.Errorf("%s: %+v %+v", text, recs, rejects)
		}
	}
	// UltraFeedback's binarized form repeats the chosen side as messages.
	recs, _ := read(t, write(t, "x.jsonl", `{"prompt":"q","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}`), ReadOptions{})
	if len(recs) != 1 || recs[0].Meta != nil {
		t.Errorf("%+v", recs)
	}
}

// A class column is metadata whatever it holds: a bool, that word, or kto_tag is a verdict.
func TestClassesAreNoVerdicts(t *testing.T) {
	for _, head := range []string{`"instruction":"q","output":"a"`, `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`,
		`"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]`} {
		for value, want := range map[string]string{`0`: "", `1`: "", `2`: "", `-1`: "", `1.0`: "", `"0"`: "", `"1"`: "", `"3"`: "", `""`: "", `["a"]`: "",
			`true`: "true", `false`: "false", `"True"`: "true", `"FALSE"`: "false"} {
			recs, rejects := read(t, write(t, "x.jsonl", "{"+head+`,"label":`+value+"}"), ReadOptions{})
			if len(recs) != 1 || (recs[0].Label != nil) != (want != "") || (recs[0].Meta["label"] == "") != (want != "" || value == `""`) {
				t.Errorf("%s, label %s: %+v %+v", head, value, recs, rejects)
			} else if want != "" && fmt.Sprint(*recs[0].Label) != want {
				t.Errorf("%s, label %s: %t", head, value, *recs[0].Label)
			}
		}
		recs, rejects := read(t, write(t, "x.jsonl", "{"+head+`,"kto_tag":1,"label":7}`), ReadOptions{})
		if len(recs) != 1 || recs[0].Label == nil || !*recs[0].Label || recs[0].Meta["label"] != "7" {
			t.Errorf("%s, kto_tag: %+v %+v", head, recs, rejects)
		}
	}
	recs, rejects := read(t, write(t, "x.csv", "instruction,output,label\nq,a,0\nq,b,1\nq,c,2\nq,d,3\n"), ReadOptions{})
	if len(recs) != 4 || len(rejects) != 0 {
		t.Fatalf("%+v %+v", recs, rejects)
	}
	for i, r := range recs {
		if r.Kind() != Instruction || r.Meta["label"] != fmt.Sprint(i) {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
}

// Tools of a pair stand inside its input or beside it; two that differ are refused.
func TestToolsOfPairs(t *testing.T) {
	row := `{"input":{"messages":[{"role":"user","content":"q"}]%s},"preferred_output":[{"role":"assistant","content":"a"}],"non_preferred_output":[{"role":"assistant","content":"b"}]%s}`
	for _, c := range [][3]string{{``, `,"tools":[{"a":1}]`, `[{"a":1}]`}, {`,"tools":[{"a":1}]`, ``, `[{"a":1}]`}, {`,"tools":[{"a":1}]`, `,"tools":[{"a":1}]`, `[{"a":1}]`}} {
		recs, rejects := read(t, write(t, "x.jsonl", fmt.Sprintf(row, c[0], c[1])), ReadOptions{})
		if len(recs) != 1 || recs[0].Tools != c[2] || recs[0].Meta != nil {
			t.Errorf("%q: %+v %+v", c, recs, rejects)
		}
	}
	_, rejects := read(t, write(t, "x.jsonl", fmt.Sprintf(row, `,"tools":[{"a":1}]`, `,"tools":[{"b":1}]`)), ReadOptions{})
	if len(rejects) != 1 || !strings.Contains(rejects[0].Reason, "tools differ") {
		t.Errorf("%+v", rejects)
	}
}

// Tool calls are written to ShareGPT whether a file keeps them as OpenAI does or flat.
func TestCallsToShareGPT(t *testing.T) {
	for calls, want := range map[string]string{
		`[{"name":"f","arguments":{"x":1}}]`:                                             `{"name":"f","arguments":{"x":1}}`,
		`[{"name":"f"},{"name":"g","arguments":"{}"}]`:                                   `[{"name":"f","arguments":{}},{"name":"g","arguments":{}}]`,
		`[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]`: `{"name":"f","arguments":{"x":1}}`,
		`[{"type":"function","function":{"arguments":"{}"}}]`:                            "",
		`[{"name":"","arguments":{}}]`:                                                   "",
		`[{"function":"f","arguments":{}}]`:                                              "",
	} {
		in := write(t, "x.jsonl", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":`+calls+`}]}`)
		out := filepath.Join(t.TempDir(), "y.jsonl")
		rep, err := Convert(context.Background(), []string{in}, out, ConvertOptions{Write: WriteOptions{Format: "sharegpt"}})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if rep.Unfit != 1 {
				t.Errorf("%s: %+v", calls, rep)
			}
			continue
		}
		source := newTestReader(t, out)
		defer source.Close()
		row, err := source.next()
		if err != nil {
			t.Fatalf("%s: %v", calls, err)
		}
		f, err := parseFields(row)
		if err != nil {
			t.Fatal(err)
		}
		turns, err := f.array("conversations")
		if err != nil || len(turns) != 2 {
			t.Fatalf("%s: %s %v", calls, row.raw, err)
		}
		turn, err := objectOf(turns[1], "turn")
		if err != nil || turn.whole("from") != "function_call" || turn.whole("value") != want {
			t.Errorf("%s became %s (%v)", calls, turns[1], err)
		}
	}
}
