package datasets

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"math"
	"sort"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// WriteHTML writes the inspection as one page with its plots inside: it needs no network and no script.
func (in *Inspection) WriteHTML(w io.Writer, title string) error {
	page := struct {
		*Inspection
		Title  string
		Charts []template.HTML
		Order  []string
	}{Inspection: in, Title: title, Order: []string{"prompt", "chosen", "rejected", "record"}}
	for _, unit := range []struct {
		name string
		of   map[string]Spread
	}{{"characters", in.Characters}, {"tokens", in.Tokens}} {
		for _, side := range page.Order {
			if s, ok := unit.of[side]; ok {
				svg, err := histogram(fmt.Sprintf("%s, %s", side, unit.name), unit.name, s)
				if err != nil {
					return err
				}
				page.Charts = append(page.Charts, svg)
			}
		}
	}
	svg, err := histogram("turns of a record", "turns", in.Turns)
	if err != nil {
		return err
	}
	page.Charts = append(page.Charts, svg)
	return pageTemplate.Execute(w, page)
}

// histogram draws the bars of a spread as SVG.
func histogram(title, unit string, s Spread) (template.HTML, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = unit
	p.Y.Label.Text = "records"
	p.X.Tick.Marker, p.Y.Tick.Marker = wholeTicks{}, wholeTicks{}
	shift := 0.0
	if len(s.Bins) > 0 && s.Bins[0].To-s.Bins[0].From == 1 {
		shift = -0.5 // a bar of one value stands over it
	}
	var bins []plotter.HistogramBin
	for i, b := range s.Bins {
		to := b.To
		if i > 0 && i == len(s.Bins)-1 { // the tail is in the last bar, drawn as wide as the others
			to = b.From + s.Bins[0].To - s.Bins[0].From
		}
		bins = append(bins, plotter.HistogramBin{Min: float64(b.From) + shift, Max: float64(to) + shift, Weight: float64(b.Count)})
	}
	if len(bins) > 0 {
		p.Add(&plotter.Histogram{Bins: bins, FillColor: color.RGBA{R: 70, G: 110, B: 160, A: 255},
			LineStyle: draw.LineStyle{Color: color.White, Width: vg.Points(0.5)}})
	}
	p.Y.Min = 0
	c := vgsvg.New(10*vg.Centimeter, 6*vg.Centimeter)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	svg := b.Bytes()
	if i := bytes.Index(svg, []byte("<svg")); i > 0 { // the XML declaration has no place inside a page
		svg = svg[i:]
	}
	return template.HTML(svg), nil
}

// wholeTicks are labels without fractions: what is counted here has none.
type wholeTicks struct{}

func (wholeTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i, t := range ticks {
		if t.Label == "" {
			continue
		}
		ticks[i].Label = ""
		if t.Value == math.Trunc(t.Value) {
			ticks[i].Label = strconv.FormatFloat(t.Value, 'f', -1, 64)
		}
	}
	return ticks
}

// table sorts a count for the page.
func table(m map[string]int64) []Bar {
	list := make([]Bar, 0, len(m))
	for k, v := range m {
		list = append(list, Bar{k, v})
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].Count > list[j].Count || list[i].Count == list[j].Count && list[i].Name < list[j].Name
	})
	return list[:min(len(list), 50)]
}

// Bar is a name with its count.
type Bar struct {
	Name  string
	Count int64
}

var pageTemplate = template.Must(template.New("inspect").Funcs(template.FuncMap{
	"table":   table,
	"percent": func(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) },
	"one":     func(x float64) string { return fmt.Sprintf("%.1f", x) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 2rem .5rem 0}td,th{padding:.15rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child,.text td:nth-child(2),.text th:nth-child(2){text-align:left}.row{display:flex;flex-wrap:wrap;align-items:flex-start}
pre{white-space:pre-wrap;background:#f6f6f6;padding:.7rem;margin:.2rem 0}.bad{color:#a00}
</style></head><body>
<h1>{{.Title}}</h1>
<p>{{.Records}} records from {{.Rows}} rows{{if .Rejected}}, <span class="bad">{{.Rejected}} rejected</span>{{end}}{{if .Unused}}, {{.Unused}} in no record{{end}}; {{.Chat}} conversations.</p>
<div class="row">
<table><tr><th>kind</th><th>records</th></tr>{{range table .Kinds}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>
<table><tr><th>field</th><th>records</th></tr>{{range table .Fields}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>
{{if .Roles}}<table><tr><th>role</th><th>messages</th></tr>{{range table .Roles}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>{{end}}
{{if .MetaKeys}}<table><tr><th>metadata</th><th>records</th></tr>{{range table .MetaKeys}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>{{end}}
<table><tr><th>source</th><th>records</th></tr>{{range table .Sources}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>
{{if .Splits}}<table><tr><th>split</th><th>records</th></tr>{{range table .Splits}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>{{end}}
{{if .WhyUnused}}<table><tr><th>in no record because</th><th>rows</th></tr>{{range table .WhyUnused}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>{{end}}
{{if .Reasons}}<table><tr><th>rejected because</th><th>rows</th></tr>{{range table .Reasons}}<tr><td>{{.Name}}</td><td>{{.Count}}</td></tr>{{end}}</table>{{end}}
<table><tr><th>language</th><th>of {{.LanguagesOf}}</th><th></th></tr>{{range .Languages}}<tr><td>{{.Name}}</td><td>{{.Records}}</td><td>{{percent .Share}}</td></tr>{{end}}</table>
</div>
<h2>Schema</h2>
{{range .Schemas}}<table class="text"><tr><th colspan="3">{{.File}}: {{.Container}}, {{if .Format}}read as {{.Format}}{{else}}without rows that could be read{{end}}</th></tr>
<tr><th>column</th><th>type</th><th>rows</th></tr>{{range .Columns}}<tr><td>{{.Name}}</td><td>{{.Type}}</td><td>{{.Rows}}</td></tr>{{end}}</table>{{end}}
<h2>Duplicates and pairs</h2>
<table>
<tr><td>exact duplicates</td><td>{{.Duplicates.Exact}}</td></tr>
<tr><td>duplicates but for case, spacing, Unicode forms</td><td>{{.Duplicates.Folded}}</td></tr>
<tr><td>distinct prompts</td><td>{{.Duplicates.Prompts}}</td></tr>
<tr><td>prompts of more than one record</td><td>{{.Duplicates.SharedPrompts}}</td></tr>
<tr><td>records on such prompts</td><td>{{.Duplicates.OnShared}}</td></tr>
<tr><td>pairs in both orders</td><td>{{.Duplicates.Flipped}}</td></tr>
<tr><td>chosen equals rejected</td><td>{{.Pairs.Equal}}</td></tr>
<tr><td>chosen equals rejected but for case, spacing, Unicode forms</td><td>{{.Pairs.EqualFolded}}</td></tr>
<tr><td>empty answers</td><td>{{.Pairs.EmptyAnswers}}</td></tr>
<tr><td>chosen is the longer one</td><td>{{percent .Pairs.ChosenLonger}}</td></tr>
</table>
<h2>Lengths</h2>
{{$o := .Order}}
{{range $unit, $m := .Lengths}}<table><tr><th>{{$unit}}</th><th>records</th><th>min</th><th>median</th><th>mean</th><th>90%</th><th>99%</th><th>max</th><th>total</th></tr>
{{range $o}}{{$s := index $m .}}{{if $s.Count}}<tr><td>{{.}}</td><td>{{$s.Count}}</td><td>{{$s.Min}}</td><td>{{$s.Median}}</td><td>{{one $s.Mean}}</td><td>{{$s.P90}}</td><td>{{$s.P99}}</td><td>{{$s.Max}}</td><td>{{$s.Total}}</td></tr>{{end}}{{end}}</table>{{end}}
<p>The last bar of a plot takes everything above the 99th percentile.</p>
<div class="row">{{range .Charts}}<div>{{.}}</div>{{end}}</div>
<h2>Examples</h2>
{{range .Examples}}<h3>{{.ID}} ({{.Kind}})</h3>{{if .Prompt}}<pre>{{.Prompt}}</pre>{{end}}{{if .Chosen}}<b>chosen</b><pre>{{.Chosen}}</pre>{{end}}{{if .Rejected}}<b>rejected</b><pre>{{.Rejected}}</pre>{{end}}{{end}}
</body></html>
`))

// Lengths are the tables of the page by their unit.
func (in *Inspection) Lengths() map[string]map[string]Spread {
	m := map[string]map[string]Spread{"characters": in.Characters}
	if in.Tokens != nil {
		m["tokens"] = in.Tokens
	}
	return m
}
