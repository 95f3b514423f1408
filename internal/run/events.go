package run

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// TensorBoard's event files, written by hand: a sequence of TFRecords, each
//
//	uint64 length, uint32 masked crc32c(length), data, uint32 masked crc32c(data)     (little endian)
//
// whose data is the protocol buffer Event{1: wall_time double, 2: step int64, 3: file_version string, 5: summary}, with
// Summary{1: repeated Value{1: tag string, 2: simple_value float}}. Source: tensorboard/compat/proto/event.proto and
// summary.proto, tensorflow/core/lib/io/record_writer.h.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is TFRecord's checksum: rotated and offset, so that a checksum over data that holds checksums stays useful.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, len(data)+16), uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

// Wire types of a protocol buffer field.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func appendBytes(b []byte, field int, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(field<<3|wireBytes))
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendWallTime(b []byte, seconds float64) []byte {
	b = binary.AppendUvarint(b, 1<<3|wireFixed64)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(seconds))
}

// versionRecord opens every event file.
func versionRecord(seconds float64) []byte {
	return record(appendBytes(appendWallTime(nil, seconds), 3, []byte("brain.Event:2")))
}

func scalarRecord(seconds float64, step int64, names []string, fields map[string]float64) []byte {
	var summary []byte
	for _, name := range names {
		v := appendBytes(nil, 1, []byte(name))
		v = binary.AppendUvarint(v, 2<<3|wireFixed32)
		v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(fields[name])))
		summary = appendBytes(summary, 1, v)
	}
	b := appendWallTime(nil, seconds)
	b = binary.AppendUvarint(b, 2<<3|wireVarint)
	b = binary.AppendUvarint(b, uint64(step))
	return record(appendBytes(b, 5, summary))
}

// keepRecords returns how many bytes of an event file hold whole records up to step.
func keepRecords(b []byte, step int) int {
	keep := 0
	for len(b)-keep >= 16 {
		r := b[keep:]
		n := binary.LittleEndian.Uint64(r)
		if binary.LittleEndian.Uint32(r[8:]) != maskedCRC(r[:8]) || n > uint64(len(r)-16) {
			break
		}
		data := r[12 : 12+n]
		if binary.LittleEndian.Uint32(r[12+n:]) != maskedCRC(data) {
			break
		}
		if s, ok := eventStep(data); !ok || s > int64(step) {
			break
		}
		keep += 16 + int(n)
	}
	return keep
}

// eventStep finds the step of an Event as written here (-1 for the version record); false for anything it cannot read.
func eventStep(b []byte) (int64, bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		var size uint64
		switch tag & 7 {
		case wireVarint:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, false
			}
			if tag>>3 == 2 {
				return int64(v), true
			}
			size = uint64(n)
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, false
			}
			b, size = b[n:], v
		default:
			return 0, false
		}
		if size > uint64(len(b)) {
			return 0, false
		}
		b = b[size:]
	}
	return -1, true // no step: the version record, which every cut keeps
}
