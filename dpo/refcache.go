package dpo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"

	"plumb/adapters"
	"plumb/internal/encode"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/ops"
)

// refCache keeps reference log-probabilities under the hash of what they are a function of: the
// reference's weights, the arithmetic, the tokens. It lives in a file of the stage; an entry that
// a killed process wrote in part is cut off. A lost entry is computed again, to the same bits.
type refCache struct {
	reference [32]byte
	values    map[cacheKey]float64
	file      *os.File
	fresh     bytes.Buffer
}

type cacheKey [16]byte

// entrySize is a key, a float64 and a CRC-32 of both.
const entrySize = 16 + 8 + 4

// referenceID identifies the log-probabilities that a frozen adapter gives over a base.
func referenceID(base *model.Bundle, a *adapters.Adapter) ([32]byte, error) {
	hash, err := base.Hash()
	if err != nil {
		return [32]byte{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %v %v %d\n", hash, base.Model.Compute, kernels.Active(), kernels.Version)
	if a != nil {
		for _, l := range a.Layers {
			fmt.Fprintf(h, "%s %v\n", l.Shape.Path, l.LoRA.Scale)
		}
		for _, p := range a.Params() {
			fmt.Fprintf(h, "%s %v\n", p.Name, p.Shape())
			binary.Write(h, binary.LittleEndian, ops.F32(p.Param))
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

func openRefCache(path string, reference [32]byte) (*refCache, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("reference cache: %w", err)
	}
	c := &refCache{reference: reference, values: map[cacheKey]float64{}, file: f}
	b, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reference cache: %w", err)
	}
	whole := 0
	for ; whole+entrySize <= len(b); whole += entrySize {
		e := b[whole : whole+entrySize]
		if crc32.ChecksumIEEE(e[:24]) != binary.LittleEndian.Uint32(e[24:]) {
			break
		}
		c.values[cacheKey(e[:16])] = math.Float64frombits(binary.LittleEndian.Uint64(e[16:]))
	}
	if whole < len(b) {
		err = f.Truncate(int64(whole))
	}
	if _, serr := f.Seek(int64(whole), io.SeekStart); err == nil {
		err = serr
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reference cache: %w", err)
	}
	return c, nil
}

// key is the identity of one completion's sum: tokens, where the completion starts and the weights of its tail.
func (c *refCache) key(prompt, completion []int32, shared int, alpha float64) cacheKey {
	h := sha256.New()
	h.Write(c.reference[:])
	fmt.Fprintf(h, "%d %d %v\n", len(prompt), shared, alpha)
	binary.Write(h, binary.LittleEndian, prompt)
	binary.Write(h, binary.LittleEndian, completion)
	return cacheKey(h.Sum(nil)[:16])
}

// keys returns the keys of both sides of a pair.
func (c *refCache) keys(p encode.Pair, alpha float64) (chosen, rejected cacheKey) {
	shared := 0
	if alpha != 1 {
		shared = min(len(p.Chosen), len(p.Rejected))
	}
	return c.key(p.Prompt, p.Chosen, shared, alpha), c.key(p.Prompt, p.Rejected, shared, alpha)
}

// refEntry is a sum that the cache does not have yet.
type refEntry struct {
	key   cacheKey
	value float64
}

func (c *refCache) add(entries []refEntry) {
	for _, e := range entries {
		c.put(e.key, e.value)
	}
}

func (c *refCache) put(k cacheKey, v float64) {
	if _, ok := c.values[k]; ok {
		return
	}
	c.values[k] = v
	e := append(make([]byte, 0, entrySize), k[:]...)
	e = binary.LittleEndian.AppendUint64(e, math.Float64bits(v))
	c.fresh.Write(binary.LittleEndian.AppendUint32(e, crc32.ChecksumIEEE(e)))
}

// flush writes new entries to the file.
func (c *refCache) flush() error {
	if c.fresh.Len() == 0 {
		return nil
	}
	if _, err := c.file.Write(c.fresh.Bytes()); err != nil {
		return fmt.Errorf("reference cache: %w", err)
	}
	c.fresh.Reset()
	return nil
}

func (c *refCache) close() error { return errors.Join(c.flush(), c.file.Close()) }
