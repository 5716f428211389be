package majordomo

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// WorkerSession is a worker's conversation with all brokers that it knows, as a
// state machine: a link for each of them, among which it divides its capacity. Its
// methods must not be called at the same time.
type WorkerSession struct {
	cfg   WorkerConfig
	offer registerParams
	start time.Time
	now   time.Duration // since start; it never goes back

	started  bool
	draining bool
	over     bool
	links    []*workerLink          // those with a place, and those that are left (see workersessionplace.go)
	spares   []*workerLink          // those without
	conns    map[uint64]*workerLink // those that have a connection, by its number
	last     *workerLink            // the one that was looked up last
	dials    uint64                 // connections are numbered from 1
	asked    uint64                 // id of the last mmi.register

	running int // jobs that the driver has
	orphans int // those of them that nobody waits for, since their connection is gone
	free    []*Job

	crowded bool // there may be one that is to be left
	shares  division

	// The earliest of all alarms. They are compared anew where one was set.
	armed bool
	alarm time.Duration
	stale bool

	actions []WorkerAction
	arena   arena
	reused  arena // of messages to connections that copy, used again in each step
}

// NewWorkerSession returns a session that waits for WorkerStart.
func NewWorkerSession(cfg WorkerConfig, now time.Time) (*WorkerSession, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &WorkerSession{cfg: cfg, start: now, conns: make(map[uint64]*workerLink), reused: arena{byteSize: roomBytes}}
	if s.offer, err = cfg.offer(); err != nil {
		return nil, err
	}
	for broker := range cfg.Brokers {
		s.spares = append(s.spares, newWorkerLink(s, broker))
	}
	s.fill()
	return s, nil
}

// Step makes the session take ev at the time now, and returns what has to be
// done. The actions are valid until the next call; the messages in them stay, but
// for those to connections that copy.
// Events of connections that the session has given up are ignored, but for
// WorkerDialed, which is answered with WorkerHangup.
func (s *WorkerSession) Step(now time.Time, ev *WorkerEvent) []WorkerAction {
	if t := now.Sub(s.start); t > s.now {
		s.now = t
	}
	clear(s.actions) // so that nothing that is done stays reachable
	s.actions = s.actions[:0]
	s.reused.rewind()
	switch ev.Kind {
	case WorkerStart:
		s.begin()
	case WorkerBrokers:
		s.brokers(ev.Brokers)
	case WorkerReply:
		s.reply(ev)
	case WorkerDrain:
		s.drain()
	case WorkerStop:
		s.stop()
	case WorkerWake:
	case WorkerDialed, WorkerDialFailed, WorkerLost, WorkerMessage, WorkerUnsent:
		if l := s.find(ev.Conn); l != nil {
			l.take(ev)
		} else if ev.Kind == WorkerDialed {
			s.act(WorkerAction{Kind: WorkerHangup, Conn: ev.Conn})
		}
	}
	for s.tidy(); s.due(); s.tidy() {
		s.fired()
	}
	return s.actions
}

// tidy brings places and shares into order.
func (s *WorkerSession) tidy() {
	for {
		if s.crowded {
			s.crowded = false
			s.makeRoom()
		}
		if s.balance(); !s.crowded {
			return
		}
	}
}

// NextWake returns when a WorkerWake is due, zero for never.
func (s *WorkerSession) NextWake() time.Time {
	if !s.armed {
		return time.Time{}
	}
	return s.start.Add(s.alarm)
}

// find returns the link that has the connection, or nil.
func (s *WorkerSession) find(conn uint64) *workerLink {
	if s.last == nil || s.last.conn != conn {
		s.last = s.conns[conn]
	}
	return s.last
}

func (s *WorkerSession) act(a WorkerAction) { s.actions = append(s.actions, a) }

func (s *WorkerSession) begin() {
	if s.started || s.draining {
		return
	}
	s.started = true
	for _, l := range s.links {
		l.dial()
	}
}

// brokers takes the set of brokers that are known from now on.
func (s *WorkerSession) brokers(known []int) {
	if s.draining {
		return
	}
	fresh := make(map[int]bool, len(known))
	for _, broker := range known {
		fresh[broker] = true
	}
	s.spares = slices.DeleteFunc(s.spares, func(l *workerLink) bool { return !fresh[l.broker] })
	for _, l := range slices.Clone(s.links) {
		if l.known = fresh[l.broker]; l.known {
			continue
		}
		l.placed = false
		if !l.talks() {
			l.leaveOff()
		}
	}
	for _, l := range slices.Concat(s.links, s.spares) {
		delete(fresh, l.broker)
	}
	for _, broker := range known {
		if fresh[broker] {
			s.spares = append(s.spares, newWorkerLink(s, broker))
		}
	}
	s.fill()
	s.shares.unsettled = true // one that is alone needn't share any more
}

// drain lets the session end when what is running has.
func (s *WorkerSession) drain() {
	if s.draining {
		return
	}
	s.draining, s.spares = true, nil
	for _, l := range slices.Clone(s.links) {
		switch l.state {
		case workerServing:
			l.leave()
		case workerJoining, workerLeaving, workerLastJobs: // it goes as soon as it can
		default:
			l.leaveOff()
		}
	}
	s.finish()
}

// stop ends the session at once.
func (s *WorkerSession) stop() {
	s.draining, s.spares = true, nil
	for _, l := range slices.Clone(s.links) {
		l.cancelJobs(ErrStopped)
		if l.talks() && l.state != workerConnected {
			l.goodbye()
		} else {
			l.leaveOff()
		}
	}
	s.finish()
}

// forget takes a link out of the session.
func (s *WorkerSession) forget(l *workerLink) {
	s.links = slices.DeleteFunc(s.links, func(other *workerLink) bool { return other == l })
	s.shares.unsettled = true
	if s.draining {
		s.finish()
	}
}

// finish ends a draining session after its last link.
func (s *WorkerSession) finish() {
	if s.over || len(s.links) > 0 {
		return
	}
	s.over = true
	s.stale = true
	s.act(WorkerAction{Kind: WorkerFinished})
}

// due says whether an alarm is.
func (s *WorkerSession) due() bool {
	if s.stale {
		s.stale = false
		s.armed = false
		if at, ok := s.shares.alarm(); ok && !s.over {
			s.armed, s.alarm = true, at
		}
		for _, l := range s.links {
			if l.armed && (!s.armed || l.alarm < s.alarm) {
				s.armed, s.alarm = true, l.alarm
			}
		}
	}
	return s.armed && s.now >= s.alarm
}

// fired takes the alarm that is due.
func (s *WorkerSession) fired() {
	s.stale = true
	for _, l := range s.links {
		if l.armed && s.now >= l.alarm {
			l.armed = false
			l.fired()
			return
		}
	}
	s.sharesFired()
}

// registerParams is the params of mmi.register around the capacity.
type registerParams struct{ head, tail []byte }

// with returns the params with a capacity.
func (o *registerParams) with(capacity int) []byte {
	params := make([]byte, 0, len(o.head)+len(o.tail)+8)
	params = append(params, o.head...)
	params = strconv.AppendInt(params, int64(capacity), 10)
	return append(params, o.tail...)
}

// cutOffer cuts params that were written with capacity 0 at the 0. No text in them
// can be taken for the member: in it the quotes would be escaped.
func cutOffer(params []byte) registerParams {
	member := []byte(`"capacity":`)
	at := bytes.Index(params, member) + len(member)
	return registerParams{head: params[:at], tail: params[at+1:]}
}

// version is the version of the frames.
func (s *WorkerSession) version() mdp.Version { return s.cfg.Speak.version() }
