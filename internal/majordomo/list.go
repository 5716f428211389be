package majordomo

// node is a place in one list, embedded in the value that it lists. A value has
// a node for each list that it can be in at the same time.
type node[T any] struct {
	prev, next *node[T]
	in         *list[T]
	of         *T
}

// list is a doubly linked list of nodes; every operation takes constant time.
// The zero value is an empty list.
type list[T any] struct {
	head, tail *node[T]
	n          int
}

func (l *list[T]) front() *T {
	if l.head == nil {
		return nil
	}
	return l.head.of
}

func (l *list[T]) pushBack(nd *node[T], of *T) {
	nd.of, nd.in, nd.prev, nd.next = of, l, l.tail, nil
	if l.tail == nil {
		l.head = nd
	} else {
		l.tail.next = nd
	}
	l.tail = nd
	l.n++
}

// insert puts nd before another node of the list, or at its end where that is nil.
func (l *list[T]) insert(nd *node[T], of *T, before *node[T]) {
	if before == nil {
		l.pushBack(nd, of)
		return
	}
	nd.of, nd.in, nd.prev, nd.next = of, l, before.prev, before
	if before.prev == nil {
		l.head = nd
	} else {
		before.prev.next = nd
	}
	before.prev = nd
	l.n++
}

// unlink takes the node out of the list it is in, if any.
func (nd *node[T]) unlink() {
	l := nd.in
	if l == nil {
		return
	}
	if nd.prev == nil {
		l.head = nd.next
	} else {
		nd.prev.next = nd.next
	}
	if nd.next == nil {
		l.tail = nd.prev
	} else {
		nd.next.prev = nd.prev
	}
	nd.prev, nd.next, nd.in = nil, nil, nil
	l.n--
}

func (nd *node[T]) linked() bool { return nd.in != nil }

// moveToBack makes nd the last of the list that it is in.
func (nd *node[T]) moveToBack() {
	l := nd.in
	if l.tail == nd {
		return
	}
	nd.unlink()
	l.pushBack(nd, nd.of)
}
