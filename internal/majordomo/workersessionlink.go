package majordomo

import (
	"cmp"
	"fmt"
	"time"

	"github.com/mdpmesh/mesh/internal/mdp"
)

type workerState uint8

const (
	workerIdle      workerState = iota // not started, or waiting to dial again
	workerParked                       // another link leads to the same broker
	workerDialing                      // WorkerDial was asked for
	workerProbing                      // connected, and asked who it is: it was its twin's broker before
	workerConnected                    // connected, and waits for a share of the capacity
	workerJoining                      // registered and READY, not answered yet
	workerServing                      // answered, or the broker is plain
	workerLeaving                      // registered with no capacity, not answered yet
	workerLastJobs                     // only what is running is left
	workerGone                         // no longer in the session
)

// workerLink is the part of a worker's session that deals with one broker, or one
// address of it.
//
//	idle ─► dialing ─► connected ─► joining ─► serving ─► leaving ─► last jobs ─► gone
//	  ▲        │           │           │          │          │           │
//	  └────────┴───────────┴───────────┴──────────┘          └───────────┴──────► parked
//	      failed, lost, silent, DISCONNECT                  the same broker as another's
//
// A parked link is dialled at once when its twin is gone. Until then it only asks at
// times who answers at its address (probe), which may be another broker by now:
//
//	parked ─► dialing ─► probing ─► parked: the same, or no answer
//	                        └─────► connected: another one, or the twin is gone
//
// A link that drains, or whose broker isn't known any more, doesn't go back to idle:
// it is gone when its connection is.
type workerLink struct {
	session *WorkerSession
	broker  int           // its number
	known   bool          // the broker is said to be there
	placed  bool          // it has one of the places: it is to be dialled again
	rests   time.Duration // until when it isn't to be dialled

	state    workerState
	plain    bool // the broker speaks MDP alone
	conn     uint64
	redial   redial
	since    time.Duration // when the broker took the worker
	trouble  error
	identity Registered      // what the broker last answered; zero where it is plain
	twin     *workerLink     // that the broker is served over
	refused  map[string]bool // services that the broker didn't take
	ready    int             // index of the service that READY named
	again    bool            // the connection was made because READY was refused on the one before
	asking   bool            // mmi.register isn't answered yet
	asked    uint64          // id of the last one
	askedAt  time.Duration

	copies bool // the connection keeps nothing of small messages
	joins  bool // the connection takes a frame in pieces

	// The one alarm means: dial again, give up a dial, or look after heartbeats.
	armed    bool
	alarm    time.Duration
	interval time.Duration
	liveness int
	heard    time.Duration
	sent     time.Duration

	share   workerShare
	jobs    list[Job] // that the broker waits for
	byToken map[uint64]*Job

	noteAfter time.Duration // when the log may hear of an invalid message again
}

func newWorkerLink(s *WorkerSession, broker int) *workerLink {
	return &workerLink{session: s, broker: broker, known: true, byToken: make(map[uint64]*Job)}
}

// take takes an event of the link's connection.
func (l *workerLink) take(ev *WorkerEvent) {
	switch {
	case ev.Kind == WorkerDialed:
		l.copies, l.joins = ev.Copies, ev.Joins
		l.dialed()
	case ev.Kind == WorkerDialFailed:
		if l.state == workerDialing {
			l.lost(ev.Err, false)
		}
	case !l.talks() && l.state != workerProbing:
	case ev.Kind == WorkerLost:
		l.lost(ev.Err, true) // it may have to be given up on this side, too
	case ev.Kind == WorkerMessage:
		l.message(ev)
	default:
		l.unsent(ev)
	}
}

// talks says whether the link is connected to a broker of its own.
func (l *workerLink) talks() bool { return l.state >= workerConnected && l.state < workerGone }

func (l *workerLink) version() mdp.Version { return l.session.version() }

func (l *workerLink) note(text string, err error) {
	if err != nil {
		l.trouble = err
	}
	l.session.act(WorkerAction{Kind: WorkerNote, Broker: l.broker, Text: text, Err: err})
}

func (l *workerLink) send(c *mdp.Command) { l.sendJoined(c, 0) }

// sendJoined sends a command of which so many frames at the end are pieces of one.
func (l *workerLink) sendJoined(c *mdp.Command, joined int) {
	s := l.session
	l.sent = s.now
	memory := &s.arena
	if l.copies {
		memory = &s.reused
	}
	s.act(WorkerAction{Kind: WorkerSend, Conn: l.conn, Message: c.AppendTo(memory.frames(c.Len())), Joined: joined})
}

func (l *workerLink) wakeAt(at time.Duration) {
	l.armed, l.alarm = true, at
	l.session.stale = true
}

func (l *workerLink) dial() {
	s := l.session
	s.dials++
	l.state, l.conn = workerDialing, s.dials
	s.conns[l.conn] = l
	s.act(WorkerAction{Kind: WorkerDial, Conn: l.conn, Broker: l.broker})
	l.wakeAt(s.now + s.cfg.DialTimeout)
}

func (l *workerLink) hangup() { l.session.act(WorkerAction{Kind: WorkerHangup, Conn: l.conn}) }

// disconnected forgets the connection: the jobs that came over it have nobody to reply
// to, and its share is free.
func (l *workerLink) disconnected() {
	s := l.session
	delete(s.conns, l.conn)
	s.last = nil
	l.cancelJobs(ErrConnectionLost)
	l.unkeep()
	l.unhold()
	l.share.clear(&s.shares)
	l.asking, l.armed = false, false
	s.stale, s.shares.unsettled = true, true
}

// lost deals with a connection that ended, or has to. The broker is dialled again
// after a while.
func (l *workerLink) lost(why error, hangup bool) {
	if hangup {
		l.hangup()
	}
	l.again = false
	l.disconnected()
	l.state = workerIdle
	l.session.untwin(l)
	switch {
	case l.session.draining || !l.known:
		l.note("no connection; nothing is left to be done", why)
		l.end()
	case l.twin != nil:
		l.note("no connection; the broker is served over another address", why)
		l.park()
	default:
		cfg := &l.session.cfg
		wait := l.redial.failed(cfg.RedialMin, cfg.RedialMax, cfg.Random)
		l.note("no connection, to be dialled again in "+wait.Round(time.Millisecond).String(), why)
		l.rest(l.session.now + wait)
	}
}

// leaveOff ends a link that has nothing to say to a broker.
func (l *workerLink) leaveOff() {
	if l.state == workerDialing || l.state == workerProbing || l.state == workerConnected {
		l.hangup()
	}
	l.disconnected()
	l.end()
}

// end takes the link, which has no connection, out of the session.
func (l *workerLink) end() {
	l.state = workerGone
	l.session.untwin(l)
	l.session.forget(l)
}

// goodbye ends the conversation.
func (l *workerLink) goodbye() {
	l.send(&mdp.Command{Version: l.version(), Kind: mdp.Disconnect})
	l.hangup()
	l.disconnected()
	switch {
	case l.session.draining || !l.known:
		l.end()
	case l.twin != nil:
		l.park()
	case !l.placed:
		l.state = workerIdle
		l.session.untwin(l)
		l.rest(l.session.now)
	default: // the link that it stood back for is gone
		l.dial()
	}
}

// fired is the link's alarm.
func (l *workerLink) fired() {
	s := l.session
	switch l.state {
	case workerIdle, workerParked:
		l.dial()
	case workerDialing:
		l.lost(fmt.Errorf("majordomo: no connection within %v", s.cfg.DialTimeout), true)
	case workerProbing:
		l.lost(errNoPong, true)
	default:
		if s.now-l.alarm >= l.interval {
			l.respite()
		}
		l.watch()
	}
}

// respite is for an alarm that comes much later than it was set for: this process was
// stopped, and what the broker sent meanwhile may still have to be read. The broker
// gets an interval more before it is given up.
func (l *workerLink) respite() {
	l.heard = max(l.heard, l.session.now+l.interval-l.patience())
	l.askedAt = max(l.askedAt, l.session.now+l.interval-l.limit())
}

// limit is how long the broker may be silent, and how long it may take to answer.
func (l *workerLink) limit() time.Duration { return time.Duration(l.liveness) * l.interval }

// patience is how long the broker may be silent now. A plain one may not send
// heartbeats to a busy worker (docs/protocol.md "Foreign brokers").
func (l *workerLink) patience() time.Duration {
	if l.plain && l.jobs.n > 0 {
		return max(l.limit(), l.session.cfg.BusyLimit)
	}
	return l.limit()
}

// watch sends the heartbeat that is due and gives up a broker that was silent for
// too long (RFC 7 "Heartbeating"). That it is alive isn't enough while an answer to
// mmi.register is due: one that doesn't know the method may never answer it.
func (l *workerLink) watch() {
	now := l.session.now
	late := l.asking && now-l.askedAt >= l.limit()
	switch {
	case late && l.state == workerJoining:
		l.lost(ErrNotRegistered, true)
		return
	case now-l.heard >= l.patience():
		l.lost(fmt.Errorf("majordomo: the broker was silent for %v", now-l.heard), true)
		return
	case late && l.state == workerServing:
		// What it may hand over isn't known any more, and others wait for it.
		l.lost(errUnanswered, true)
		return
	case late:
		l.note("the broker didn't say that nothing more will come", nil)
		l.answered()
		l.lastJobs()
		return
	case now-l.sent >= l.interval:
		l.send(&mdp.Command{Version: l.version(), Kind: mdp.Heartbeat})
	}
	l.beat()
}

// beat sets the alarm to what comes first. Traffic puts it off without touching
// it: watch looks again.
func (l *workerLink) beat() {
	at := min(l.sent+l.interval, l.heard+l.patience())
	if l.asking {
		at = min(at, l.askedAt+l.limit())
	}
	l.wakeAt(at)
}

// message takes what the broker sent.
func (l *workerLink) message(ev *WorkerEvent) {
	c := &ev.Command
	switch {
	case l.state == workerProbing:
		l.probed(ev)
		return
	case ev.Err != nil || c.Version != l.version():
		l.invalid(cmp.Or(ev.Err, errOtherVersion))
		return
	case l.state == workerConnected && c.Kind != mdp.Disconnect && c.Kind != mdp.ClientFinal: // of a probe
		l.invalid(errTooEarly)
		return
	}
	l.heard = l.session.now
	if l.state >= workerServing && c.Kind != mdp.Disconnect {
		l.redial.lived(l.heard-l.since, l.limit())
	}
	switch c.Kind {
	case mdp.WorkerRequest:
		l.request(ev)
	case mdp.Disconnect:
		l.lost(errDisconnected, true)
	case mdp.ClientFinal:
		if string(c.Service) == mdp.MMIRegister && l.asking {
			l.registered(ev)
		}
	}
}

// invalid drops a message, and has the log told at most once a second.
func (l *workerLink) invalid(err error) {
	if l.session.now < l.noteAfter {
		return
	}
	l.noteAfter = l.session.now + time.Second
	l.note("invalid message dropped", err)
}
