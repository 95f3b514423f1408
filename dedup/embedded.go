package dedup

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
)

// The embedded store is one file: a header line of JSON padded to headerSize, then blocks that are only ever appended. A
// block is its length and checksum (little-endian uint32), then its points: ID, length of the text, positions of split and set in
// the block's strings, those strings as JSON, and the vectors as f32 of length 1. A block that was being written when the
// process died fails its checksum and is cut off on opening. The last block may be the graph of HNSW instead; the next points
// take its place.
const (
	storeFormat   = "plumb vectors 1"
	headerSize    = 512
	blockPoints   = 1024              // points of a block in memory, the unit of a scan
	storeMemory   = 512 << 20         // bytes of vectors kept in memory; the rest is read from the file in every scan
	maxBlockBytes = 1 << 30           // of a block in the file, so that a hostile length cannot ask for more
	queryChunk    = 1024              // queries that share a reading of the file
	scanTile      = 64                // queries of one product
	pointBytes    = 8 + 4 + 2 + 2     // id, length, split, set
	maxPoints     = maxBlockBytes / 8 // of a block
	graphMark     = 1<<32 - 1         // in the place of a block's number of points: a graph
)

type storeHeader struct {
	Format string `json:"format"`
	Model  string `json:"model"`
	Dim    int    `json:"dim"`
}

// Embedded is the store inside the program: a flat scan, exact up to rounding, or an HNSW graph above it.
type Embedded struct {
	path   string
	file   *os.File
	head   storeHeader
	end    int64 // of the last whole block
	at     map[uint64]int32
	ids    []uint64
	length []int32
	split  []string
	set    []string
	held   [][]float32 // vectors of blockPoints points, nil where they stay in the file
	where  []int64     // file offset of each point's vector
	memory int64
	names  map[string]string

	graph       *hnsw
	approximate bool
	dirty       bool  // the graph has points that the file's does not
	graphAt     int64 // where the file's graph begins, the last block; 0: it has none
}

// OpenEmbedded opens or creates a store of vectors of length dim made by model. A store of another dimension or
// model is a *MismatchError, a file that is no store an error; a torn end is repaired.
func OpenEmbedded(path, model string, dim int) (*Embedded, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	s := &Embedded{path: path, file: f, at: map[uint64]int32{}, memory: storeMemory, names: map[string]string{}}
	if err := s.load(storeHeader{storeFormat, model, dim}); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *Embedded) load(want storeHeader) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		head, err := json.Marshal(want)
		if err != nil {
			return err
		}
		if len(head) >= headerSize {
			return fmt.Errorf("%s: the model's name is too long for a store: %q", s.path, want.Model)
		}
		head = append(head, bytes.Repeat([]byte{' '}, headerSize-1-len(head))...)
		if _, err := s.file.WriteAt(append(head, '\n'), 0); err != nil {
			return err
		}
		s.head, s.end = want, headerSize
		return s.file.Sync()
	}
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(io.NewSectionReader(s.file, 0, headerSize), head); err != nil {
		return fmt.Errorf("%s: not a vector store: %d bytes, expected a header of %d", s.path, info.Size(), headerSize)
	}
	if err := json.Unmarshal(head, &s.head); err != nil || s.head.Format != storeFormat {
		return fmt.Errorf("%s: not a vector store: expected a file that begins with {\"format\":%q", s.path, storeFormat)
	}
	if s.head.Dim != want.Dim {
		return &MismatchError{s.path, "dimension", s.head.Dim, want.Dim}
	}
	if s.head.Model != want.Model {
		return &MismatchError{s.path, "model", s.head.Model, want.Model}
	}
	s.end = headerSize
	for s.end < info.Size() {
		n, err := s.readBlock(info.Size())
		if errors.Is(err, errTorn) {
			return s.file.Truncate(s.end)
		}
		if err != nil {
			return err
		}
		s.end += n
	}
	return nil
}

var errTorn = errors.New("torn block")

// readBlock reads the block at s.end; errTorn means that it is not whole and nothing follows it that could be.
func (s *Embedded) readBlock(size int64) (int64, error) {
	var prefix [8]byte
	if _, err := s.file.ReadAt(prefix[:], s.end); err != nil {
		return 0, errTorn
	}
	n := int64(binary.LittleEndian.Uint32(prefix[:]))
	if n > maxBlockBytes || s.end+8+n > size {
		return 0, errTorn
	}
	body := make([]byte, n)
	if _, err := s.file.ReadAt(body, s.end+8); err != nil {
		return 0, fmt.Errorf("%s: %w", s.path, err)
	}
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(prefix[4:]) {
		if s.end+8+n == size {
			return 0, errTorn
		}
		return 0, fmt.Errorf("%s: block at byte %d is damaged (checksum) and others follow it: restore the file or delete it", s.path, s.end)
	}
	if err := s.parseBlock(body, s.end+8); err != nil {
		return 0, fmt.Errorf("%s: block at byte %d: %w", s.path, s.end, err)
	}
	return 8 + n, nil
}

func (s *Embedded) parseBlock(body []byte, offset int64) error {
	if len(body) < 8 {
		return errors.New("too short")
	}
	if binary.LittleEndian.Uint32(body) == graphMark {
		g, err := decodeGraph(body[8:], s.head.Dim, len(s.ids))
		if err != nil {
			return err
		}
		s.graph, s.graphAt = g, offset-8
		return nil
	}
	if s.graphAt > 0 {
		return errors.New("points behind a graph")
	}
	count, textLen := int(binary.LittleEndian.Uint32(body)), int(binary.LittleEndian.Uint32(body[4:]))
	if count > maxPoints || textLen > len(body) || len(body) != 8+textLen+count*(pointBytes+4*s.head.Dim) {
		return fmt.Errorf("%d bytes do not hold %d points", len(body), count)
	}
	var strs []string
	if err := json.Unmarshal(body[8:8+textLen], &strs); err != nil {
		return err
	}
	meta := body[8+textLen:]
	vectors := meta[count*pointBytes:]
	for i := range count {
		m := meta[i*pointBytes:]
		split, set := int(binary.LittleEndian.Uint16(m[12:])), int(binary.LittleEndian.Uint16(m[14:]))
		if split >= len(strs) || set >= len(strs) {
			return errors.New("a point names a string that is not there")
		}
		raw := vectors[i*4*s.head.Dim : (i+1)*4*s.head.Dim]
		s.attach(Point{ID: binary.LittleEndian.Uint64(m), Length: int(binary.LittleEndian.Uint32(m[8:])), Split: strs[split], Set: strs[set]},
			raw, offset+int64(8+textLen+count*pointBytes+i*4*s.head.Dim))
	}
	return nil
}

func (s *Embedded) intern(x string) string {
	if y, ok := s.names[x]; ok {
		return y
	}
	s.names[x] = x
	return x
}

// attach makes a stored point findable.
func (s *Embedded) attach(p Point, raw []byte, where int64) {
	i, known := s.at[p.ID]
	if !known {
		i = int32(len(s.ids))
		s.at[p.ID] = i
		s.ids = append(s.ids, p.ID)
		s.length = append(s.length, 0)
		s.split = append(s.split, "")
		s.set = append(s.set, "")
		s.where = append(s.where, 0)
		if int(i)%blockPoints == 0 {
			var v []float32
			if bytes := int64(blockPoints * 4 * s.head.Dim); s.memory >= bytes {
				s.memory -= bytes
				v = make([]float32, blockPoints*s.head.Dim)
			}
			s.held = append(s.held, v)
		}
	}
	s.length[i], s.split[i], s.set[i], s.where[i] = int32(p.Length), s.intern(p.Split), s.intern(p.Set), where
	if block := s.held[int(i)/blockPoints]; block != nil {
		decodeVector(block[int(i)%blockPoints*s.head.Dim:int(i)%blockPoints*s.head.Dim:(int(i)%blockPoints+1)*s.head.Dim], raw)
	}
	if known && s.graph != nil && int(i) < len(s.graph.codes.scale) { // replaced: the graph finds it by its old links and its new vector
		c := s.graph.codes
		c.scale[i] = encode8(c.row(i), decodeVector(nil, raw))
	}
}

// Name is the file's path.
func (s *Embedded) Name() string { return s.path }

// Count is the number of distinct points.
func (s *Embedded) Count(context.Context) (int, error) { return len(s.ids), nil }

// Vectors returns copies of the stored vectors.
func (s *Embedded) Vectors(_ context.Context, ids []uint64) ([][]float32, error) {
	out := make([][]float32, len(ids))
	raw := make([]byte, 4*s.head.Dim)
	for k, id := range ids {
		i, ok := s.at[id]
		if !ok {
			continue
		}
		if block := s.held[int(i)/blockPoints]; block != nil {
			out[k] = slices.Clone(block[int(i)%blockPoints*s.head.Dim : (int(i)%blockPoints+1)*s.head.Dim])
			continue
		}
		if _, err := s.file.ReadAt(raw, s.where[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		out[k] = decodeVector(nil, raw)
	}
	return out, nil
}

// Upsert appends one block and waits until it is on disk.
func (s *Embedded) Upsert(ctx context.Context, points []Point) error {
	const most = 8192 // keeps a block far from maxBlockBytes at any dimension
	for len(points) > most {
		if err := s.Upsert(ctx, points[:most]); err != nil {
			return err
		}
		points = points[most:]
	}
	if len(points) == 0 {
		return ctx.Err()
	}
	strs, index := []string{}, map[string]int{}
	number := func(x string) uint16 {
		if _, ok := index[x]; !ok {
			index[x] = len(strs)
			strs = append(strs, x)
		}
		return uint16(index[x])
	}
	var meta, vectors []byte
	v := make([]float32, s.head.Dim)
	for i, p := range points {
		if len(p.Vector) != s.head.Dim {
			return &MismatchError{s.path, "dimension", s.head.Dim, len(p.Vector)}
		}
		meta = binary.LittleEndian.AppendUint64(meta, p.ID)
		meta = binary.LittleEndian.AppendUint32(meta, uint32(min(p.Length, math.MaxInt32)))
		meta = binary.LittleEndian.AppendUint16(meta, number(p.Split))
		meta = binary.LittleEndian.AppendUint16(meta, number(p.Set))
		copy(v, p.Vector)
		unit(v)
		for _, x := range v {
			if x != x || math.IsInf(float64(x), 0) {
				return fmt.Errorf("%s: point %d of the batch has a vector with %v in it", s.path, i, x)
			}
		}
		vectors = encodeVector(vectors, v)
		if len(strs) > math.MaxUint16 {
			return fmt.Errorf("%s: more than %d distinct splits and sets in one batch", s.path, math.MaxUint16)
		}
	}
	text, err := json.Marshal(strs)
	if err != nil {
		return err
	}
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(points)))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(text)))
	body = append(append(append(body, text...), meta...), vectors...)
	if s.graphAt > 0 {
		if err := s.file.Truncate(s.graphAt); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		s.end, s.graphAt, s.dirty = s.graphAt, 0, true
	}
	at := s.end
	if err := s.appendBlock(body); err != nil {
		return err
	}
	if err := s.parseBlock(body, at+8); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *Embedded) appendBlock(body []byte) error {
	block := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	block = binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(body))
	if _, err := s.file.WriteAt(append(block, body...), s.end); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.end += 8 + int64(len(body))
	return nil
}

// Close stores the graph behind the points and closes the file.
func (s *Embedded) Close() error {
	var err error
	if s.dirty && s.graph != nil && len(s.graph.levels) > 0 {
		body := binary.LittleEndian.AppendUint32(nil, graphMark)
		if body = append(append(body, 0, 0, 0, 0), s.graph.encode()...); len(body) <= maxBlockBytes {
			if s.graphAt > 0 {
				err = s.file.Truncate(s.graphAt)
				s.end = s.graphAt
			}
			err = errors.Join(err, s.appendBlock(body))
		}
	}
	return errors.Join(err, s.file.Close())
}
