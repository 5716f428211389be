package majordomo

import (
	"encoding/json"
	"fmt"
	"slices"
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
// the one that knows a call's key, whether it takes anything at all, whether it is
// connected by another endpoint already, and whether it is a plain one. To a broker
// that is configured as a plain one they are sent at once.
type clientLink struct {
	conn     uint64
	broker   *clientBroker
	state    linkState
	plain    bool
	copies   bool // the connection keeps nothing of small messages
	joins    bool // the connection takes a frame in pieces
	identity brokerIdentity
	interval time.Duration
	liveness int

	timer  timer
	due    time.Duration // what timer was set for
	spoke  bool          // the broker sent something
	heard  time.Duration
	sent   time.Duration
	pinged time.Duration
	since  time.Duration // linkServing: when it began to serve

	latency time.Duration // of replies, see measure
	rested  time.Duration // when its last reply came

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
	if s.last != nil && s.last.conn == conn {
		return s.last
	}
	for _, l := range s.links {
		if l.conn == conn {
			s.last = l
			return l
		}
	}
	return nil
}

// dial connects b.
func (s *ClientSession) dial(b *clientBroker) {
	s.wheel.stop(&b.timer)
	s.conns++
	l := &clientLink{
		conn: s.conns, broker: b, plain: s.cfg.Speak != SpeakMesh,
		interval: s.cfg.HeartbeatInterval, liveness: s.cfg.Liveness,
	}
	l.timer.kind, l.timer.owner = clientTimerLink, l
	b.link, b.twin = l, brokerIdentity{}
	if b.trouble == nil {
		b.trouble = errNotConnected
	}
	s.links = append(s.links, l)
	s.act(ClientAction{Kind: ClientDial, Conn: l.conn, Broker: b.number})
	s.arm(l, s.now+s.cfg.DialTimeout)
}

func (s *ClientSession) dialed(conn uint64, copies, joins bool) {
	l := s.link(conn)
	if l == nil {
		s.hangup(conn)
		return
	}
	if l.state != linkDialing {
		return
	}
	s.wheel.stop(&l.timer)
	l.copies, l.joins = copies, joins
	l.heard, l.sent = s.now, s.now
	if l.plain {
		s.serve(l)
		return
	}
	l.state = linkProbing
	s.ping(l)
	s.arm(l, s.now+l.patience())
}

// serve has l take calls, those first that wait.
func (s *ClientSession) serve(l *clientLink) {
	l.state, l.since = linkServing, s.now
	if l.broker.trouble == errNotConnected { //nolint:errorlint // the value itself: nothing went wrong yet
		l.broker.trouble = nil
	}
	l.broker.patience = l.patience()
	s.expectOf(l)
	s.serving = append(s.serving, l)
	if !l.plain {
		s.beat(l)
	}
	s.reunite(l)
	s.makeRoom()
	s.flush()
}

// reunite sends the calls whose key the broker at l knows, and ends those of which
// it is certain now that nobody can say what became of them.
func (s *ClientSession) reunite(l *clientLink) {
	for _, b := range s.brokers {
		for at := b.pinned.head; at != nil; {
			c := at.of
			at = at.next
			switch home := c.progress.home; {
			case home == l.identity:
				c.progress.main.place.unlink()
				s.transmit(l, c)
			case b == l.broker, home.broker == l.identity.broker:
				s.fail(c, homeless())
			}
		}
	}
}

// makeRoom retires a connection that discovery no longer asks for where more serve
// than there are places.
func (s *ClientSession) makeRoom() {
	if len(s.serving) <= s.cfg.MaxBrokers {
		return
	}
	for _, l := range s.serving {
		if !l.broker.placed {
			s.retire(l)
			s.rest(l.broker, 0, errNoPlace)
			s.checkRetired(l)
			return
		}
	}
}

// drain moves away from a broker that drains. It still sends the replies to the
// calls that it has (docs/protocol.md "Stopping"), but no outcome that it keeps.
func (s *ClientSession) drain(l *clientLink) {
	s.retire(l)
	for _, b := range s.brokers {
		for at := b.pinned.head; at != nil; {
			c := at.of
			at = at.next
			if c.progress.home == l.identity {
				s.fail(c, homeless())
			}
		}
	}
	s.failed(l.broker, ErrBrokerDraining)
	s.redialing(l, ErrBrokerDraining)
	s.checkRetired(l)
}

// retire has l take nothing more, and its broker have no connection.
func (s *ClientSession) retire(l *clientLink) {
	l.state = linkRetiring
	l.broker.link = nil
	s.unserve(l)
}

// checkRetired ends a retiring connection after its last call.
func (s *ClientSession) checkRetired(l *clientLink) {
	if l.state == linkRetiring && l.out.n == 0 {
		s.drop(l)
		s.hangup(l.conn)
	}
}

// unserve takes l out of those that take calls.
func (s *ClientSession) unserve(l *clientLink) {
	if i := slices.Index(s.serving, l); i >= 0 {
		s.serving = slices.Delete(s.serving, i, i+1)
		s.untwin(l.identity)
	}
}

// drop takes l out of the session's books.
func (s *ClientSession) drop(l *clientLink) {
	s.wheel.stop(&l.timer)
	l.state = linkOver
	if s.last == l {
		s.last = nil
	}
	if l.broker.link == l {
		l.broker.link = nil
	}
	if i := slices.Index(s.links, l); i >= 0 {
		s.links = slices.Delete(s.links, i, i+1)
	}
	s.unserve(l)
}

// lost deals with a connection that ended: with the calls that were out on it, and
// with its broker.
func (s *ClientSession) lost(l *clientLink, why error) {
	was := l.state
	s.drop(l)
	if was != linkDialing {
		s.counts.Lost++
	}
	for c := l.out.front(); c != nil; c = l.out.front() {
		s.orphan(l, c, why)
	}
	if was == linkRetiring {
		return // its broker is seen to already
	}
	s.failed(l.broker, why)
	s.redialing(l, why)
}

// redialing has the log told that there is no connection to l's broker.
func (s *ClientSession) redialing(l *clientLink, why error) {
	text := "no connection to the broker"
	if l.broker.timer.pending() {
		text += "; the next attempt is due in " + (l.broker.rests - s.now).Round(time.Millisecond).String()
	}
	s.note(l, text, why)
}

// giveUp ends a connection that is of no use any more.
func (s *ClientSession) giveUp(l *clientLink, why error) {
	s.hangup(l.conn)
	s.lost(l, why)
}

// shelve ends a connection to a broker that serves by another endpoint already. Who
// answers here is asked again when the other connection ends, or else now and then.
func (s *ClientSession) shelve(l *clientLink) {
	b := l.broker
	s.drop(l)
	s.hangup(l.conn)
	b.twin = l.identity
	s.rest(b, s.cfg.RedialMax, errSameBroker)
}

// patience is how long the broker may be silent.
func (l *clientLink) patience() time.Duration {
	return time.Duration(l.liveness) * l.interval
}

// watch is l's timer: it gives up a dial that takes too long and a broker that was
// silent for too long, and sends the mmi.ping that is due. If it fires much too late,
// this process was stopped, and what the broker said meanwhile may wait unread: it
// judges nobody before another interval has passed.
func (s *ClientSession) watch(l *clientLink) {
	switch {
	case s.now >= l.due+l.interval:
		if l.state == linkServing || l.state == linkRetiring {
			s.ping(l)
		}
		s.arm(l, s.now+l.interval)
		return
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

// arm sets l's timer.
func (s *ClientSession) arm(l *clientLink, at time.Duration) {
	l.due = at
	s.wheel.set(&l.timer, at)
}

// nextPing is when the broker has to be asked for a sign of life, and when it has
// to be given one, as it holds this side to liveness, too.
func (l *clientLink) nextPing() time.Duration {
	return max(min(l.heard, l.sent), l.pinged) + l.interval
}

// beat arms l's timer. Traffic moves on what it waits for without touching it: it
// looks again when it fires.
func (s *ClientSession) beat(l *clientLink) {
	s.arm(l, min(l.nextPing(), l.heard+l.patience()))
}

var pingService = []byte(mdp.MMIPing)

func (s *ClientSession) ping(l *clientLink) {
	s.pings++
	l.pinged = s.now
	head := jsonrpc.RequestHead{ID: s.pings << s.slotBits & maxID, Method: mdp.MMIPing}
	var params []byte
	if l.state == linkProbing { // the first on this connection
		params = s.cfg.Presence
	}
	s.sendOwn(l, pingService, jsonrpc.AppendRequest(s.arena.bytes(96+len(params)), &head, params))
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
		s.drain(l)
	case l.state != linkProbing:
	case identity.known() && s.servingAs(identity) != nil:
		s.shelve(l)
	default:
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
	c := mdp.Command{Version: mdp.V02, Kind: mdp.ClientRequest, Service: service, Body: append(s.memory(l).frames(1), body)}
	s.send(l, nil, &c, 0)
}

func (s *ClientSession) send(l *clientLink, c *Call, cmd *mdp.Command, joined int) {
	l.sent = s.now
	s.act(ClientAction{Kind: ClientSend, Conn: l.conn, Call: c, Message: cmd.AppendTo(s.memory(l).frames(cmd.Len())), Joined: joined})
}

// memory is what messages to l are made in.
func (s *ClientSession) memory(l *clientLink) *arena {
	if l.copies {
		return &s.reused
	}
	return &s.arena
}
