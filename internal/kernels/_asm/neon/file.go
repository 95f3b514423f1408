package main

import (
	"fmt"
	"log"
	"slices"
	"strings"
)

// file collects the functions of one set.
type file struct {
	text, stubs strings.Builder
	tableNames  []string
	tables      map[string][]string // entries by rows
	types       map[string]string
	consts      []uint32
}

// v is a vector register, r a general one.
type (
	v int
	r int
)

func (x v) String() string { return fmt.Sprintf("V%d", int(x)) }
func (x r) String() string { return fmt.Sprintf("R%d", int(x)) }

// fn is one function being written. Temporaries are numbered from V0, what stays through a loop from V31 down.
type fn struct {
	f          *file
	name       string
	at         map[string]int // offset of a parameter, of a slice its base
	size       int
	head, body strings.Builder
	used       [32]bool
	keep, most int // lowest register kept, highest temporary
	held       map[uint32]v
	next       r
}

// tab points at the constants; general registers are handed out from R0.
const tab = r(25)

// open begins a function; sig is its signature in Go, without results.
func (f *file) open(name, sig, doc string) *fn {
	g := &fn{f: f, name: name, at: map[string]int{}, keep: 32, most: -1, held: map[uint32]v{}}
	f.stubs.WriteString("\n")
	if doc != "" {
		fmt.Fprintf(&f.stubs, "// %s\n", doc)
	}
	if strings.ContainsAny(sig, "*[") {
		f.stubs.WriteString("//go:noescape\n")
	}
	fmt.Fprintf(&f.stubs, "func %s%s\n", name, strings.TrimPrefix(sig, "func"))
	params := strings.Split(strings.TrimSuffix(strings.TrimPrefix(sig, "func("), ")"), ", ")
	typ := ""
	types := make([]string, len(params))
	for i := len(params) - 1; i >= 0; i-- {
		if name, t, ok := strings.Cut(params[i], " "); ok {
			params[i], typ = name, t
		}
		types[i] = typ
	}
	off := 0
	for i, p := range params {
		size, align := 8, 8
		switch {
		case p == "":
			continue
		case strings.HasPrefix(types[i], "[]"):
			size = 24
		case types[i] == "float32":
			size, align = 4, 4
		case types[i] == "bool":
			size, align = 1, 1
		}
		off = (off + align - 1) &^ (align - 1)
		g.at[p] = off
		off += size
	}
	g.size = off
	return g
}

// close writes the function out, constants loaded before its body.
func (g *fn) close() {
	g.op("RET")
	if g.most >= g.keep {
		log.Fatalf("%s: temporaries up to V%d, kept from V%d", g.name, g.most, g.keep)
	}
	t := &g.f.text
	fmt.Fprintf(t, "\nTEXT ·%s(SB), NOSPLIT, $0-%d\n%s", g.name, g.size, g.head.String())
	if strings.Contains(g.head.String()+g.body.String(), tab.String()+")") || len(g.held) > 0 {
		fmt.Fprintf(t, "\tMOVD $consts<>(SB), %s\n", tab)
	}
	var bits []uint32
	for b := range g.held {
		bits = append(bits, b)
	}
	slices.SortFunc(bits, func(a, b uint32) int { return int(g.held[b]) - int(g.held[a]) })
	for _, b := range bits {
		fmt.Fprintf(t, "\tFMOVQ %d(%s), F%d\n", g.f.place(b), tab, int(g.held[b]))
	}
	t.WriteString(g.body.String())
}

// place is the offset of a constant, four equal words, in the file's table.
func (f *file) place(bits uint32) int {
	i := slices.Index(f.consts, bits)
	if i < 0 {
		i = len(f.consts)
		f.consts = append(f.consts, bits)
	}
	return 16 * i
}

func (f *file) constants() string {
	if len(f.consts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	for i, c := range f.consts {
		for h := range 2 {
			fmt.Fprintf(&b, "DATA consts<>+%d(SB)/8, $0x%08x%08x\n", 16*i+8*h, c, c)
		}
	}
	fmt.Fprintf(&b, "GLOBL consts<>(SB), RODATA|NOPTR, $%d\n", 16*len(f.consts))
	return b.String()
}

// addToTable appends a function to a Go table, which is indexed by rows.
func (f *file) addToTable(table, typ, name string) {
	if f.tables[table] == nil {
		f.tableNames = append(f.tableNames, table)
		f.tables[table], f.types[table] = []string{"nil"}, typ
	}
	f.tables[table] = append(f.tables[table], name)
}

func (f *file) goTables() string {
	var b strings.Builder
	for _, t := range f.tableNames {
		fmt.Fprintf(&b, "\n// %s is indexed by the number of rows.\nvar %s = [...]%s{\n", t, t, f.types[t])
		for _, e := range f.tables[t] {
			fmt.Fprintf(&b, "\t%s,\n", e)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// op writes an instruction in the assembler's syntax, the destination last.
func (g *fn) op(format string, args ...any) {
	fmt.Fprintf(&g.body, "\t"+format+"\n", args...)
}

// label names a place to jump to.
func (g *fn) label(name string) { fmt.Fprintf(&g.body, "%s:\n", name) }

// word writes an instruction that the assembler lacks, text being what a disassembler says.
func (g *fn) word(code uint32, format string, args ...any) {
	fmt.Fprintf(&g.body, "\tWORD $0x%08x // %s\n", code, fmt.Sprintf(format, args...))
}

// gp is the next general register.
func (g *fn) gp() r {
	x := g.next
	g.next++
	if x == 18 { // the platform's
		x, g.next = 19, 20
	}
	if x >= tab {
		log.Fatalf("%s: out of registers", g.name)
	}
	return x
}

// base loads the pointer of a slice, length its length, param an int or a pointer. They belong to the head.
func (g *fn) base(slice string) r { return g.fromFP(slice, "_base", 0) }
func (g *fn) length(slice string) r {
	return g.fromFP(slice, "_len", 8)
}
func (g *fn) param(name string) r { return g.fromFP(name, "", 0) }

func (g *fn) fromFP(name, suffix string, disp int) r {
	x := g.gp()
	fmt.Fprintf(&g.head, "\tMOVD %s%s+%d(FP), %s\n", name, suffix, g.off(name)+disp, x)
	return x
}

func (g *fn) off(name string) int {
	o, ok := g.at[name]
	if !ok {
		log.Fatalf("%s has no parameter %s", g.name, name)
	}
	return o
}

// stay is a register that the whole function keeps.
func (g *fn) stay() v {
	g.keep--
	return v(g.keep)
}

// broadcast fills a register with a float32 parameter.
func (g *fn) broadcast(name string) v {
	x := g.stay()
	fmt.Fprintf(&g.head, "\tFMOVS %s+%d(FP), F%d\n\tVDUP %s.S[0], %s.S4\n", name, g.off(name), int(x), x, x)
	return x
}

// temp is a free register; done gives registers back.
func (g *fn) temp() v {
	for i, u := range g.used {
		if !u {
			g.used[i] = true
			g.most = max(g.most, i)
			return v(i)
		}
	}
	log.Fatalf("%s: out of vector registers", g.name)
	return 0
}

func (g *fn) done(xs ...v) {
	for _, x := range xs {
		g.used[x] = false
	}
}
