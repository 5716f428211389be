package majordomo

// rollBlock is how many members stand side by side in a block.
const rollBlock = 28

// roll is a list in the order of arrival for very many members, whose neighbours
// are mostly out of the processor's caches. Unlike a list it touches none of them
// when one joins or leaves: members stand in blocks, and where one left there is a
// gap. The zero value is an empty roll. Every operation takes constant time.
type roll[T any] struct {
	head, tail *block[T]
	n          int
	free       *block[T]  // one, so that a member who comes and goes needs no new one
	spares     *spares[T] // in its place, where many rolls share theirs
}

// spares are empty blocks of rolls of which most are empty at a time.
type spares[T any] struct {
	first *block[T]
	n     int
}

// maxSpares is how many blocks are kept.
const maxSpares = 8

func (s *spares[T]) take() *block[T] {
	b := s.first
	if b != nil {
		s.first, b.next = b.next, nil
		s.n--
	}
	return b
}

func (s *spares[T]) put(b *block[T]) {
	if s.n < maxSpares {
		s.first, b.next = b, s.first
		s.n++
	}
}

type block[T any] struct {
	prev, next *block[T]
	in         *roll[T]
	first      int16 // no member stands before
	end        int16 // none has stood from here on
	live       int16
	members    [rollBlock]*T
}

// place is where a member stands in a roll, embedded in it.
type place[T any] struct {
	block *block[T]
	at    int16
}

func (p *place[T]) linked() bool { return p.block != nil }

// front returns the member that came first, or nil.
func (l *roll[T]) front() *T {
	if l.head == nil {
		return nil
	}
	return l.head.front()
}

// front returns the first of the block's members, of which there is one at least.
func (b *block[T]) front() *T {
	for b.members[b.first] == nil {
		b.first++
	}
	return b.members[b.first]
}

// each visits the members in their order, until visit reports false. They must
// not join or leave meanwhile.
func (l *roll[T]) each(visit func(*T) bool) {
	for b := l.head; b != nil; b = b.next {
		for _, m := range b.members[b.first:b.end] {
			if m != nil && !visit(m) {
				return
			}
		}
	}
}

// lastUntil returns the last member that isn't beyond something, or nil where all
// are. Members must stand in the order of what beyond asks for, as it looks at one
// of each block only, and then at those of one block.
func (l *roll[T]) lastUntil(beyond func(*T) bool) (found *T) {
	var at *block[T]
	for b := l.head; b != nil && !beyond(b.front()); b = b.next {
		at = b
	}
	if at == nil {
		return nil
	}
	for _, m := range at.members[at.first:at.end] {
		if m != nil && !beyond(m) {
			found = m
		}
	}
	return found
}

func (l *roll[T]) pushBack(p *place[T], of *T) {
	b := l.tail
	if b == nil || b.end == rollBlock {
		b = l.grow()
	}
	b.members[b.end] = of
	p.block, p.at = b, b.end
	b.end++
	b.live++
	l.n++
}

func (l *roll[T]) grow() *block[T] {
	b := l.free
	l.free = nil
	if l.spares != nil {
		b = l.spares.take()
	}
	if b == nil {
		b = &block[T]{}
	}
	b.in, b.prev = l, l.tail
	if l.tail == nil {
		l.head = b
	} else {
		l.tail.next = b
	}
	l.tail = b
	return b
}

// unlink takes the member out of the roll that it is in, if any.
func (p *place[T]) unlink() {
	b := p.block
	if b == nil {
		return
	}
	b.members[p.at] = nil
	p.block = nil
	b.live--
	b.in.n--
	if b.live == 0 {
		b.in.drop(b)
	}
}

// drop takes an empty block out.
func (l *roll[T]) drop(b *block[T]) {
	if b.prev == nil {
		l.head = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		l.tail = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.prev, b.next, b.first, b.end = nil, nil, 0, 0
	if l.spares != nil {
		l.spares.put(b)
	} else {
		l.free = b
	}
}
