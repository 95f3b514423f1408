package datasets

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The expectations below are written by hand from the descriptions of the formats, one row or more each.
func TestFormatsIn(t *testing.T) {
	system := func(s string) Message { return Message{Role: "system", Content: s} }
	cases := []struct {
		format, name, text string
		want               []Record
	}{
		{"openai", "tools", `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"7"},{"role":"assistant","content":"seven"}],"tools":[{"type":"function","function":{"name":"f"}}]}`,
			[]Record{{Tools: `[{"type":"function","function":{"name":"f"}}]`, Prompt: []Message{user("ab"),
				{Role: "assistant", ToolCalls: `[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]`},
				{Role: "tool", ToolCallID: "1", Content: "7"}}, Chosen: []Message{assistant("seven")}}}},
		{"openai", "pair", `{"input":{"messages":[{"role":"user","content":"q"}]},"preferred_output":[{"role":"assistant","content":"a"}],"non_preferred_output":[{"role":"assistant","content":"b"}]}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Rejected: []Message{assistant("b")}}}},
		{"alpaca", "input", `{"instruction":"Add","input":"1 2","output":"3","system":"s","history":[["x","y"]]}`,
			[]Record{{Prompt: []Message{system("s"), user("x"), assistant("y"), user("Add\n1 2")}, Chosen: []Message{assistant("3")}}}},
		{"alpaca", "pair", `{"instruction":"Add","input":"","chosen":"3","rejected":"4"}`,
			[]Record{{Prompt: []Message{user("Add")}, Chosen: []Message{assistant("3")}, Rejected: []Message{assistant("4")}}}},
		{"sharegpt", "tools", `{"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},{"from":"observation","value":"7"},{"from":"gpt","value":"seven"}],"system":"s","tools":"[{\"name\":\"f\"}]"}`,
			[]Record{{Tools: `[{"name":"f"}]`, Prompt: []Message{system("s"), user("q"),
				{Role: "assistant", ToolCalls: `[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]`}, {Role: "tool", Content: "7"}},
				Chosen: []Message{assistant("seven")}}}},
		{"sharegpt", "pair", `{"conversations":[{"from":"human","value":"q"}],"chosen":{"from":"gpt","value":"a"},"rejected":{"from":"gpt","value":"b"}}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Rejected: []Message{assistant("b")}}}},
		{"sharegpt", "kto", `{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"kto_tag":false}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Label: ptr(false)}}},
		{"openai", "kto", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"label":false}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Label: ptr(false)}}},
		{"openai", "class", `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"label":"safe"}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}}}},
		{"alpaca", "kto", `{"instruction":"q","input":"","output":"a","kto_tag":false}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Label: ptr(false)}}},
		{"sharegpt", "label", `{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"label":true}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Label: ptr(true)}}},
		{"trl", "kto_tag", `{"prompt":"q","completion":"a","kto_tag":false}`,
			[]Record{{Prompt: Text("q"), Chosen: Text("a"), Label: ptr(false)}}},
		{"ranked", "three", `{"context":"q","responses":[{"text":"mid","rank":2},{"text":"best","rank":1},{"text":"worst","rank":3}]}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("best")}, Rejected: []Message{assistant("mid")}},
				{Prompt: []Message{user("q")}, Chosen: []Message{assistant("best")}, Rejected: []Message{assistant("worst")}},
				{Prompt: []Message{user("q")}, Chosen: []Message{assistant("mid")}, Rejected: []Message{assistant("worst")}}}},
		{"ultrafeedback", "scores", `{"instruction":"q","completions":[{"response":"lo","overall_score":9,"annotations":{"helpfulness":{"Rating":"2"},"honesty":{"Rating":"3"}}},{"response":"hi","overall_score":1,"annotations":{"helpfulness":{"Rating":"5"},"honesty":{"Rating":"N/A"}}}]}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("hi")}, Rejected: []Message{assistant("lo")}, ChosenScore: ptr(5.0), RejectedScore: ptr(2.5)}}},
		{"kto", "text", `{"prompt":"p","completion":" c","label":true}`,
			[]Record{{Prompt: Text("p"), Chosen: Text(" c"), Label: ptr(true)}}},
		{"trl", "binarized", `{"prompt":"q","prompt_id":"7","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}],"score_chosen":8.5,"score_rejected":3}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Rejected: []Message{assistant("b")}, ChosenScore: ptr(8.5), RejectedScore: ptr(3.0)}}},
		{"trl", "prompt", `{"prompt":[{"role":"user","content":"q"}]}`, []Record{{Prompt: []Message{user("q")}}}},
		{"trl", "text", `{"text":"t"}`, []Record{{Chosen: Text("t")}}},
		{"oasst-tree", "ranks", `{"message_tree_id":"t","tree_state":"ready","prompt":{"message_id":"t","text":"q","role":"prompter","replies":[{"message_id":"a","text":"second","role":"assistant","rank":1,"replies":[{"message_id":"c","text":"more","role":"prompter","replies":[{"message_id":"d","text":"yes","role":"assistant"}]}]},{"message_id":"b","text":"first","role":"assistant","rank":0}]}}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("first")}, Rejected: []Message{assistant("second")}},
				{Prompt: []Message{user("q"), assistant("second"), user("more")}, Chosen: []Message{assistant("yes")}}}},
		{"oasst", "messages", `{"message_id":"t","message_tree_id":"t","text":"q","role":"prompter","lang":"en"}
{"message_id":"a","parent_id":"t","message_tree_id":"t","text":"second","role":"assistant","rank":1}
{"message_id":"b","parent_id":"t","message_tree_id":"t","text":"first","role":"assistant","rank":0}
{"message_id":"t2","message_tree_id":"t2","text":"q2","role":"prompter"}
{"message_id":"c","parent_id":"t2","message_tree_id":"t2","text":"only","role":"assistant"}`,
			[]Record{{Prompt: []Message{user("q")}, Chosen: []Message{assistant("first")}, Rejected: []Message{assistant("second")}},
				{Prompt: []Message{user("q2")}, Chosen: []Message{assistant("only")}}}},
	}
	for _, c := range cases {
		t.Run(c.format+"/"+c.name, func(t *testing.T) {
			path := write(t, "x.jsonl", c.text+"\n")
			for _, named := range []string{"auto", c.format} {
				recs, rejects := read(t, path, ReadOptions{Format: named})
				if len(rejects) > 0 || len(recs) != len(c.want) {
					t.Fatalf("%s: %d records, %d wanted; rejects %+v", named, len(recs), len(c.want), rejects)
				}
				for i, r := range recs {
					w := c.want[i]
					got := Record{Tools: r.Tools, Prompt: r.Prompt, Chosen: r.Chosen, Rejected: r.Rejected, Label: r.Label,
						ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore}
					if !reflect.DeepEqual(got, w) {
						t.Errorf("record %d:\n got %+v\nwant %+v", i, got, w)
					}
				}
			}
			r, err := Open(path, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := r.Next(); err != nil || FormatOf(r) != c.format {
				t.Errorf("detected as %q (%v)", FormatOf(r), err)
			}
		})
	}
}

// Every format and container gives back what it says it can hold; what it cannot is refused or named by Losses.
func TestFormatsRoundTrip(t *testing.T) {
	for _, fm := range Formats() {
		if !fm.Write {
			continue
		}
		for _, ext := range []string{".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".json.zst"} {
			t.Run(fm.Name+ext, func(t *testing.T) {
				can := formats[fm.Name]
				if strings.HasSuffix(ext, "sv") && len(can.columns) == 0 {
					if _, err := Create(t.TempDir()+"/x"+ext, WriteOptions{Format: fm.Name}); err == nil || !strings.Contains(err.Error(), "no table form") {
						t.Fatalf("expected a clear refusal, got %v", err)
					}
					return
				}
				path := t.TempDir() + "/x" + ext
				w, err := Create(path, WriteOptions{Format: fm.Name})
				if err != nil {
					t.Fatal(err)
				}
				var want []Record
				for _, r := range samples() {
					if err := w.Write(r); err == nil {
						want = append(want, keepable(r, can.can))
					} else if _, ok := err.(*UnfitError); !ok {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if len(want) == 0 {
					t.Fatal("the format holds none of the samples")
				}
				got, rejects := read(t, path, ReadOptions{Format: fm.Name})
				if len(rejects) > 0 || len(got) != len(want) {
					t.Fatalf("%d of %d records, rejects %+v", len(got), len(want), rejects)
				}
				for i := range got {
					g, w := got[i], want[i]
					if !can.can.id {
						g.ID = ""
					}
					if !can.can.source {
						g.Source = Provenance{}
					}
					if fm.Name == "sharegpt" {
						dropCallIDs(w.Prompt)
					}
					if g.Copies == 1 && !can.can.copies {
						g.Copies = 0
					}
					delete(g.Meta, "message_tree_id")
					delete(g.Meta, "chosen_rank")
					delete(g.Meta, "rejected_rank")
					if len(g.Meta) == 0 {
						g.Meta = nil
					}
					if !reflect.DeepEqual(g, w) {
						t.Errorf("record %d:\n got %+v\nwant %+v", i, g, w)
					}
				}
			})
		}
	}
}

// keepable is a record without what a format says it cannot hold.
func keepable(r Record, h holds) Record {
	if !h.id {
		r.ID = ""
	}
	if !h.tools {
		r.Tools = ""
	}
	if !h.margin {
		r.Margin = nil
	}
	if !h.scores {
		r.ChosenScore, r.RejectedScore = nil, nil
	}
	if !h.split {
		r.Split = ""
	}
	if !h.source {
		r.Source = Provenance{}
	}
	if !h.copies {
		r.Copies = 0
	}
	if !h.meta {
		r.Meta = nil
	}
	if !h.name {
		r.Prompt = append([]Message(nil), r.Prompt...)
		for i := range r.Prompt {
			r.Prompt[i].Name, r.Prompt[i].ToolCallID = "", ""
		}
		if len(r.Prompt) == 0 {
			r.Prompt = nil
		}
	}
	return r
}

func dropCallIDs(msgs []Message) {
	for i := range msgs {
		msgs[i].ToolCalls = strings.Replace(msgs[i].ToolCalls, `"id":"c1",`, "", 1)
	}
}

func TestLosses(t *testing.T) {
	say := func(from, to string) string {
		list, err := Losses(from, to)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, l := range list {
			b.WriteString(l.What + "; ")
		}
		return b.String()
	}
	if got := say("plumb", "out.arrow"); got != "" {
		t.Errorf("plumb to Arrow loses %s", got)
	}
	if got := say("hh", "trl"); got != "" {
		t.Errorf("hh to trl loses %s", got)
	}
	if got := say("plumb", "trl"); got != "provenance (file, row, hash of the original); the number of copies a record stands for; " {
		t.Errorf("plumb to trl loses %s", got)
	}
	if got := say("trl", "hh:x.csv"); !strings.Contains(got, "instruction records") || !strings.Contains(got, "raw texts") || !strings.Contains(got, "carriage return") {
		t.Errorf("trl to hh as CSV loses %s", got)
	}
	if got := say("ultrafeedback", "trl"); !strings.Contains(got, "critiques") {
		t.Errorf("ultrafeedback to trl loses %s", got)
	}
	if _, err := Losses("trl", "nonsense"); err == nil {
		t.Error("an unknown format is an error")
	}
}

func TestPairsOfRanking(t *testing.T) {
	text := `{"id":"r","context":"q","responses":[{"text":"b","rank":2},{"text":"a","rank":1},{"text":"c","rank":3},{"text":"d","rank":3}]}`
	for how, want := range map[string]string{"all": "a>b a>c a>d b>c b>d ", "best": "a>b a>c a>d ", "ends": "a>d "} {
		recs, _ := read(t, write(t, "x.jsonl", text), ReadOptions{Pairs: how})
		got, ids := "", map[string]bool{}
		for _, r := range recs {
			got += r.Chosen[0].Content + ">" + r.Rejected[0].Content + " "
			ids[r.ID] = true
		}
		if got != want || len(ids) != len(recs) {
			t.Errorf("%s: got %s with ids %v, want %s", how, got, ids, want)
		}
	}
}

// A ranking makes no more pairs than fit in memory; what to do then is in the reason.
func TestLongRankings(t *testing.T) {
	ranking := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"text":"a","rank":%d}`, i)
		}
		return `{"context":"q","responses":[` + b.String()[1:] + `]}`
	}
	var tree strings.Builder
	tree.WriteString(`{"message_id":"t","message_tree_id":"t","text":"q","role":"prompter"}`)
	for i := range 500 {
		fmt.Fprintf(&tree, "\n"+`{"message_id":"%d","parent_id":"t","message_tree_id":"t","text":"a","role":"assistant","rank":%d}`, i, i)
	}
	var forest strings.Builder // of 30 rankings of 100 in one tree: 148,500 pairs
	forest.WriteString(`{"message_id":"t","message_tree_id":"t","text":"q","role":"prompter"}`)
	for i := range 30 * 101 {
		if i%101 == 0 {
			fmt.Fprintf(&forest, "\n"+`{"message_id":"%d","parent_id":"t","message_tree_id":"t","text":"q","role":"prompter"}`, i)
		} else {
			fmt.Fprintf(&forest, "\n"+`{"message_id":"%d","parent_id":"%d","message_tree_id":"t","text":"a","role":"assistant","rank":%d}`, i, i-i%101, i)
		}
	}
	for _, c := range []struct {
		text, how       string
		records, reject int
	}{
		{ranking(447), "all", 99_681, 0}, {ranking(448), "all", 0, 1}, {ranking(20_000), "all", 0, 1}, {ranking(20_000), "best", 19_999, 0},
		{ranking(200_000), "best", 0, 1}, {ranking(200_000), "ends", 1, 0}, {tree.String(), "all", 0, 501}, {tree.String(), "ends", 1, 0},
		{forest.String(), "all", 0, 3031}, {forest.String(), "best", 2970, 0},
	} {
		recs, rejects := read(t, write(t, "x.jsonl", c.text), ReadOptions{Pairs: c.how})
		if len(recs) != c.records || len(rejects) != c.reject || c.records == 0 && !strings.Contains(rejects[0].Reason, "as pairs of best or ends") {
			t.Errorf("%.30s, %s: %d records, %d rejects", c.text, c.how, len(recs), len(rejects))
		}
	}
}
