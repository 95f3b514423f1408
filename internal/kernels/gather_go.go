//go:build !amd64 || noasm

package kernels

func (im *impl) dotsI8(dst []int32, q []int8, codes []int8, at []int32) {
	dotsI8Generic(dst, q, codes, at)
}

func fetchLines([]int32) {}
