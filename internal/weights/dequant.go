package weights

import "encoding/binary"

// The block formats are those of ggml. Every product is rounded to f32 before the sum: the conversion forbids the
// fused multiply-add that Go may emit on some machines, so values are the same everywhere and equal ggml's reference.

// decodeQ4_0: half d, 16 bytes of nibbles; value d*(q-8). Low nibbles are the first 16 values, high ones the last.
func decodeQ4_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d := half(src)
		for i, b := range src[2:18] {
			dst[i] = d * float32(int(b&15)-8)
			dst[i+16] = d * float32(int(b>>4)-8)
		}
	}
}

// decodeQ4_1: half d, half m, nibbles; value d*q+m.
func decodeQ4_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[20:] {
		d, m := half(src), half(src[2:])
		for i, b := range src[4:20] {
			dst[i] = float32(d*float32(b&15)) + m
			dst[i+16] = float32(d*float32(b>>4)) + m
		}
	}
}

// decodeQ5_0: half d, 32 fifth bits, nibbles; value d*(q-16).
func decodeQ5_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[22:] {
		d, high := half(src), binary.LittleEndian.Uint32(src[2:])
		for i, b := range src[6:22] {
			dst[i] = d * float32(int(b&15|byte(high>>i&1)<<4)-16)
			dst[i+16] = d * float32(int(b>>4|byte(high>>(i+16)&1)<<4)-16)
		}
	}
}

// decodeQ5_1: half d, half m, 32 fifth bits, nibbles; value d*q+m.
func decodeQ5_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[24:] {
		d, m, high := half(src), half(src[2:]), binary.LittleEndian.Uint32(src[4:])
		for i, b := range src[8:24] {
			dst[i] = float32(d*float32(b&15|byte(high>>i&1)<<4)) + m
			dst[i+16] = float32(d*float32(b>>4|byte(high>>(i+16)&1)<<4)) + m
		}
	}
}

// decodeQ8_0: half d, 32 signed bytes; value d*q.
func decodeQ8_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[34:] {
		d := half(src)
		for i, b := range src[2:34] {
			dst[i] = d * float32(int8(b))
		}
	}
}

// scaleMin unpacks the 6-bit scale and minimum of sub-block j (0..7) from the 12 bytes of a K block.
func scaleMin(s []byte, j int) (scale, minimum float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

// decodeQ4_K: half d, half dmin, 12 bytes of scales and minima, 128 bytes of nibbles: 8 sub-blocks of 32 values
// (d*scale)*q - dmin*minimum. Sub-blocks 2k and 2k+1 share 32 bytes: low nibbles, then high.
func decodeQ4_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[144:] {
		d, dmin, qs := half(src), half(src[2:]), src[16:144]
		for j := range 8 {
			s, m := scaleMin(src[4:16], j)
			ds, ms := d*s, dmin*m
			shift := 4 * (j & 1)
			for i, b := range qs[j/2*32 : j/2*32+32] {
				dst[j*32+i] = float32(ds*float32(b>>shift&15)) - ms
			}
		}
	}
}

// decodeQ5_K: as Q4_K with 32 bytes of fifth bits before the nibbles; bit j of byte i belongs to value i of sub-block j.
func decodeQ5_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[176:] {
		d, dmin, high, qs := half(src), half(src[2:]), src[16:48], src[48:176]
		for j := range 8 {
			s, m := scaleMin(src[4:16], j)
			ds, ms := d*s, dmin*m
			shift := 4 * (j & 1)
			for i, b := range qs[j/2*32 : j/2*32+32] {
				dst[j*32+i] = float32(ds*float32(b>>shift&15|high[i]>>j&1<<4)) - ms
			}
		}
	}
}

// decodeQ6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, half d; value (d*scale)*(q-32).
// Each half of the block holds four runs of 32 values; run r takes its low bits from bytes 32*(r%2) (nibble r/2) and
// its high bits from pair r.
func decodeQ6_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[256:], src[210:] {
		d := half(src[208:])
		for h := range 2 {
			ql, qh, scales := src[64*h:64*h+64], src[128+32*h:160+32*h], src[192+8*h:200+8*h]
			for r := range 4 {
				low := ql[32*(r&1) : 32*(r&1)+32]
				for i := range 32 {
					q := low[i]>>(4*(r>>1))&15 | qh[i]>>(2*r)&3<<4
					ds := d * float32(int8(scales[2*r+i/16]))
					dst[128*h+32*r+i] = ds * float32(int(q)-32)
				}
			}
		}
	}
}
