package compare

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// inks tell runs apart, also for the colour-blind (Okabe and Ito's palette); a run keeps its ink on every plot.
var inks = []color.RGBA{
	{86, 86, 86, 255}, {0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255},
}

func ink(i int) color.RGBA { return inks[i%len(inks)] }

// css writes a run's ink for the page's key.
func css(i int) template.CSS {
	c := ink(i)
	return template.CSS(fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
}

// Sizes of a plot on the page.
const (
	plotWidth, plotHeight   = 13 * vg.Centimeter, 8 * vg.Centimeter
	curveWidth, curveHeight = 8.5 * vg.Centimeter, 5 * vg.Centimeter
)

// svg draws a plot as an element to be put inside HTML.
func svg(p *plot.Plot, w, h vg.Length) (template.HTML, error) {
	c := vgsvg.New(w, h)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	out := b.Bytes()
	if at := bytes.Index(out, []byte("<svg")); at > 0 {
		out = out[at:] // without the XML prolog, which HTML does not know
	}
	return template.HTML(out), nil // drawn here; vgsvg escapes the texts
}

// againstKL plots a figure of every run over its distance from the base.
func (r *Report) againstKL(title string, of func(*RunReport) *Interval) (template.HTML, error) {
	p := plot.New()
	p.Title.Text = title + " over KL to the base"
	p.X.Label.Text, p.Y.Label.Text = "KL (nats an answer)", title
	p.Add(plotter.NewGrid())
	drawn := 0
	left, right, low, high := 0.0, 0.0, math.Inf(1), math.Inf(-1)
	for i := range r.Runs {
		rr := &r.Runs[i]
		iv := of(rr)
		if iv == nil || rr.KL == nil {
			continue
		}
		at := plotter.XYs{{X: rr.KL.Mean, Y: iv.Mean}}
		dots, err := plotter.NewScatter(at)
		if err != nil {
			return "", err
		}
		dots.Color, dots.Radius, dots.Shape = ink(i), 4, draw.CircleGlyph{}
		bar, err := plotter.NewLine(plotter.XYs{{X: rr.KL.Mean, Y: iv.Low}, {X: rr.KL.Mean, Y: iv.High}})
		if err != nil {
			return "", err
		}
		bar.Color, bar.Width = ink(i), 1.5
		name, err := plotter.NewLabels(plotter.XYLabels{XYs: at, Labels: []string{rr.Name}})
		if err != nil {
			return "", err
		}
		name.Offset = vg.Point{X: 6, Y: 3}
		name.TextStyle[0].Color = ink(i)
		p.Add(bar, dots, name)
		drawn++
		left, right, low, high = min(left, rr.KL.Mean), max(right, rr.KL.Mean), min(low, iv.Low), max(high, iv.High)
	}
	if drawn == 0 {
		return "", nil
	}
	// Room for the dots and, on the right, for the names.
	wide, tall := max(right-left, 0.1), max(high-low, 0.01)
	p.X.Min, p.X.Max = left-0.03*wide, right+0.2*wide
	p.Y.Min, p.Y.Max = low-0.05*tall, high+0.05*tall
	return svg(p, plotWidth, plotHeight)
}

// histogramBins cut the range that all runs share.
const histogramBins = 24

// histogram plots how a figure is spread over the prompts, a line for each run.
func (r *Report) histogram(title string, of func(*RunReport) []float64) (template.HTML, error) {
	low, high, any := 0.0, 0.0, false
	for i := range r.Runs {
		for _, v := range of(&r.Runs[i]) {
			if !any {
				low, high, any = v, v, true
			}
			low, high = min(low, v), max(high, v)
		}
	}
	if !any {
		return "", nil
	}
	if high == low {
		high = low + 1
	}
	p := plot.New()
	p.Title.Text = title + " of each prompt"
	p.X.Label.Text, p.Y.Label.Text = title, "share of prompts"
	p.Add(plotter.NewGrid())
	for i := range r.Runs {
		values := of(&r.Runs[i])
		if len(values) == 0 {
			continue
		}
		var share [histogramBins]float64
		for _, v := range values {
			share[min(int((v-low)/(high-low)*histogramBins), histogramBins-1)] += 1 / float64(len(values))
		}
		line := make(plotter.XYs, 0, 2*histogramBins)
		for b, s := range share {
			left := low + (high-low)*float64(b)/histogramBins
			right := low + (high-low)*float64(b+1)/histogramBins
			line = append(line, plotter.XY{X: left, Y: s}, plotter.XY{X: right, Y: s})
		}
		steps, err := plotter.NewLine(line)
		if err != nil {
			return "", err
		}
		steps.Color, steps.Width = ink(i), 1.5
		p.Add(steps)
	}
	return svg(p, plotWidth, plotHeight)
}

// plot draws one figure of one run over its steps.
func (c *Curve) plot(i int) (template.HTML, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: %s", c.Run, c.Figure)
	p.X.Label.Text = "step"
	p.Add(plotter.NewGrid())
	line := make(plotter.XYs, len(c.Steps))
	for k := range line {
		line[k] = plotter.XY{X: c.Steps[k], Y: c.Values[k]}
	}
	l, err := plotter.NewLine(line)
	if err != nil {
		return "", err
	}
	l.Color, l.Width = ink(i), 1.5
	p.Add(l)
	return svg(p, curveWidth, curveHeight)
}
