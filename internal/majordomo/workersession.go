package majordomo

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/mdp"
)

type workerState uint8

const (
	workerIdle     workerState = iota // not started, or waiting to dial again
	workerDialing                     // WorkerDial was asked for
	workerJoining                     // registered and READY, not answered yet
	workerServing                     // answered, or the broker is plain
	workerLeaving                     // registered with no capacity, not answered yet
	workerLastJobs                    // drains: only what is running is left
	workerOver
)

// WorkerSession is a worker's conversation with one broker after another from a
// fixed list, as a state machine. Its methods must not be called at the same time.
//
//	idle ─► dialing ─► joining ─► serving ─► leaving ─► last jobs ─► over
//	  ▲        │          │          │
//	  └────────┴──────────┴──────────┘ failed, lost, silent, DISCONNECT
//
// A session that drains doesn't go back to idle: it is over when its connection
// is.
type WorkerSession struct {
	cfg      WorkerConfig
	offer    []byte // params of mmi.register
	farewell []byte // the same, with capacity 0
	start    time.Time
	now      time.Duration // since start; it never goes back

	state    workerState
	draining bool
	plain    bool // the broker speaks MDP alone
	redial   redial
	conn     uint64            // the connection's number; they count from 1
	refused  []map[string]bool // by broker: services that it didn't take
	ready    int               // index of the service that READY named
	again    bool              // the connection was made because READY was refused on the one before
	asked    uint64            // id of the last mmi.register
	askedAt  time.Duration

	// The one alarm means: dial again, give up a dial, or look after heartbeats.
	armed    bool
	alarm    time.Duration
	interval time.Duration
	liveness int
	heard    time.Duration
	sent     time.Duration

	jobs    list[Job] // that somebody waits for
	byToken map[uint64]*Job
	running int  // jobs that the driver has, whether or not somebody waits
	held    bool // the broker holds requests back until a FINAL or a registration
	free    []*Job

	actions   []WorkerAction
	arena     arena
	noteAfter time.Duration // when the log may hear of an invalid message again
}

// NewWorkerSession returns a session that waits for WorkerStart.
func NewWorkerSession(cfg WorkerConfig, now time.Time) (*WorkerSession, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &WorkerSession{
		cfg: cfg, start: now, byToken: make(map[uint64]*Job), refused: make([]map[string]bool, cfg.Brokers),
		redial: redial{brokers: cfg.Brokers, min: cfg.RedialMin, max: cfg.RedialMax, random: cfg.Random},
	}
	if s.offer, err = cfg.offer(cfg.Registration.Capacity); err != nil {
		return nil, err
	}
	if s.farewell, err = cfg.offer(0); err != nil {
		return nil, err
	}
	return s, nil
}

// Step makes the session take ev at the time now, and returns what has to be
// done. The actions are valid until the next call; the messages in them stay.
// Events of connections that the session has given up are ignored, but for
// WorkerDialed, which is answered with WorkerHangup.
func (s *WorkerSession) Step(now time.Time, ev *WorkerEvent) []WorkerAction {
	if t := now.Sub(s.start); t > s.now {
		s.now = t
	}
	clear(s.actions) // so that nothing that is done stays reachable
	s.actions = s.actions[:0]
	switch ev.Kind {
	case WorkerStart:
		if s.state == workerIdle && s.conn == 0 {
			s.dial()
		}
	case WorkerDialed:
		s.dialed(ev.Conn)
	case WorkerDialFailed:
		if s.state == workerDialing && ev.Conn == s.conn {
			s.lost(ev.Err, false)
		}
	case WorkerLost:
		if s.talks(ev.Conn) {
			s.lost(ev.Err, true) // it may have to be given up on this side, too
		}
	case WorkerMessage:
		if s.talks(ev.Conn) {
			s.message(ev)
		}
	case WorkerUnsent:
		if s.talks(ev.Conn) {
			s.unsent(ev)
		}
	case WorkerReply:
		s.reply(ev)
	case WorkerDrain:
		s.drain()
	case WorkerStop:
		s.stop()
	case WorkerWake:
	}
	for s.armed && s.now >= s.alarm {
		s.armed = false
		s.fired()
	}
	return s.actions
}

// NextWake returns when a WorkerWake is due, zero for never.
func (s *WorkerSession) NextWake() time.Time {
	if !s.armed {
		return time.Time{}
	}
	return s.start.Add(s.alarm)
}

// talks says whether conn is the connection on which the session talks to a
// broker.
func (s *WorkerSession) talks(conn uint64) bool {
	return conn == s.conn && s.state >= workerJoining && s.state < workerOver
}

func (s *WorkerSession) version() mdp.Version { return s.cfg.Speak.version() }

func (s *WorkerSession) act(a WorkerAction) { s.actions = append(s.actions, a) }

func (s *WorkerSession) note(text string, err error) {
	s.act(WorkerAction{Kind: WorkerNote, Text: text, Err: err})
}

func (s *WorkerSession) send(c *mdp.Command) {
	s.sent = s.now
	s.act(WorkerAction{Kind: WorkerSend, Conn: s.conn, Message: c.AppendTo(s.arena.frames(c.Len()))})
}

func (s *WorkerSession) wakeAt(at time.Duration) { s.armed, s.alarm = true, at }

func (s *WorkerSession) dial() {
	s.state = workerDialing
	s.conn++
	s.act(WorkerAction{Kind: WorkerDial, Conn: s.conn, Broker: s.redial.at})
	s.wakeAt(s.now + s.cfg.DialTimeout)
}

// lost deals with a connection that ended, or has to: the jobs that came over it
// have nobody to reply to, and the session dials again.
func (s *WorkerSession) lost(why error, hangup bool) {
	if hangup {
		s.act(WorkerAction{Kind: WorkerHangup, Conn: s.conn})
	}
	s.again = false
	s.cancelJobs(ErrConnectionLost)
	if s.draining {
		s.note("no connection; nothing is left to be done", why)
		s.finish()
		return
	}
	broker, wait := s.redial.failed()
	s.note("no connection, dialling broker "+strconv.Itoa(broker)+" in "+wait.Round(time.Millisecond).String(), why)
	s.state = workerIdle
	s.wakeAt(s.now + wait)
}

// fired is the session's alarm.
func (s *WorkerSession) fired() {
	switch s.state {
	case workerIdle:
		s.dial()
	case workerDialing:
		s.lost(fmt.Errorf("majordomo: no connection within %v", s.cfg.DialTimeout), true)
	default:
		s.watch()
	}
}

// limit is how long the broker may be silent, and how long it may take to answer.
func (s *WorkerSession) limit() time.Duration { return time.Duration(s.liveness) * s.interval }

// patience is how long the broker may be silent now. A plain one may not send
// heartbeats to a busy worker (docs/protocol.md "Foreign brokers").
func (s *WorkerSession) patience() time.Duration {
	if s.plain && s.jobs.n > 0 {
		return max(s.limit(), s.cfg.BusyLimit)
	}
	return s.limit()
}

// awaits says whether an answer to mmi.register is due. That the broker is alive
// isn't enough then: one that doesn't know the method may never answer it.
func (s *WorkerSession) awaits() bool {
	return s.state == workerJoining || s.state == workerLeaving
}

// watch sends the heartbeat that is due and gives up a broker that was silent for
// too long (RFC 7 "Heartbeating").
func (s *WorkerSession) watch() {
	late := s.awaits() && s.now-s.askedAt >= s.limit()
	switch {
	case late && s.state == workerJoining:
		s.lost(ErrNotRegistered, true)
		return
	case s.now-s.heard >= s.patience():
		s.lost(fmt.Errorf("majordomo: the broker was silent for %v", s.now-s.heard), true)
		return
	case late:
		s.note("the broker didn't say that nothing more will come", nil)
		s.lastJobs()
		return
	case s.now-s.sent >= s.interval:
		s.send(&mdp.Command{Version: s.version(), Kind: mdp.Heartbeat})
	}
	s.beat()
}

// beat sets the alarm to what comes first. Traffic puts it off without touching
// it: watch looks again.
func (s *WorkerSession) beat() {
	at := min(s.sent+s.interval, s.heard+s.patience())
	if s.awaits() {
		at = min(at, s.askedAt+s.limit())
	}
	s.wakeAt(at)
}

// message takes what the broker sent.
func (s *WorkerSession) message(ev *WorkerEvent) {
	c := &ev.Command
	if ev.Err != nil || c.Version != s.version() {
		s.invalid(cmp.Or(ev.Err, errOtherVersion))
		return
	}
	s.heard = s.now
	if s.state >= workerServing && c.Kind != mdp.Disconnect {
		s.redial.worked()
	}
	switch c.Kind {
	case mdp.WorkerRequest:
		s.request(ev)
	case mdp.Disconnect:
		s.lost(errDisconnected, true)
	case mdp.ClientFinal:
		if string(c.Service) == mdp.MMIRegister {
			s.registered(ev)
		}
	}
}

// invalid drops a message, and has the log told at most once a second.
func (s *WorkerSession) invalid(err error) {
	if s.now < s.noteAfter {
		return
	}
	s.noteAfter = s.now + time.Second
	s.note("invalid message dropped", err)
}

// drain lets the session end when what is running has.
func (s *WorkerSession) drain() {
	if s.draining {
		return
	}
	s.draining = true
	switch s.state {
	case workerIdle:
		s.finish()
	case workerDialing:
		s.act(WorkerAction{Kind: WorkerHangup, Conn: s.conn})
		s.finish()
	case workerServing:
		s.leave()
	}
}

// stop ends the session at once.
func (s *WorkerSession) stop() {
	s.draining = true
	s.cancelJobs(ErrStopped)
	switch s.state {
	case workerOver:
	case workerIdle:
		s.finish()
	case workerDialing:
		s.act(WorkerAction{Kind: WorkerHangup, Conn: s.conn})
		s.finish()
	default:
		s.goodbye()
	}
}

// goodbye ends the conversation.
func (s *WorkerSession) goodbye() {
	s.send(&mdp.Command{Version: s.version(), Kind: mdp.Disconnect})
	s.act(WorkerAction{Kind: WorkerHangup, Conn: s.conn})
	s.finish()
}

func (s *WorkerSession) finish() {
	s.state = workerOver
	s.armed = false
	s.act(WorkerAction{Kind: WorkerFinished})
}
