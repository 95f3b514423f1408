// Command _asm writes the assembly of internal/kernels: `go generate` in that package runs it once per set. It is a
// module of its own so that the generator's dependencies are not Plumb's.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

var sets = map[string]func(){
	"tile512": tiles512,
	"dot512":  tilesDot512,
	"tile256": tiles256,
	"tileint": tilesInt,
	"strip":   strips256,
	"wide":    wide512,
	"misc":    misc,
	"elem":    elementwise,
	"rows":    rows,
	"quant":   quant,
	"gather":  gather,
	"blocks":  blocks,
	"amx":     amx,
}

func main() {
	set := flag.String("set", "", "which functions to write")
	table := flag.String("table", "", "file for the Go tables of the functions, if the set has them")
	flag.Parse()
	f := sets[*set]
	if f == nil {
		log.Fatalf("no set %q", *set)
	}
	ConstraintExpr("amd64,!noasm")
	f()
	if *table != "" {
		writeTables(*table)
	}
	Generate()
}
