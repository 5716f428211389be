package majordomo

import (
	"slices"
	"time"
)

// A session has MaxBrokers places. A link with a place is dialled again for as long as its
// broker is known, unless another one could be dialled at once: then that one gets the
// place, so that brokers that don't answer keep the worker from none that would. Links
// without a place are spare. One whose broker was taken back while it was served loses
// its place, and is served on until there are too many.

// fill gives places that are free to known brokers that have none, first to those that
// need no wait.
func (s *WorkerSession) fill() {
	for s.places() > 0 {
		l := s.waiting((*workerLink).ripe)
		if l == nil {
			l = s.waiting(func(*workerLink) bool { return true })
		}
		if l == nil {
			return
		}
		s.place(l)
	}
}

// places returns how many places are free.
func (s *WorkerSession) places() int {
	free := s.cfg.MaxBrokers
	for _, l := range s.links {
		if l.placed {
			free--
		}
	}
	return free
}

// ripe says whether a link without a place is connected, or can be dialled at once.
func (l *workerLink) ripe() bool { return l.talks() || l.rests <= l.session.now }

// waiting returns a known broker without a place that is suitable, or nil: a random one
// where there are more of them than places.
func (s *WorkerSession) waiting(suitable func(*workerLink) bool) *workerLink {
	var found []*workerLink
	for _, l := range s.links {
		if l.known && !l.placed && suitable(l) {
			found = append(found, l)
		}
	}
	for _, l := range s.spares {
		if suitable(l) {
			found = append(found, l)
		}
	}
	switch {
	case len(found) == 0:
		return nil
	case len(found) <= s.places():
		return found[0]
	}
	return found[s.cfg.Random()%uint64(len(found))]
}

// place gives l a place: it is dialled when it has rested.
func (s *WorkerSession) place(l *workerLink) {
	l.placed = true
	at := slices.Index(s.spares, l)
	if at < 0 {
		return // it is connected
	}
	s.spares = slices.Delete(s.spares, at, at+1)
	s.links = append(s.links, l)
	s.shares.unsettled = true
	switch {
	case !s.started:
	case l.rests <= s.now:
		l.dial()
	default:
		l.wakeAt(l.rests)
	}
}

// rest has a link that has no connection wait until it may be dialled. Another one may
// get its place.
func (l *workerLink) rest(until time.Duration) {
	s := l.session
	l.rests = until
	var other *workerLink
	if l.placed {
		other = s.waiting((*workerLink).ripe)
		if other == nil {
			l.wakeAt(until)
			return
		}
		l.placed = false
	}
	s.forget(l)
	s.spares = append(s.spares, l)
	if other != nil {
		s.place(other)
	}
}

// makeRoom leaves a broker that has no place where more are served than there are places,
// or where a plain one that has a place waits for a slot: a mesh one would get a share of
// none meanwhile.
func (s *WorkerSession) makeRoom() {
	serving, waiting, leaving := 0, false, false
	for _, l := range s.links {
		switch l.state {
		case workerServing:
			serving++
		case workerConnected:
			waiting = waiting || l.plain && l.placed
		case workerLeaving, workerLastJobs:
			leaving = true
		}
	}
	if serving <= s.cfg.MaxBrokers && (!waiting || leaving) {
		return
	}
	for _, l := range s.links {
		if l.state == workerServing && !l.placed {
			l.note("the broker is left; others have the places", nil)
			l.leave()
			return
		}
	}
}
