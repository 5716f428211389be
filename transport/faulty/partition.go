package faulty

import (
	"errors"
	"slices"
)

// Any stands for every name.
const Any = "*"

// ErrCrashed is the reason given to a dialler that crashed.
var ErrCrashed = errors.New("faulty: crashed")

// end is one end of a link with the names that it goes by.
type end [2]string

func (e end) is(name string) bool { return name == Any || name == e[0] || name == e[1] }

// part is a partition: to doesn't hear from.
type part struct{ from, to string }

// Partition keeps a and b from hearing each other, and returns how to end that,
// which lets the messages that waited pass and may so run receivers. New links
// between them aren't made meanwhile. The end of a link isn't heard of on the
// other side of a partition either.
func (t *Transport) Partition(a, b string) (heal func()) {
	return t.part(&part{a, b}, &part{b, a})
}

// PartitionOneWay keeps to from hearing from, and returns how to end that. The
// other way round messages pass; new links aren't made.
func (t *Transport) PartitionOneWay(from, to string) (heal func()) {
	return t.part(&part{from, to})
}

// Heal ends all partitions.
func (t *Transport) Heal() {
	t.mu.Lock()
	parts := slices.Clone(t.parts)
	t.mu.Unlock()
	t.heal(parts)
}

// Crash makes every end called name vanish as in a power cut: the other ends see
// nothing of it, ever. Where it is the dialler that crashed, its Serve returns
// ErrCrashed and so does its Send. A listener that crashed isn't closed; it can
// be dialled anew.
func (t *Transport) Crash(name string) {
	for _, c := range t.crashing(name) {
		if c.dialler().is(name) {
			c.crash()
			continue
		}
		t.mu.Lock()
		c.severed = true
		t.apply(c)
		t.mu.Unlock()
	}
}

// Kill makes every end called name vanish as a killed process does: what was
// held back of its messages is lost, and the other ends see ErrPeerClosed, those
// behind a partition when it heals. A dialler that was killed sees ErrCrashed.
func (t *Transport) Kill(name string) {
	for _, c := range t.crashing(name) {
		if c.dialler().is(name) {
			c.vanish(ErrCrashed)
		} else {
			c.lose()
		}
	}
}

// crashing returns the links of the ends called name.
func (t *Transport) crashing(name string) []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	var links []*conn
	for _, c := range t.links {
		switch {
		case c.dialler().is(name):
			t.trace(Event{Kind: Crashed, From: c.label, To: c.addr})
		case c.listener().is(name):
			t.trace(Event{Kind: Crashed, From: c.addr, To: c.label})
		default:
			continue
		}
		links = append(links, c)
	}
	return links
}

// part begins partitions at the same time and returns what ends them.
func (t *Transport) part(parts ...*part) (heal func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, parts...)
	for _, p := range parts {
		t.trace(Event{Kind: Parted, From: p.from, To: p.to})
	}
	for _, c := range t.links {
		t.apply(c)
	}
	return func() { t.heal(parts) }
}

// heal ends those of the partitions that haven't ended yet, all at the same
// time.
func (t *Transport) heal(parts []*part) {
	t.mu.Lock()
	for _, p := range parts {
		if i := slices.Index(t.parts, p); i >= 0 {
			t.parts = slices.Delete(t.parts, i, i+1)
			t.trace(Event{Kind: Healed, From: p.from, To: p.to})
		}
	}
	for _, c := range t.links {
		t.apply(c)
	}
	close(t.healed)
	t.healed = make(chan struct{})
	links := slices.Clone(t.links)
	t.mu.Unlock()
	for _, c := range links {
		c.run()
	}
}

// parted reports whether a partition keeps to from hearing from. The caller
// holds mu.
func (t *Transport) parted(from, to end) bool {
	return slices.ContainsFunc(t.parts, func(p *part) bool { return from.is(p.from) && to.is(p.to) })
}

// apply tells a link of the partitions. The caller holds mu.
func (t *Transport) apply(c *conn) {
	lossy := c.severed || t.cfg.LosePartitioned
	c.up.part(c.severed || t.parted(c.dialler(), c.listener()), lossy)
	c.down.part(c.severed || t.parted(c.listener(), c.dialler()), lossy)
}
