// Package kernels owns the arithmetic on float slices that everything else is built from: matrix products,
// row reductions, activations, norms, rotary positions, the optimiser's update, number formats, and the pool of
// threads that runs them. It knows nothing of tensors, models, tapes or files.
//
// All matrices are row-major float32. Two rules make results independent of how work is cut up:
//
// Products load c (or start from zero) and then add one product per k in ascending k (bf16 dot products: the odd
// element of a pair, then the even one). No bit of an element depends on m, tiles, blocking or threads.
//
// Row reductions keep 16 partial sums by column index modulo 16 and fold them in one fixed tree, so that appending
// zeros changes nothing and an element's place in memory does not matter.
//
// Each function exists in generic Go and, where the processor has them, as AVX2 and AVX-512 or NEON assembly, chosen when
// the program starts. The AVX levels and NEON give equal bits in f32, hashes of which TestBitsAcrossMachines holds; the generic
// one differs from them by rounding (it has no fused multiply-add, on arm64 neither). NaN and Inf travel through every
// function: zeros are not skipped, but for those that pad a low rank and its factors.
//
// Slices that are too short for the shape passed are a programming error and panic as any slice access does.
package kernels
