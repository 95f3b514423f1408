package compare

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"ink":     css,
	"percent": func(x float64) string { return fmt.Sprintf("%.0f%%", 100*x) },
}).Parse(pageText))

// page renders the report as one HTML file that loads nothing: style and plots are inside.
func (r *Report) page() ([]byte, error) {
	data := struct {
		Report              *Report
		Gold, Reward, Bound bool
		Plots, Curves       []template.HTML
	}{Report: r}
	for i := range r.Runs {
		data.Gold = data.Gold || r.Runs[i].Gold != nil
		data.Reward = data.Reward || r.Runs[i].Reward != nil
		data.Bound = data.Bound || r.Runs[i].KLBound
	}
	add := func(to *[]template.HTML, plot template.HTML, err error) error {
		if err == nil && plot != "" {
			*to = append(*to, plot)
		}
		return err
	}
	gold := func(rr *RunReport) *Interval { return rr.Gold }
	reward := func(rr *RunReport) *Interval { return rr.Reward }
	for _, draw := range []func() (template.HTML, error){
		func() (template.HTML, error) { return r.againstKL("gold reward", gold) },
		func() (template.HTML, error) { return r.againstKL("reward-model reward", reward) },
		func() (template.HTML, error) {
			return r.histogram("gold reward", func(rr *RunReport) []float64 { return rr.gold })
		},
		func() (template.HTML, error) {
			return r.histogram("reward-model reward", func(rr *RunReport) []float64 { return rr.reward })
		},
		func() (template.HTML, error) {
			return r.histogram("bytes", func(rr *RunReport) []float64 { return rr.bytes })
		},
	} {
		plot, err := draw()
		if err := add(&data.Plots, plot, err); err != nil {
			return nil, err
		}
	}
	for i := range r.Curves {
		c := &r.Curves[i]
		at := slices.IndexFunc(r.Runs, func(rr RunReport) bool { return rr.Name == c.Run })
		plot, err := c.plot(max(at, 0))
		if err := add(&data.Curves, plot, err); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
