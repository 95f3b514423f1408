//go:build (!amd64 && !arm64) || noasm

package kernels

// Available lists the levels of this processor and build, ascending.
func Available() []Level { return []Level{Generic} }

func implOf(Level) *impl { return &genericImpl }

// pause is a short rest in a spin loop.
//
//go:noinline
func pause() {
	for range 64 {
	}
}

func slowDot() bool { return false }
