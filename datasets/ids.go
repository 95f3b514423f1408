package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
)

// idSet remembers the ids that files gave, by 128 bits of their SHA-256: 40 bytes an id whatever its length. Ids that we made of file
// and row are known by the highest row of each file.
type idSet struct {
	seen  map[[16]byte]idPlace
	files []string
	made  map[string]int64
	keep  bool   // gather new entries in fresh, for a checkpoint
	fresh []byte // idEntry bytes each
	count int64
	next  map[[16]byte]int // the first number that rename has not tried for an id
}

// idEntry is the size of an entry in a checkpoint: hash, number of the file, row.
const idEntry = 16 + 4 + 8

type idPlace struct {
	file int32
	row  int64
}

type idFirst struct {
	file string
	row  int64
}

func newIDSet() *idSet {
	return &idSet{seen: map[[16]byte]idPlace{}, made: map[string]int64{}, next: map[[16]byte]int{}}
}

func idKey(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// has tells where an id was added.
func (s *idSet) has(id string) (idPlace, bool) {
	p, ok := s.seen[idKey(id)]
	return p, ok
}

// take adds an id, given or made, and tells where it was seen before.
func (s *idSet) take(id, file string, n int64, given bool) (first idFirst, seen bool) {
	if given {
		if first, seen = s.madeBefore(id); seen {
			return first, true
		}
		return s.add(id, file, n)
	}
	if len(s.seen) > 0 {
		if p, ok := s.has(id); ok {
			return idFirst{s.files[p.file], p.row}, true
		}
	}
	s.made[file] = max(s.made[file], n)
	return idFirst{}, false
}

// rename adds an id that was seen before under the first free of its names ~2, ~3, ... Ids are never taken back, so that those it has
// tried stay taken; a resumed run finds this out again.
func (s *idSet) rename(id, file string, n int64) string {
	key := idKey(id)
	for k := max(2, s.next[key]); ; k++ {
		name := id + "~" + strconv.Itoa(k)
		if _, seen := s.take(name, file, n, true); !seen {
			s.next[key] = k + 1
			return name
		}
	}
}

// madeBefore tells whether an id is one that an earlier row got for want of its own: file:row, perhaps with #k.
func (s *idSet) madeBefore(id string) (idFirst, bool) {
	if len(s.made) == 0 {
		return idFirst{}, false
	}
	base, _, _ := strings.Cut(id, "#")
	i := strings.LastIndexByte(base, ':')
	if i < 0 {
		return idFirst{}, false
	}
	last, ok := s.made[base[:i]]
	n, err := strconv.ParseInt(base[i+1:], 10, 64)
	if !ok || err != nil || n < 1 || n > last {
		return idFirst{}, false
	}
	return idFirst{base[:i], n}, true
}

func (s *idSet) add(id, file string, n int64) (first idFirst, seen bool) {
	key := idKey(id)
	if p, ok := s.seen[key]; ok {
		return idFirst{s.files[p.file], p.row}, true
	}
	if len(s.files) == 0 || s.files[len(s.files)-1] != file {
		s.files = append(s.files, file)
	}
	p := idPlace{int32(len(s.files) - 1), n}
	s.seen[key] = p
	s.count++
	if s.keep {
		s.fresh = append(s.fresh, key[:]...)
		s.fresh = binary.LittleEndian.AppendUint32(s.fresh, uint32(p.file))
		s.fresh = binary.LittleEndian.AppendUint64(s.fresh, uint64(p.row))
	}
	return idFirst{}, false
}

// restore takes an entry back from a checkpoint.
func (s *idSet) restore(entry []byte) {
	s.seen[[16]byte(entry[:16])] = idPlace{int32(binary.LittleEndian.Uint32(entry[16:])), int64(binary.LittleEndian.Uint64(entry[20:]))}
	s.count++
}
