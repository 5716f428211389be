package faulty

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// schedule decides on the messages of one direction of a link and holds back
// those that have to wait. Whoever has it guards it with a mutex.
type schedule struct {
	faults Faults
	rng    *rand.Rand
	// trace reports what happens to a message.
	trace func(Kind, transport.Message, time.Duration, error)

	maxHeld int
	held    []heldMessage // in the order in which they leave
	flushed int           // how many of held may leave
	parted  bool          // nothing leaves
	lossy   bool          // while parted, messages are lost instead of held
}

// heldMessage is a message that waits.
type heldMessage struct {
	message transport.Message
	due     time.Time
	late    bool // leaves after the next message, or when due
}

// part begins or ends a partition, in which messages are held or lost.
func (s *schedule) part(parted, lossy bool) { s.parted, s.lossy = parted, lossy }

// admit decides on m. It returns how many copies of it go on at once, before
// anything that is held; if none do, m is held or has met its end. For want of
// room it returns ErrFull.
func (s *schedule) admit(now time.Time, m transport.Message) (copies int, err error) {
	drawn := s.faults.draw(s.rng)
	switch {
	case s.parted && s.lossy:
		s.trace(Lost, m, 0, nil)
		return 0, nil
	case drawn.drop:
		s.trace(Dropped, m, 0, nil)
		return 0, nil
	case len(s.held) >= s.maxHeld:
		s.trace(Refused, m, 0, transport.ErrFull)
		return 0, transport.ErrFull
	}
	copies = 1
	if drawn.duplicate {
		s.trace(Duplicated, m, 0, nil)
		copies = 2
	}
	overtakes := len(s.held) > 0 && s.held[len(s.held)-1].late
	if overtakes {
		drawn.reorder = false // one message at a time waits for the next
	}
	if drawn.delay > 0 {
		s.trace(Delayed, m, drawn.delay, nil)
	}
	if drawn.reorder {
		s.trace(Reordered, m, 0, nil)
	}
	if s.parted {
		s.trace(Held, m, 0, nil)
	}
	if len(s.held) == 0 && drawn.delay == 0 && !drawn.reorder && !s.parted {
		return copies, nil
	}
	for range copies {
		s.hold(heldMessage{message: m, due: now.Add(drawn.delay)})
	}
	if drawn.reorder {
		last := &s.held[len(s.held)-1]
		last.late = true
		last.due = last.due.Add(s.faults.MaxDelay)
	}
	return 0, nil
}

// hold lines h up behind the last message, or before it if that one is to be
// overtaken. Nothing leaves before what is ahead of it, even if it is due.
func (s *schedule) hold(h heldMessage) {
	at := len(s.held)
	if at > 0 && s.held[at-1].late {
		at--
	}
	s.held = slices.Insert(s.held, at, h)
	if at+1 < len(s.held) {
		overtaken := &s.held[at+1]
		overtaken.late, overtaken.due = false, h.due
	}
	s.flushed = min(s.flushed, at)
}

// ready reports whether the first message may leave now.
func (s *schedule) ready(now time.Time) bool {
	return s.flushed > 0 && !s.parted && !s.held[0].due.After(now)
}

// pop takes the first message out.
func (s *schedule) pop() transport.Message {
	m := s.held[0].message
	s.held[0] = heldMessage{}
	s.held = s.held[1:]
	s.flushed--
	return m
}

// wait returns how long it takes until ready will be true, if it will be
// without anything else happening.
func (s *schedule) wait(now time.Time) (time.Duration, bool) {
	if s.flushed == 0 || s.parted {
		return 0, false
	}
	return s.held[0].due.Sub(now), true
}

// discard drops the messages from an index on.
func (s *schedule) discard(from int) {
	s.held = slices.Delete(s.held, from, len(s.held))
	s.flushed = min(s.flushed, from)
}
