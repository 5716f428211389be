package contract

import (
	"bytes"
	"hash/maphash"
)

// nameSets finds names that stand twice in one object. Objects nest, so their sets
// lie on stacks, the innermost on top, and only that one grows.
type nameSets struct {
	names []seenName
	// table holds, for each set of many names, an open-addressed hash table: one
	// more than the index of a name from its set's base, or 0.
	table []uint32
	copy  []byte // names whose text isn't in the document as it is
	most  int    // names that were in use at most, which must be forgotten
}

type seenName struct {
	text []byte
	hash uint64
}

// nameSet is the set of one open object.
type nameSet struct {
	base    int // of its names
	slots   int // of its table, a power of two, or 0
	tableAt int
	copyAt  int
}

// smallSet is up to how many names comparing with each is quicker than hashing.
const smallSet = 8

var nameSeed = maphash.MakeSeed()

func (s *nameSets) open() nameSet {
	return nameSet{base: len(s.names), tableAt: len(s.table), copyAt: len(s.copy)}
}

func (s *nameSets) close(set nameSet) {
	s.most = max(s.most, len(s.names))
	s.names = s.names[:set.base]
	s.table = s.table[:set.tableAt]
	s.copy = s.copy[:set.copyAt]
}

// release forgets the documents that names point into, and what a large one
// needed.
func (s *nameSets) release() {
	const large = 4096
	s.most = max(s.most, len(s.names))
	if s.most > large {
		*s = nameSets{}
		return
	}
	clear(s.names[:s.most])
	s.names, s.table, s.copy, s.most = s.names[:0], s.table[:0], s.copy[:0], 0
}

// add puts name into the set, and reports whether it is new. passing says that
// the text isn't there to stay.
func (s *nameSets) add(set *nameSet, name []byte, passing bool) bool {
	entry := seenName{text: name}
	n := len(s.names) - set.base
	if n < smallSet {
		for _, e := range s.names[set.base:] {
			if bytes.Equal(e.text, name) {
				return false
			}
		}
	} else {
		if 2*n >= set.slots {
			s.grow(set, n)
		}
		entry.hash = maphash.Bytes(nameSeed, name)
		if !s.insert(set, entry, n) {
			return false
		}
	}
	if passing {
		at := len(s.copy)
		s.copy = append(s.copy, name...)
		entry.text = s.copy[at:]
	}
	s.names = append(s.names, entry)
	return true
}

// insert puts the name that is to be the nth into the table, or reports that it is
// there.
func (s *nameSets) insert(set *nameSet, entry seenName, n int) bool {
	table := s.table[set.tableAt:][:set.slots]
	mask := uint64(set.slots - 1)
	for i := entry.hash & mask; ; i = (i + 1) & mask {
		at := table[i]
		if at == 0 {
			table[i] = uint32(n + 1)
			return true
		}
		if e := s.names[set.base+int(at)-1]; e.hash == entry.hash && bytes.Equal(e.text, entry.text) {
			return false
		}
	}
}

// grow makes room for twice as many names as the n that there are.
func (s *nameSets) grow(set *nameSet, n int) {
	slots := max(4*smallSet, 2*set.slots)
	s.table = s.table[:set.tableAt]
	for range slots {
		s.table = append(s.table, 0)
	}
	first := set.slots == 0
	set.slots = slots
	for i := range n {
		e := &s.names[set.base+i]
		if first {
			e.hash = maphash.Bytes(nameSeed, e.text)
		}
		s.insert(set, *e, i)
	}
}
