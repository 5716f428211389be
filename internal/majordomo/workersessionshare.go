package majordomo

import (
	"cmp"
	"slices"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// workerShare is a link's part of the worker's capacity: how many requests at once its
// broker may hand over.
type workerShare struct {
	size    int  // what the broker was last told
	before  int  // what it may go by, too, until it has answered
	want    int  // what it is to be
	peak    int  // the most that ran at once since the look began
	full    bool // as many run as may
	ebbs    bool // the broker drains, and takes no larger one
	drained bool // an operator drained the worker at this broker: it is to be none
	fixed   bool // the broker refused another one

	held   bool   // the broker holds back until a FINAL or a registration
	heldAt uint64 // which in turn it is
	kept   bool   // a slot of the worker is kept for what it holds back

	shifted bool // since the connection was made
	grew    bool // the last time
	changed time.Duration
	pause   time.Duration // how long it stays as it is then
}

// allowed is how many requests at once the broker may hand over.
func (h *workerShare) allowed() int { return max(h.size, h.before) }

// division is what a session knows of its shares together.
//
// With at least as many slots as brokers the shares, with what runs beyond them, are
// never more than the worker's capacity: one is lowered, and only when the broker has
// answered, and what it had too many has ended, another is raised. Each broker has at
// least one slot. At first all get the same. When a broker fills its share, the use of
// all is watched for a while: then those that filled theirs get the same, of what is
// free and of half of what the others left unused. So what is idle moves to where the
// work is within a few such looks, and a broker whose work comes back gets as much as
// any other.
//
// With fewer slots than brokers each share is one at first, and those that fill theirs
// are given what the capacity is beside that: the idle must not keep the busy from the
// few slots that there are. What exceeds the capacity is answered "not started", and the
// brokers that hold back because of it are asked in turn when a slot is free, which is
// kept for them until they have answered.
type division struct {
	unsettled bool // something has changed that the shares depend on
	over      bool // fewer slots than brokers
	full      int  // links whose share is full
	held      int  // links whose broker holds back
	turns     uint64
	kept      int // slots

	looking  bool
	lookEnds time.Duration
	deferred bool // a share may be changed only then
	until    time.Duration

	parts   []sharePart
	demands []int
}

// sharePart is a link in a division: what it would take.
type sharePart struct {
	link   *workerLink
	demand int
}

// alarm returns when the shares have to be looked at.
func (d *division) alarm() (at time.Duration, ok bool) {
	switch {
	case d.looking && d.deferred:
		return min(d.lookEnds, d.until), true
	case d.looking:
		return d.lookEnds, true
	}
	return d.until, d.deferred
}

// clear takes the share away.
func (h *workerShare) clear(d *division) {
	if h.full {
		d.full--
	}
	*h = workerShare{}
}

// holds is how much of the capacity is the broker's: what it may hand over, or what
// runs, if that is more. A broker at which the worker is drained hands over nothing,
// whatever it was told.
func (l *workerLink) holds() int {
	if l.share.drained {
		return l.jobs.n
	}
	return max(l.share.allowed(), l.jobs.n)
}

// resize notes that the broker is about to be told of another share.
func (l *workerLink) resize(to int) {
	l.share.before = l.share.allowed()
	l.share.size = to
	l.tally()
}

// answered notes that the broker goes by what it was last told.
func (l *workerLink) answered() {
	l.asking = false
	l.share.before = 0
	l.unkeep()
	l.tally()
	l.session.shares.unsettled = true
}

// divides says whether the broker can be given another share.
func (l *workerLink) divides() bool {
	return l.state == workerServing && !l.plain && !l.share.fixed && !l.share.drained
}

// noteDrain notes whether an operator drained the worker at this broker: then it hands
// over nothing as long as the connection lasts, and its share is of use to others.
func (l *workerLink) noteDrain(so bool) {
	if so == l.share.drained {
		return
	}
	l.share.drained, l.share.want = so, 0
	l.session.shares.unsettled = true
	l.tally()
	if so {
		l.note("an operator drained the worker at this broker; the others get its share", nil)
	}
}

// tally notes whether the share is full.
func (l *workerLink) tally() {
	full := l.divides() && l.jobs.n >= l.share.size
	if full == l.share.full {
		return
	}
	l.share.full = full
	if d := &l.session.shares; full {
		d.full++
		l.session.look()
	} else {
		d.full--
	}
}

// began notes that one request more runs.
func (l *workerLink) began() {
	l.unkeep()
	l.share.peak = max(l.share.peak, l.jobs.n)
	l.tally()
}

// ended notes that one request fewer runs.
func (l *workerLink) ended() {
	s := l.session
	l.tally()
	switch {
	case l.jobs.n >= l.holds() || s.shares.held > 0:
		s.shares.unsettled = true
	case s.shares.full > 0 && l.share.size-l.jobs.n > 1:
		s.look()
	}
	if l.state == workerLastJobs {
		l.checkLeft()
	}
}

// hasRoom says whether the worker can take one request more of this broker.
func (l *workerLink) hasRoom() bool {
	kept := l.session.shares.kept
	if l.share.kept {
		kept--
	}
	return l.session.running+kept < l.session.cfg.Registration.Capacity
}

// hold notes that the broker holds back.
func (l *workerLink) hold() {
	if d := &l.session.shares; !l.share.held {
		d.held++
		d.turns++
		l.share.held, l.share.heldAt = true, d.turns
	}
}

// unhold notes that the broker holds back no more.
func (l *workerLink) unhold() {
	if l.share.held {
		l.share.held = false
		l.session.shares.held--
	}
}

// unkeep gives back the slot that is kept for the broker.
func (l *workerLink) unkeep() {
	if l.share.kept {
		l.share.kept = false
		l.session.shares.kept--
	}
}

// room is how many slots there are to be divided, or were: what runs without a
// connection takes its own.
func (s *WorkerSession) room() int { return s.cfg.Registration.Capacity - s.orphans }

// spare is how much of the room is nobody's. It is negative where there are fewer slots
// than brokers.
func (s *WorkerSession) spare() int {
	spare := s.room()
	for _, l := range s.links {
		spare -= l.holds()
	}
	return spare
}

// look begins to watch how the shares are used, if there is anything to be shifted.
func (s *WorkerSession) look() {
	d := &s.shares
	if d.looking || d.full == 0 || s.draining || !s.uneven() {
		return
	}
	d.looking, d.lookEnds = true, s.now+s.cfg.ShiftMin
	s.stale = true
	for _, l := range s.links {
		l.share.peak = l.jobs.n
	}
}

// uneven says whether a share that is full could be raised: something is free, or
// idle, or another share is larger.
func (s *WorkerSession) uneven() bool {
	switch {
	case len(s.links) == 1:
		return false // it has all, or is about to
	case s.shares.over && s.running+s.shares.kept < s.cfg.Registration.Capacity:
		return true
	}
	poorest := s.cfg.Registration.Capacity
	for _, l := range s.links {
		if l.share.full {
			poorest = min(poorest, l.share.size)
		}
	}
	spare := s.room()
	for _, l := range s.links {
		spare -= l.holds()
		if l.divides() && (l.share.size-l.jobs.n > 1 || l.share.size > poorest+1) {
			return true
		}
	}
	return spare > 0
}

// sharesFired is the alarm of the shares.
func (s *WorkerSession) sharesFired() {
	d := &s.shares
	if d.looking && s.now >= d.lookEnds {
		d.looking = false
		if slices.ContainsFunc(s.links, (*workerLink).hungry) {
			s.plan(true)
		}
	}
	d.unsettled = true
}

// hungry says whether the broker has filled its share since the look began, and may
// have a larger one.
func (l *workerLink) hungry() bool {
	return l.divides() && !l.share.ebbs && l.share.peak >= l.share.size
}

// keeps is what is left of a share of which another broker has need: what was used,
// and half of what wasn't.
func (h *workerShare) keeps() int { return max(1, h.peak+(h.size-h.peak+1)/2) }

// plan decides how large each share is to be, with regard to how they were used, or
// else with as few changes as will do.
func (s *WorkerSession) plan(used bool) {
	d := &s.shares
	d.parts, d.demands = d.parts[:0], d.demands[:0]
	room, coming, known := s.room(), 0, 0
	for _, l := range s.links {
		if l.state != workerParked && l.twin == nil && !l.share.drained {
			known++
		}
		switch {
		case l.state == workerDialing && l.redial.failures == 0 && l.twin == nil && s.cfg.Speak == SpeakMesh:
			coming++ // what it needs needn't be given first to others that come
		case l.plain || l.share.fixed || l.share.drained || l.state < workerConnected || l.state > workerServing:
			room -= l.holds()
		default:
			d.parts = append(d.parts, sharePart{link: l})
		}
	}
	n := len(d.parts)
	if n == 0 {
		return
	}
	most := max(room, 1)
	if d.over = room < n; d.over {
		room = n + max(room, 0)
	}
	if room < n+coming || d.over {
		coming = 0
	}
	fair := (room + n + coming - 1) / (n + coming)
	if d.over {
		fair = 1
	}
	for i := range d.parts {
		part := &d.parts[i]
		switch l := part.link; {
		case known == 1:
			part.demand = most
		case l.state == workerConnected:
			part.demand = fair
		case used && l.hungry():
			part.demand = most
		case used && l.state == workerServing:
			part.demand = l.share.keeps()
		default:
			part.demand = max(l.share.want, 1)
		}
		d.demands = append(d.demands, part.demand)
	}
	limit, rest := level(room, d.demands)
	if d.over {
		rest = 0 // nobody has more than others that could use it
	}
	slices.SortStableFunc(d.parts, func(a, b sharePart) int { return cmp.Compare(b.link.share.size, a.link.share.size) })
	for _, part := range d.parts {
		want := min(part.demand, limit)
		if part.demand > limit && rest > 0 {
			want, rest = want+1, rest-1
		}
		part.link.share.want = want
	}
}

// level returns the level up to which demands can be met of so much room, each by the
// same measure, and how many of those that are above it can have one more. It sorts
// the demands.
func level(room int, demands []int) (limit, rest int) {
	slices.Sort(demands)
	for i, demand := range demands {
		if left := len(demands) - i; demand > room/left {
			return room / left, room % left
		}
		room -= demand
	}
	return demands[len(demands)-1], 0
}

// balance brings the shares closer to what they are to be.
func (s *WorkerSession) balance() {
	d := &s.shares
	if !d.unsettled {
		return
	}
	d.unsettled, d.deferred = false, false
	s.stale = true
	if s.draining || !s.started {
		return
	}
	s.plan(false)
	s.lower()
	s.admit()
	s.raise()
	s.release()
	s.look()
}

// later has the shares looked at again when one may be changed.
func (s *WorkerSession) later(at time.Duration) {
	if d := &s.shares; !d.deferred || at < d.until {
		d.deferred, d.until = true, at
	}
}

// shiftable says whether the share may be changed now: one registration at a time, and
// none too soon after the one before.
func (l *workerLink) shiftable() bool { return l.rested(l.share.pause) }

// rested says whether the broker can be told of its share now: it isn't being told, and
// that is so long ago.
func (l *workerLink) rested(pause time.Duration) bool {
	if l.state != workerServing || l.plain || l.asking {
		return false
	}
	if ready := l.share.changed + pause; l.share.shifted && l.session.now < ready {
		l.session.later(ready)
		return false
	}
	return true
}

// shift registers with another share. One that went the other way just before keeps the
// new one for longer.
func (l *workerLink) shift(to int) {
	h, s := &l.share, l.session
	grew := to > h.size
	if h.shifted && grew != h.grew && s.now-h.changed < 4*h.pause {
		h.pause = min(2*h.pause, s.cfg.ShiftMax)
	} else {
		h.pause = s.cfg.ShiftMin
	}
	h.shifted, h.grew, h.changed = true, grew, s.now
	l.register(to)
}

// lower lowers the shares that are too large; at once, where a broker waits for its
// first.
func (s *WorkerSession) lower() {
	urgent := slices.ContainsFunc(s.links, func(l *workerLink) bool { return l.state == workerConnected })
	for _, l := range s.links {
		if l.share.want >= l.share.size {
			continue
		}
		if l.shiftable() || urgent && l.divides() && !l.asking {
			l.shift(l.share.want)
		}
	}
}

// admit lets those join that are connected. A broker of mesh gets to know the worker
// also where all slots are taken by long work elsewhere; it can be told that there is
// no room. A plain one can't.
func (s *WorkerSession) admit() {
	spare := s.spare()
	lowering := slices.ContainsFunc(s.links, func(l *workerLink) bool {
		return l.asking && !l.share.drained && l.share.allowed() > l.share.want
	})
	for _, l := range s.links {
		switch {
		case l.state != workerConnected:
		case l.plain:
			if spare > 0 {
				l.join(1)
				spare--
			} else {
				s.crowded = true // it may have the place of one that is to be left
			}
		case s.shares.over:
			l.join(1)
		case spare > 0 || !lowering:
			share := max(min(l.share.want, spare), 0)
			l.join(share)
			spare -= share
		}
	}
}

// raise raises the shares that are too small, the smallest first, by what is free.
func (s *WorkerSession) raise() {
	for spare := s.spare(); spare > 0 || s.shares.over; {
		var poorest *workerLink
		for _, l := range s.links {
			if h := &l.share; h.want > h.size && !h.ebbs && (poorest == nil || h.size < poorest.share.size) && l.shiftable() {
				poorest = l
			}
		}
		if poorest == nil {
			return
		}
		to := poorest.share.want
		if !s.shares.over {
			to = min(to, poorest.share.size+spare)
		}
		spare -= to - poorest.share.size
		poorest.shift(to)
	}
}

// release has the brokers hand over again that hold back, in turn, as long as there is
// room. Mostly a FINAL does that; but what ended may be another broker's.
func (s *WorkerSession) release() {
	d := &s.shares
	for d.held > 0 && s.running+d.kept < s.cfg.Registration.Capacity {
		var next *workerLink
		for _, l := range s.links {
			if l.share.held && (next == nil || l.share.heldAt < next.share.heldAt) && l.rested(s.cfg.ShiftMin) {
				next = l
			}
		}
		if next == nil {
			return
		}
		h := &next.share
		h.shifted, h.changed, h.pause = true, s.now, max(h.pause, s.cfg.ShiftMin)
		next.register(h.size)
		h.kept = true
		d.kept++
	}
}

// unshifted deals with the refusal of a share other than the one that the broker knows.
// It goes by that one on. One that drains refuses what is more, not what is less.
func (l *workerLink) unshifted(ev *WorkerEvent, known int) {
	h := &l.share
	grew := h.size > known
	h.size, h.want = known, known
	if ev.Envelope.Kind == jsonrpc.Failure && grew {
		code, _, _, err := jsonrpc.ParseError(ev.Envelope.Error)
		h.ebbs = err == nil && code == jsonrpc.CodeDraining
	}
	if !h.ebbs {
		h.fixed = true
		l.note("the worker's share stays what it was", errShareRefused)
	}
	l.tally()
}
