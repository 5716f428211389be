package majordomo

import (
	"slices"
	"time"
)

// Which broker a call goes to: the better of two that are drawn at random (the power
// of two choices). Better is less of what is out there times how long replies take,
// so that a call goes where it will be through first, and that no two clients which
// know the same choose the same.
const (
	// latencyShift says which part of a link's latency a new reply makes: an eighth,
	// so that it follows a change within some ten replies.
	latencyShift = 3
	// latencyHalf is how long a link has to be unused for half of its latency to be
	// forgotten, so that a broker that was slow gets another chance: one call at a
	// time, since what isn't forgotten counts again as soon as one is out.
	latencyHalf = time.Second
	// latencyRefused is what a refusal counts as: a broker that has no worker or no
	// room says so fast, and must not draw the calls for it.
	latencyRefused = time.Second
	// latencyMost is what the longest replies count as.
	latencyMost = time.Minute
)

// measure takes how long a reply took.
func (l *clientLink) measure(took, now time.Duration) {
	took = min(max(took, 1), latencyMost)
	if l.latency == 0 {
		l.latency = took
	}
	l.latency += (took - l.latency) >> latencyShift
	l.rested = now
}

// replied takes that the first word on a request came, which was worth took.
func (l *clientLink) replied(leg *callLeg, took, now time.Duration) {
	if !leg.timed {
		leg.timed = true
		l.measure(took, now)
	}
}

// gaveUp takes that nobody waits for a request any more: the reply would have taken
// longer still.
func (l *clientLink) gaveUp(leg *callLeg, now time.Duration) {
	if took := now - leg.at; took > l.latency {
		l.replied(leg, took, now)
	}
}

// expectOf gives l, which begins to serve, a latency until it has one: that of the
// best of the others, so that calls neither shun it nor all go there at once.
func (s *ClientSession) expectOf(l *clientLink) {
	l.rested = s.now
	for i, other := range s.serving {
		if i == 0 || other.latency < l.latency {
			l.latency = other.latency
		}
	}
}

// remembered is how much of its latency l isn't forgiven yet.
func (l *clientLink) remembered(now time.Duration) time.Duration {
	if l.out.n > 0 {
		return l.latency
	}
	return l.latency >> min(uint64((now-l.rested)/latencyHalf), 63)
}

// choose returns where c is sent, nil where nobody can take it. If it can be helped,
// that is none of those that have refused it.
func (s *ClientSession) choose(c *Call) *clientLink {
	switch {
	case len(s.serving) == 0:
		return nil
	case s.cfg.Opaque:
		return s.free()
	case len(s.serving) == 1:
		return s.serving[0]
	case len(c.progress.refusers) > 0:
		if l := s.other(c.progress.refusers); l != nil {
			return l
		}
	}
	return s.better(s.serving)
}

// better draws two of some links and returns the better one.
func (s *ClientSession) better(links []*clientLink) *clientLink {
	n := uint64(len(links))
	if n == 1 {
		return links[0]
	}
	drawn := s.cfg.Random()
	i := drawn % n
	j := (drawn >> 32) % (n - 1)
	if j >= i {
		j++
	}
	a, b := links[i], links[j]
	// What was forgiven isn't less than what the other one has: slow brokers get
	// another chance, and not more than one.
	least := max(min(a.latency, b.latency), 1)
	ofA, ofB := max(a.remembered(s.now), least), max(b.remembered(s.now), least)
	if time.Duration(b.out.n+1)*ofB < time.Duration(a.out.n+1)*ofA {
		a, ofA = b, ofB
	}
	a.latency = min(a.latency, ofA)
	return a
}

// other chooses among those that serve and aren't in not; nil where there is none.
func (s *ClientSession) other(not []*clientLink) *clientLink {
	var rest []*clientLink
	for _, l := range s.serving {
		if !slices.Contains(not, l) {
			rest = append(rest, l)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return s.better(rest)
}

// free chooses among connections that are used for one request at a time.
func (s *ClientSession) free() *clientLink {
	var idle []*clientLink
	for _, l := range s.serving {
		if l.out.n == 0 {
			idle = append(idle, l)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return s.better(idle)
}

// servingAs returns the connection that serves to that run of a broker, or nil.
func (s *ClientSession) servingAs(identity brokerIdentity) *clientLink {
	for _, l := range s.serving {
		if l.identity == identity {
			return l
		}
	}
	return nil
}

// knowing returns a connection that serves to a broker of mesh, or nil.
func (s *ClientSession) knowing() *clientLink {
	for _, l := range s.serving {
		if !l.plain {
			return l
		}
	}
	return nil
}
