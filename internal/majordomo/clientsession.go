package majordomo

import (
	"errors"
	"math/bits"
	"time"
)

// Errors that the session names as the cause of a failure.
var (
	// ErrClientClosed is the cause where the session was closed.
	ErrClientClosed = errors.New("majordomo: the client is closed")
	// ErrBrokerSilent is the cause where a broker's signs of life stayed out.
	ErrBrokerSilent = errors.New("majordomo: the broker is silent")
	// ErrNoPong is the cause where a broker never answered the first mmi.ping.
	ErrNoPong = errors.New("majordomo: no answer to mmi.ping; if the broker speaks plain MDP, set Speak to MDP02 or MDP01")
	// ErrBrokerDraining is the cause where a broker takes nothing new.
	ErrBrokerDraining = errors.New("majordomo: the broker is draining")

	errNotConnected   = errors.New("majordomo: not connected yet")
	errNoPlace        = errors.New("majordomo: others are connected in its place")
	errSameBroker     = errors.New("majordomo: the broker is connected by another endpoint")
	errBrokerReplaced = errors.New("majordomo: another broker answers on the connection")
	errNoAnswer       = errors.New("majordomo: the answer to mmi.ping is neither JSON-RPC nor a status")
	errPartNoResult   = errors.New("majordomo: a part of a stream that is no result")
)

const (
	clientTimerDial timerKind = iota
	clientTimerLink
	clientTimerCall
)

// ClientSession makes a client's calls to all brokers that it knows, as a state
// machine. Its methods must not be called at the same time.
//
// It holds a connection to each of them, up to MaxBrokers, and gives every call to
// one that serves: see choose. The life of a call, which ends from each of its
// states where its time is over or nobody waits for it any more:
//
//	accepted ─► waiting ─► out ─► done: replied, failed, lost
//	               ▲        │
//	               ├────────┤ connection lost or broker draining, where it is safe
//	               │        ▼
//	               └── backing off: overloaded or no worker, wherever it was sent
//
// The life of a connection is drawn at clientLink, that of a broker at clientBroker.
type ClientSession struct {
	cfg   ClientConfig
	start time.Time
	now   time.Duration // since start; it never goes back
	wheel wheel

	brokers []*clientBroker       // that are known, or still connected
	known   map[int]*clientBroker // the same, by number
	placed  int                   // how many of them have one of the MaxBrokers places
	finding error                 // what keeps brokers, or some of them, from being found

	conns   uint64        // connection numbers used
	links   []*clientLink // connections that aren't over
	serving []*clientLink // those that take calls
	last    *clientLink   // the one that was looked up last
	closed  bool

	waiting      list[Call] // for a connection
	backing      list[Call] // for their backoff to pass
	pending      int
	pendingBytes int64
	tokens       float64 // retries that may be made

	slots    []clientSlot // calls by the lower bits of their id; the first is the session's own
	unused   []uint32     // slots to use next
	slotBits int
	pings    uint64

	actions   []ClientAction
	arena     arena
	reused    arena  // of messages to connections that copy, used again in each step
	scratch   []byte // for an envelope
	noteAfter time.Duration
	counts    ClientCounts
}

// clientSlot holds one call that is out. Generation makes the id of each request
// that the slot is used for another one.
type clientSlot struct {
	call       *Call
	generation uint64
}

// ClientCounts says how often something happened to a session.
type ClientCounts struct {
	Sent    uint64 // requests, those sent again counted
	Retries uint64 // requests sent again, hedges counted
	Hedges  uint64 // requests sent to a second broker since the first was slow
	Late    uint64 // replies that no call waited for any more
	Invalid uint64 // messages that break the protocol
	Lost    uint64 // connections that ended
}

// NewClientSession returns a session that dials at the first step, for which
// NextWake asks at once if a broker is known. It knows those of the numbers below
// cfg.Brokers, until it is told of others by ClientBrokers.
func NewClientSession(cfg ClientConfig, now time.Time) (*ClientSession, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &ClientSession{
		cfg: cfg, start: now, tokens: float64(cfg.RetryReserve),
		known:    make(map[int]*clientBroker),
		slots:    make([]clientSlot, 1),
		reused:   arena{byteSize: roomBytes},
		slotBits: bits.Len(2 * uint(cfg.MaxPending)), // a call may be out twice
	}
	for n := range cfg.Brokers {
		s.learn(n)
	}
	s.fill()
	return s, nil
}

// Step makes the session take ev at the time now, and returns what has to be
// done. The actions are valid until the next call; the messages in them stay, but
// for those to connections that copy.
// Events of connections that the session has given up are ignored, but for
// ClientDialed, which is answered with ClientHangup. A time before that of the last
// step counts as that.
func (s *ClientSession) Step(now time.Time, ev *ClientEvent) []ClientAction {
	if t := now.Sub(s.start); t > s.now {
		s.now = t
	}
	clear(s.actions) // so that nothing that is done stays reachable
	s.actions = s.actions[:0]
	s.reused.rewind()
	switch ev.Kind {
	case ClientCall:
		s.accept(ev.Call)
	case ClientAbort:
		s.abort(ev.Call, ev.Err)
	case ClientCredit:
		s.credit(ev.Call, ev.N, ev.Bytes)
	case ClientSent:
		s.sent(ev)
	case ClientUnsent:
		s.unsent(ev)
	case ClientDialed:
		s.dialed(ev.Conn, ev.Copies, ev.Joins)
	case ClientDialFailed, ClientLost:
		if l := s.link(ev.Conn); l != nil {
			s.lost(l, ev.Err)
		}
	case ClientBrokers:
		s.found(ev)
	case ClientMessage:
		if l := s.link(ev.Conn); l != nil && l.state != linkDialing {
			s.message(l, ev)
		}
	case ClientWake:
	case ClientClose:
		s.close()
	}
	for t := s.wheel.pop(s.now); t != nil; t = s.wheel.pop(s.now) {
		switch t.kind {
		case clientTimerDial:
			s.dial(t.owner.(*clientBroker))
		case clientTimerLink:
			s.watch(t.owner.(*clientLink))
		case clientTimerCall:
			s.callFired(t.owner.(*Call))
		}
	}
	return s.actions
}

// NextWake returns when a ClientWake is due, zero for never. It may be early.
func (s *ClientSession) NextWake() time.Time {
	at, ok := s.wheel.wake()
	if !ok {
		return time.Time{}
	}
	return s.start.Add(at)
}

// close ends every call and every connection.
func (s *ClientSession) close() {
	if s.closed {
		return
	}
	s.closed = true
	for len(s.links) > 0 {
		s.abandon(s.links[0])
	}
	s.failAll(&s.waiting)
	s.failAll(&s.backing)
	for _, b := range s.brokers {
		s.wheel.stop(&b.timer)
		s.failAll(&b.pinned)
	}
}

// failAll ends the calls of a list because the session is closed.
func (s *ClientSession) failAll(calls *list[Call]) {
	for c := calls.front(); c != nil; c = calls.front() {
		s.fail(c, closedFailure(c))
	}
}

// abandon ends a connection and the calls that are out on it.
func (s *ClientSession) abandon(l *clientLink) {
	s.drop(l)
	s.failAll(&l.out)
	s.hangup(l.conn)
}

func (s *ClientSession) act(a ClientAction) { s.actions = append(s.actions, a) }

func (s *ClientSession) hangup(conn uint64) { s.act(ClientAction{Kind: ClientHangup, Conn: conn}) }

func (s *ClientSession) note(l *clientLink, text string, err error) {
	s.act(ClientAction{Kind: ClientNote, Conn: l.conn, Broker: l.broker.number, Text: text, Err: err})
}
