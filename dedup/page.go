package dedup

import (
	"fmt"
	"html/template"
	"io"
	"slices"
)

// What a page shows at most, so that it opens in any browser.
const (
	pageClusters = 300
	pageMembers  = 12
	pageText     = 1500 // characters of a text
)

type pageCluster struct {
	Kept    pageRecord
	Members []pageRecord
	More    int
}

type pageRecord struct {
	Ref    Ref
	Stage  string
	Score  string
	Copies int
	Fields []pageField
}

type pageField struct{ Name, Text string }

type pageData struct {
	Report   *Report
	Config   Config
	Clusters []pageCluster
	Hidden   int
}

// writePage writes a self-contained page: the counts, then the clusters, largest first, kept and removed side by side.
func (c *corpus) writePage(w io.Writer, stars []star, verdicts []verdict, rep *Report) error {
	all := slices.Clone(stars)
	inStar := map[int32]bool{}
	for _, s := range stars {
		inStar[s.center] = true
		for _, e := range s.members {
			inStar[e.b] = true
		}
	}
	for i, n := range c.nodes {
		if n.count > 1 && !inStar[int32(i)] {
			all = append(all, star{center: int32(i)})
		}
	}
	size := func(s star) int {
		n := int(c.nodes[s.center].count)
		for _, e := range s.members {
			n += int(c.nodes[e.b].count)
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b star) int {
		if d := size(b) - size(a); d != 0 {
			return d
		}
		return int(a.center) - int(b.center)
	})
	data := pageData{Report: rep, Config: c.cfg, Hidden: max(len(all)-pageClusters, 0)}
	for _, s := range all[:min(len(all), pageClusters)] {
		kept, err := c.pageRecord(s.center, edge{tier: "kept"}, verdicts)
		if err != nil {
			return err
		}
		p := pageCluster{Kept: kept, More: max(len(s.members)-pageMembers, 0)}
		for _, e := range s.members[:min(len(s.members), pageMembers)] {
			m, err := c.pageRecord(e.b, e, verdicts)
			if err != nil {
				return err
			}
			p.Members = append(p.Members, m)
		}
		data.Clusters = append(data.Clusters, p)
	}
	return pageTemplate.Execute(w, data)
}

func (c *corpus) pageRecord(n int32, e edge, verdicts []verdict) (pageRecord, error) {
	t, err := c.text(int(n))
	if err != nil {
		return pageRecord{}, err
	}
	first := c.nodes[n].first
	for r := range c.records(n) {
		if verdicts[r].stage == "" {
			first = r
			break
		}
	}
	p := pageRecord{Ref: c.ref(first), Stage: string(e.tier), Copies: int(c.nodes[n].count)}
	if e.score > 0 {
		p.Score = fmt.Sprintf("%.3f", e.score)
		if e.check != 1 {
			p.Score += fmt.Sprintf(", verifier %.3f", e.check)
		}
	}
	for i, use := range c.key.uses() {
		if use && t[i] != "" {
			p.Fields = append(p.Fields, pageField{fieldNames[i], clip(t[i], pageText)})
		}
	}
	return p, nil
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Duplicates</title>
<style>
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}td.n{text-align:right}
details{border:1px solid #ccc;border-radius:6px;margin:.6rem 0;padding:.4rem .8rem}summary{cursor:pointer}
.row{display:grid;grid-template-columns:1fr 1fr;gap:1rem;border-top:1px solid #eee;padding:.5rem 0}
.row>div{min-width:0}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0;font:13px/1.4 ui-monospace,monospace}
small{color:#666}b.f{font-size:12px;color:#666;font-weight:600}
</style>
<h1>Duplicates</h1>
<p>{{.Report.Records}} records read: {{.Report.Kept}} kept, {{.Report.Removed}} removed. {{.Report.Distinct}} distinct texts by the key
“{{.Config.Key}}”; {{.Report.Clusters}} clusters of them are alike.</p>
<table><tr><th>stage<th>removed</tr>{{range .Report.ByStage}}<tr><td>{{.Stage}}<td class="n">{{.Removed}}</tr>{{end}}</table>
{{with .Report.MinHash}}<p>MinHash: {{.Bands}} bands of {{.Rows}} rows, {{.Candidates}} candidates, {{.Alike}} alike, {{.Confirmed}} confirmed.</p>{{end}}
{{with .Report.Vectors}}<p>Vectors ({{.Encoder}}): {{.Candidates}} candidates, {{.Alike}} alike, {{.Confirmed}} confirmed{{with .Recall}}; recall of the search {{.}}{{end}}.</p>{{end}}
{{with .Report.Preference}}<p>Preferences: {{.Prompts}} prompts, {{.Merged}} merged; {{.Ties}} ties, {{.NearTies}} near ties, {{.Flipped}} flipped, {{.Cycles}} cycles; {{.Dropped}} dropped.</p>{{end}}
{{with .Report.Certificate}}<p>Against {{.TestRecords}} test records: {{.TrainLeaked}} records leak {{.TestLeaked}} of them.</p>{{end}}
<h2>Clusters</h2>
{{range .Clusters}}<details><summary>{{.Kept.Ref.ID}} <small>{{.Kept.Ref.File}}:{{.Kept.Ref.Row}} · {{.Kept.Copies}} equal · {{len .Members}} alike{{if .More}} and {{.More}} more{{end}}</small></summary>
{{$kept := .Kept}}{{if not .Members}}<div class="row"><div>{{template "fields" $kept}}</div></div>{{end}}
{{range .Members}}<div class="row"><div><small>kept</small>{{template "fields" $kept}}</div>
<div><small>{{.Ref.ID}} {{.Ref.File}}:{{.Ref.Row}} · {{.Stage}} {{.Score}} · {{.Copies}} equal</small>{{template "fields" .}}</div></div>{{end}}
</details>
{{end}}{{if .Hidden}}<p>{{.Hidden}} smaller clusters are in the ledger.</p>{{end}}
</html>
{{define "fields"}}{{range .Fields}}<div><b class="f">{{.Name}}</b><pre>{{.Text}}</pre></div>{{end}}{{end}}`))
