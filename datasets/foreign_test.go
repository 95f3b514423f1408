package datasets

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// A table gives each of its structs every field of every row. The records are those of the rows as JSON lines nonetheless.
func TestNullsOfStructs(t *testing.T) {
	rows := []string{
		`{"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":1}}}]}],"tools":[{"function":{"name":"f","parameters":{"properties":{"x":{"type":"int"}}}}}]}`,
		`{"messages":[{"role":"user","content":"r"},{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"g","arguments":{"y":["a",null]}}}]}],"tools":[{"function":{"name":"g","parameters":{"properties":{"y":{"type":"list","of":"s"}}}}},{"function":{"name":"h"}}]}`,
		`{"messages":[{"role":"user","content":"s"},{"role":"assistant","content":"a"}]}`,
	}
	str := arrow.BinaryTypes.String
	list, object := arrow.ListOf, func(fields ...any) arrow.DataType {
		var of []arrow.Field
		for i := 0; i < len(fields); i += 2 {
			of = append(of, arrow.Field{Name: fields[i].(string), Type: fields[i+1].(arrow.DataType), Nullable: true})
		}
		return arrow.StructOf(of...)
	}
	kind := object("type", str, "of", str, "never", arrow.Null)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "messages", Nullable: true, Type: list(object("role", str, "content", str, "tool_calls", list(object("type", str, "function",
			object("name", str, "arguments", object("x", arrow.PrimitiveTypes.Int64, "y", list(str)))))))},
		{Name: "tools", Nullable: true, Type: list(object("function", object("name", str, "parameters", object("properties", object("x", kind, "y", kind)))))},
	}, nil)
	batch, _, err := array.RecordFromJSON(memory.NewGoAllocator(), schema, strings.NewReader("["+strings.Join(rows, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := ipc.NewWriter(f, ipc.WithSchema(schema))
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, rejects := read(t, path, ReadOptions{})
	want, _ := read(t, write(t, "x.jsonl", strings.Join(rows, "\n")), ReadOptions{})
	if len(got) != len(want) {
		t.Fatalf("%d records, rejects %+v", len(got), rejects)
	}
	for i := range got {
		if got[i].ContentHash() != want[i].ContentHash() {
			t.Errorf("row %d:\n got %+v\nwant %+v", i+1, got[i], want[i])
		}
	}
}

// A number that JSON cannot hold is refused where it is read, with file and row, and by writers.
func TestNumbersThatAreNotFinite(t *testing.T) {
	for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		bad := samples()[1]
		name := [3]string{"margin", "chosen_score", "rejected_score"}[i]
		*[3]**float64{&bad.Margin, &bad.ChosenScore, &bad.RejectedScore}[i] = &v
		path := filepath.Join(t.TempDir(), "x.arrow")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		e := newTableEncoder(ipc.NewWriter(f, ipc.WithSchema(Schema())))
		for _, r := range []Record{samples()[6], bad, samples()[2]} {
			if err := e.add(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.flush(); err != nil {
			t.Fatal(err)
		}
		if err := e.w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		out := filepath.Join(t.TempDir(), "y.jsonl")
		rep, err := Convert(context.Background(), []string{path}, out, ConvertOptions{Write: WriteOptions{Format: "hh"}})
		if err != nil || rep.Rows != 3 || rep.Rejected != 1 {
			t.Fatalf("%s: %+v %v", name, rep, err)
		}
		var got Reject
		if err := json.Unmarshal([]byte(strings.Split(readFile(t, rep.Rejects), "\n")[0]), &got); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%s: a finite number was expected, got %g", name, v); got.File != "x.arrow" || got.Row != 2 || got.Reason != want {
			t.Errorf("%+v, want %s", got, want)
		}
		w, err := Create(filepath.Join(t.TempDir(), "z.arrow"), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("written: %v", err)
		}
		w.Discard()
	}
}
