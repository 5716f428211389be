package majordomo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

type linkState uint8

const (
	linkDialing  linkState = iota // ClientDial was asked for
	linkProbing                   // the first mmi.ping isn't answered
	linkServing                   // calls may be sent
	linkRetiring                  // the broker drains: only replies are due
	linkOver
)

// clientLink is one connection to a broker.
//
//	dialing ─► probing ─► serving ─► retiring ─► over: its last call is done
//	   │          │          │          │
//	   └──────────┴──────────┴──────────┴─► over: failed, lost, silent
//
// Calls aren't sent before the answer to mmi.ping: it says whether the broker is
// the one that knows a call's key, whether it takes anything at all, and whether it
// is a plain one. To a broker that is configured as a plain one they are sent at
// once.
type clientLink struct {
	conn     uint64
	broker   int
	state    linkState
	plain    bool
	identity brokerIdentity
	interval time.Duration
	liveness int

	timer  timer
	spoke  bool // the broker sent something
	heard  time.Duration
	sent   time.Duration
	pinged time.Duration

	out list[Call]
}

// brokerIdentity tells one run of one broker from all others.
type brokerIdentity struct {
	broker      string
	incarnation string
}

// known says whether the identity can be relied on.
func (i brokerIdentity) known() bool { return i.incarnation != "" }

// link returns the connection with that number, or nil where the session has
// given it up.
func (s *ClientSession) link(conn uint64) *clientLink {
	if s.current != nil && s.current.conn == conn {
		return s.current
	}
	for _, l := range s.retiring {
		if l.conn == conn {
			return l
		}
	}
	return nil
}

func (s *ClientSession) dial() {
	s.conns++
	l := &clientLink{
		conn: s.conns, broker: s.redial.at, plain: s.cfg.Speak != SpeakMesh,
		interval: s.cfg.HeartbeatInterval, liveness: s.cfg.Liveness,
	}
	l.timer.kind, l.timer.owner = clientTimerLink, l
	s.current = l
	s.act(ClientAction{Kind: ClientDial, Conn: l.conn, Broker: l.broker})
	s.wheel.set(&l.timer, s.now+s.cfg.DialTimeout)
}

func (s *ClientSession) dialed(conn uint64) {
	l := s.link(conn)
	if l == nil {
		s.hangup(conn)
		return
	}
	if l.state != linkDialing {
		return
	}
	s.wheel.stop(&l.timer)
	l.heard, l.sent = s.now, s.now
	if l.plain {
		s.serve(l)
		return
	}
	l.state = linkProbing
	s.ping(l)
	s.wheel.set(&l.timer, s.now+l.patience())
}

// serve makes l the connection on which calls go out.
func (s *ClientSession) serve(l *clientLink) {
	l.state = linkServing
	s.trouble = nil
	if !l.plain {
		s.beat(l)
	}
	for c := s.pinned.front(); c != nil; c = s.pinned.front() {
		c.progress.place.unlink()
		s.submit(c)
	}
	s.flush(l)
}

// retire moves away from a broker that drains. It still sends the replies to the
// calls that it has (docs/protocol.md "Stopping").
func (s *ClientSession) retire(l *clientLink) {
	l.state = linkRetiring
	s.current = nil
	s.retiring = append(s.retiring, l)
	s.moveOn(l, ErrBrokerDraining)
	s.checkRetired(l)
}

// checkRetired ends a retiring connection after its last call.
func (s *ClientSession) checkRetired(l *clientLink) {
	if l.state == linkRetiring && l.out.n == 0 {
		s.drop(l)
		s.hangup(l.conn)
	}
}

// drop takes l out of the session's books.
func (s *ClientSession) drop(l *clientLink) {
	s.wheel.stop(&l.timer)
	l.state = linkOver
	if s.current == l {
		s.current = nil
		return
	}
	if i := slices.Index(s.retiring, l); i >= 0 {
		s.retiring = slices.Delete(s.retiring, i, i+1)
	}
}

// lost deals with a connection that ended: with the calls that were out on it, and
// with the next connection.
func (s *ClientSession) lost(l *clientLink, why error) {
	was := l.state
	s.drop(l)
	if was != linkDialing {
		s.counts.Lost++
	}
	for c := l.out.front(); c != nil; c = l.out.front() {
		s.orphan(c, why)
	}
	switch {
	case was == linkRetiring:
		// The session has moved on already.
	case was == linkServing && s.pinned.n > 0 && !s.returning:
		// Only this run of this broker can say what became of them; another
		// broker is asked if it is gone.
		s.returning = true
		s.dialAgain(l, s.redial.backoff(0), why)
	default:
		s.returning = false
		s.moveOn(l, why)
	}
}

// giveUp ends a connection that is of no use any more.
func (s *ClientSession) giveUp(l *clientLink, why error) {
	s.hangup(l.conn)
	s.lost(l, why)
}

// moveOn dials the next broker.
func (s *ClientSession) moveOn(l *clientLink, why error) {
	_, wait := s.redial.failed()
	s.dialAgain(l, wait, why)
}

// dialAgain dials the broker whose turn it is after wait.
func (s *ClientSession) dialAgain(l *clientLink, wait time.Duration, why error) {
	s.trouble = why
	s.note(l, "no connection, dialling broker "+strconv.Itoa(s.redial.at)+" in "+wait.Round(time.Millisecond).String(), why)
	s.wheel.set(&s.redialing, s.now+wait)
}

// patience is how long the broker may be silent.
func (l *clientLink) patience() time.Duration {
	return time.Duration(l.liveness) * l.interval
}

// watch is l's timer: it gives up a dial that takes too long and a broker that was
// silent for too long, and sends the mmi.ping that is due.
func (s *ClientSession) watch(l *clientLink) {
	switch {
	case l.state == linkDialing:
		s.giveUp(l, fmt.Errorf("majordomo: no connection within %v", s.cfg.DialTimeout))
		return
	case l.state == linkProbing:
		s.giveUp(l, ErrNoPong)
		return
	case s.now-l.heard >= l.patience():
		s.giveUp(l, ErrBrokerSilent)
		return
	case s.now >= l.nextPing():
		s.ping(l)
	}
	s.beat(l)
}

// nextPing is when the broker has to be asked for a sign of life, and when it has
// to be given one, as it holds this side to liveness, too.
func (l *clientLink) nextPing() time.Duration {
	return max(min(l.heard, l.sent), l.pinged) + l.interval
}

// beat arms l's timer. Traffic moves on what it waits for without touching it: it
// looks again when it fires.
func (s *ClientSession) beat(l *clientLink) {
	s.wheel.set(&l.timer, min(l.nextPing(), l.heard+l.patience()))
}

var pingService = []byte(mdp.MMIPing)

func (s *ClientSession) ping(l *clientLink) {
	s.pings++
	l.pinged = s.now
	head := jsonrpc.RequestHead{ID: s.pings << s.slotBits & maxID, Method: mdp.MMIPing}
	s.sendOwn(l, pingService, jsonrpc.AppendRequest(s.arena.bytes(96), &head, nil))
}

// ponged takes the answer to mmi.ping.
func (s *ClientSession) ponged(l *clientLink, ev *ClientEvent) {
	env := &ev.Envelope
	if env.Kind != jsonrpc.Result {
		if l.state == linkProbing {
			s.unponged(l, ev)
		}
		return
	}
	var pong Pong
	if err := json.Unmarshal(env.Result, &pong); err != nil {
		s.giveUp(l, fmt.Errorf("majordomo: the answer to mmi.ping can't be read: %w", err))
		return
	}
	identity := brokerIdentity{pong.Broker, pong.Incarnation}
	if l.state != linkProbing && identity != l.identity {
		s.giveUp(l, errBrokerReplaced)
		return
	}
	l.identity = identity
	l.adopt(&pong)
	switch {
	case l.state == linkRetiring:
	case pong.Draining:
		s.retire(l)
	case l.state == linkProbing:
		s.redial.worked()
		s.serve(l)
	}
}

// Bounds of what a broker can ask of a client.
const (
	maxHeartbeat = time.Hour
	maxLiveness  = 1000
)

// adopt takes over what the broker wants of heartbeats.
func (l *clientLink) adopt(pong *Pong) {
	if pong.HeartbeatMS > 0 && pong.HeartbeatMS <= maxHeartbeat.Milliseconds() && pong.Liveness > 0 && pong.Liveness <= maxLiveness {
		l.interval, l.liveness = time.Duration(pong.HeartbeatMS)*time.Millisecond, pong.Liveness
	}
}

// unponged takes an answer to the first mmi.ping that isn't a pong.
func (s *ClientSession) unponged(l *clientLink, ev *ClientEvent) {
	status, digits := mdp.ParseStatus(ev.Command.Body[0])
	switch {
	case digits && status == mdp.StatusNotImplemented,
		ev.Envelope.Kind == jsonrpc.Failure && ev.Failure.Code == jsonrpc.CodeMethodNotFound:
		l.plain = true
		s.wheel.stop(&l.timer)
		s.note(l, "the broker doesn't know mmi.ping; it is served as plain MDP/0.2", nil)
		s.redial.worked()
		s.serve(l)
	case digits:
		s.giveUp(l, fmt.Errorf("majordomo: the broker answered mmi.ping with %d", status))
	case ev.Envelope.Kind == jsonrpc.Failure:
		s.giveUp(l, fmt.Errorf("majordomo: the broker refused mmi.ping: %s (%d)", ev.Failure.Text, ev.Failure.Code))
	default:
		s.giveUp(l, errNoAnswer)
	}
}

// sendOwn sends a management request of the session itself.
func (s *ClientSession) sendOwn(l *clientLink, service, body []byte) {
	c := mdp.Command{Version: mdp.V02, Kind: mdp.ClientRequest, Service: service, Body: append(s.arena.frames(1), body)}
	s.send(l, nil, &c)
}

func (s *ClientSession) send(l *clientLink, c *Call, cmd *mdp.Command) {
	l.sent = s.now
	s.act(ClientAction{Kind: ClientSend, Conn: l.conn, Call: c, Message: cmd.AppendTo(s.arena.frames(cmd.Len()))})
}
