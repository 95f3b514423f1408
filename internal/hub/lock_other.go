//go:build !unix

package hub

import "context"

// lock does nothing where there is no flock: two processes that pull one file at once may each have to start again, and
// the hash still keeps a mixture from getting a name.
func lock(context.Context, string) (func(), error) { return func() {}, nil }
