package configs

import "embed"

// FS holds the experiments that come with Plumb, so that the program alone can run them.
//
//go:embed *.yaml
var FS embed.FS
