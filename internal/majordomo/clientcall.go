package majordomo

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

type callState uint8

const (
	callIdle    callState = iota // in no list: not the session's, or just changing its state
	callWaiting                  // for a connection
	callOut                      // sent; its reply is due
	callBacking                  // waits before it is sent again
)

// callProgress is the session's part of a Call.
type callProgress struct {
	state    callState
	parted   bool // a part of its stream came
	moved    bool // it was sent again for free
	sends    int
	reached  int // sends after which nobody knows whether a worker had it
	read     int // parts that the broker wasn't yet told of
	size     int
	id       uint64
	deadline time.Duration // 0: none
	link     *clientLink   // callOut
	home     brokerIdentity
	place    node[Call]
	timer    timer
}

// maxID bounds the ids of requests: any JSON peer reads and writes numbers below
// 2^53 exactly.
const maxID = 1<<53 - 1

// accept takes a call.
func (s *ClientSession) accept(c *Call) {
	p := &c.progress
	if p.state != callIdle {
		return // it is on its way
	}
	if f := s.unacceptable(c); f != nil {
		*p = callProgress{}
		s.act(ClientAction{Kind: ClientDone, Call: c, Failure: f})
		return
	}
	p.timer.kind, p.timer.owner = clientTimerCall, c
	s.pending++
	s.pendingBytes += int64(p.size)
	s.armDeadline(p)
	s.submit(c)
}

// unacceptable says why c isn't taken, or returns nil.
func (s *ClientSession) unacceptable(c *Call) *Failure {
	p := &c.progress
	wrong := ""
	switch {
	case s.closed:
		return closedFailure(c)
	case len(c.Service) == 0 || len(c.Service) > mdp.MaxService:
		wrong = "the service's name must have 1 to 255 bytes"
	case s.cfg.Opaque && (len(c.Body) == 0 || c.Method != ""):
		wrong = "an opaque call has a body of at least one frame and no method"
	case s.cfg.Opaque && (c.Notify || c.Key != ""):
		wrong = "an opaque call can be neither a notification nor keyed"
	case !s.cfg.Opaque && (c.Method == "" || c.Body != nil):
		wrong = "a call has a method and no body"
	}
	if wrong != "" {
		return &Failure{Code: jsonrpc.CodeInvalidRequest, Text: wrong, HandedOver: HandedNo, Local: true}
	}
	p.deadline = 0
	if !c.Deadline.IsZero() {
		p.deadline = c.Deadline.Sub(s.start)
		if p.deadline <= s.now {
			return &Failure{Code: jsonrpc.CodeExpired, Text: "the call's time was over when it was made", HandedOver: HandedNo, Local: true}
		}
	}
	p.size = c.length()
	if s.pending >= s.cfg.MaxPending || s.pendingBytes+int64(p.size) > s.cfg.MaxPendingBytes {
		return &Failure{Code: jsonrpc.CodeOverloaded, Text: "the client has too many calls that aren't done", HandedOver: HandedNo, Local: true}
	}
	return nil
}

// length is about how long c's request is: the length of its body, where nothing
// needs an escape.
func (c *Call) length() int {
	const punctuation = 160 // the fixed text of an envelope and its numbers
	n := punctuation + len(c.Method) + len(c.Params) + len(c.Key) + len(c.TraceParent) + len(c.TraceState) + len(c.Caller)
	for name, value := range c.Strings {
		n += len(name) + len(value) + len(`"":"",`)
	}
	for _, frame := range c.Body {
		n += len(frame)
	}
	return n
}

// submit sends c if it can be sent, and keeps it until then otherwise. It is in no
// list.
func (s *ClientSession) submit(c *Call) {
	p, l := &c.progress, s.current
	serving := l != nil && l.state == linkServing
	switch {
	case p.home.known() && serving && l.identity != p.home:
		s.fail(c, &Failure{
			Code: jsonrpc.CodeOutcomeUnknown, Text: "the run of the broker that had the call, and knows its key, can't be asked any more",
			HandedOver: HandedMaybe, Local: true,
		})
	case p.home.known() && !serving:
		p.state = callWaiting
		s.pinned.pushBack(&p.place, c)
	case !serving || s.cfg.Opaque && l.out.n > 0:
		p.state = callWaiting
		s.waiting.pushBack(&p.place, c)
	default:
		s.transmit(l, c)
	}
}

// flush sends on l what waits for it.
func (s *ClientSession) flush(l *clientLink) {
	for c := s.waiting.front(); c != nil && !(s.cfg.Opaque && l.out.n > 0); c = s.waiting.front() {
		c.progress.place.unlink()
		s.transmit(l, c)
	}
}

// transmit sends c, which is in no list, on l.
func (s *ClientSession) transmit(l *clientLink, c *Call) {
	p := &c.progress
	if p.deadline > 0 && s.now >= p.deadline {
		s.expire(c)
		return
	}
	body := c.Body
	if !s.cfg.Opaque {
		if l.plain && mdp.Reserved(c.Service) {
			// It would take the envelope for its own kind of body.
			s.fail(c, &Failure{
				Code: jsonrpc.CodeMethodNotFound, Text: "the broker speaks plain MDP and takes no JSON-RPC for " + quoted(string(c.Service)),
				HandedOver: HandedNo, Local: true,
			})
			return
		}
		if !c.Notify {
			s.assign(c)
		}
		body = append(s.arena.frames(1), s.envelope(l, c))
	}
	if p.sends == 0 {
		s.earnRetries()
	} else {
		s.counts.Retries++
	}
	s.counts.Sent++
	p.sends++
	s.send(l, c, &mdp.Command{Version: s.cfg.Speak.version(), Kind: mdp.ClientRequest, Service: c.Service, Body: body})
	p.state, p.link, p.read = callOut, l, 0
	l.out.pushBack(&p.place, c)
}

// assign gives c an id that no other call has. Each request has one of its own, so
// that a late reply to an earlier one is known for what it is.
func (s *ClientSession) assign(c *Call) {
	var at uint32
	if n := len(s.unused); n > 0 {
		at, s.unused = s.unused[n-1], s.unused[:n-1]
	} else {
		at = uint32(len(s.slots))
		s.slots = append(s.slots, clientSlot{})
	}
	sl := &s.slots[at]
	sl.call = c
	sl.generation++
	c.progress.id = (sl.generation<<s.slotBits | uint64(at)) & maxID
}

// envelope writes c's request for the broker at l.
func (s *ClientSession) envelope(l *clientLink, c *Call) []byte {
	p := &c.progress
	head := jsonrpc.RequestHead{
		ID: p.id, Notify: c.Notify, Method: c.Method, Key: c.Key, Attempt: 1 + p.reached,
		TraceParent: c.TraceParent, TraceState: c.TraceState, Caller: c.Caller, Strings: c.Strings,
	}
	if p.deadline > 0 {
		head.TimeoutMS = int64((p.deadline - s.now + time.Millisecond - 1) / time.Millisecond)
	}
	if !l.plain {
		head.Window = c.Window // nobody can be given credit through a plain broker
	}
	if p.size > maxScratch {
		return jsonrpc.AppendRequest(make([]byte, 0, p.size), &head, c.Params)
	}
	s.scratch = jsonrpc.AppendRequest(s.scratch[:0], &head, c.Params)
	return bytes.Clone(s.scratch) // as small as can be: size is what it has at most
}

// maxScratch is how large an envelope is that is written once more for its size.
const maxScratch = 4 << 10

// takeBack takes c out of the list that it is in, and from the connection that it
// is out on.
func (s *ClientSession) takeBack(c *Call) {
	p := &c.progress
	p.place.unlink()
	p.state = callIdle
	l := p.link
	if l == nil {
		return
	}
	p.link = nil
	if !s.cfg.Opaque && !c.Notify {
		at := uint32(p.id & (1<<s.slotBits - 1))
		s.slots[at].call = nil
		s.unused = append(s.unused, at)
	}
	s.checkRetired(l)
}

// finish ends c with what a says of it.
func (s *ClientSession) finish(c *Call, a ClientAction) {
	p := &c.progress
	l := p.link
	a.Kind, a.Call = ClientDone, c
	s.act(a)
	s.takeBack(c)
	s.wheel.stop(&p.timer)
	s.pending--
	s.pendingBytes -= int64(p.size)
	*p = callProgress{}
	if s.cfg.Opaque && l != nil && l.state == linkServing {
		s.flush(l)
	}
}

func (s *ClientSession) fail(c *Call, f *Failure) { s.finish(c, ClientAction{Failure: f}) }

// handed is what this side knows of whether a worker had c.
func (c *Call) handed() HandedOver {
	if c.progress.state == callOut || c.progress.reached > 0 {
		return HandedMaybe
	}
	return HandedNo
}

func closedFailure(c *Call) *Failure {
	return &Failure{Code: jsonrpc.CodeCancelled, Text: "the client was closed", HandedOver: c.handed(), Local: true, Cause: ErrClientClosed}
}

// armDeadline makes the call's timer that of its deadline.
func (s *ClientSession) armDeadline(p *callProgress) {
	if p.deadline > 0 {
		s.wheel.set(&p.timer, p.deadline)
	}
}

// callFired does what c's timer was for: the end of its backoff, or its deadline.
func (s *ClientSession) callFired(c *Call) {
	p := &c.progress
	if p.state != callBacking {
		s.expire(c)
		return
	}
	p.place.unlink()
	s.armDeadline(p)
	s.submit(c)
}

// expire ends c because its time is over.
func (s *ClientSession) expire(c *Call) {
	f := &Failure{Code: jsonrpc.CodeExpired, Text: "the call's time was over before the reply came", HandedOver: c.handed(), Local: true}
	if c.progress.state != callOut {
		f.Text, f.Cause = "the call's time was over before it could be sent", s.trouble
		if s.trouble != nil {
			f.Text += ": " + s.trouble.Error()
		}
	}
	s.forsake(c, f)
}

// abort ends c because nobody waits for it any more.
func (s *ClientSession) abort(c *Call, why error) {
	if c.progress.state == callIdle {
		return // it was done before
	}
	var timeout interface{ Timeout() bool }
	if errors.As(why, &timeout) && timeout.Timeout() {
		s.expire(c)
		return
	}
	s.forsake(c, &Failure{Code: jsonrpc.CodeCancelled, Text: "the call was cancelled", HandedOver: c.handed(), Local: true, Cause: why})
}

// forsake ends c for this side and tells the broker, if it has c, that nobody waits
// for the reply any more.
func (s *ClientSession) forsake(c *Call, f *Failure) {
	l := c.progress.link
	if l != nil && !l.plain && !s.cfg.Opaque {
		s.sendOwn(l, cancelService, s.management(mdp.MMICancel, c.progress.id, 0))
	}
	if l == nil || !s.cfg.Opaque {
		s.fail(c, f)
		return
	}
	// The reply to an opaque call can't be told from that to the next one, but by
	// the connection that it comes on.
	was := l.state
	s.drop(l)
	s.hangup(l.conn)
	s.fail(c, f)
	switch {
	case was != linkServing:
	case l.plain && !l.spoke && f.Code == jsonrpc.CodeExpired:
		s.moveOn(l, ErrBrokerSilent) // there is no other sign that a plain broker is dead
	default:
		s.dial()
	}
}

// credit tells the broker that n more parts of c were read (docs/protocol.md
// "Streams").
func (s *ClientSession) credit(c *Call, n int) {
	p := &c.progress
	if p.state != callOut || p.link.plain || s.cfg.Opaque || c.Window <= 0 || n <= 0 {
		return
	}
	p.read += n
	if p.read >= c.Window/2 {
		s.sendOwn(p.link, creditService, s.management(mdp.MMICredit, p.id, p.read))
		p.read = 0
	}
}

// sent ends a notification: nothing comes back (docs/protocol.md "Bodies").
func (s *ClientSession) sent(ev *ClientEvent) {
	if c := ev.Call; c.Notify && c.progress.state == callOut {
		s.finish(c, ClientAction{})
	}
}

// unsent ends c because its request, which its connection didn't take, never left;
// or where the connection has ended, has it wait for the next one.
func (s *ClientSession) unsent(ev *ClientEvent) {
	c := ev.Call
	p := &c.progress
	if p.state != callOut || p.link.conn != ev.Conn {
		return
	}
	if ev.Failure.Code == 0 {
		s.takeBack(c)
		p.sends--
		p.state = callWaiting
		if p.home.known() {
			s.pinned.pushBack(&p.place, c)
		} else {
			s.waiting.pushBack(&p.place, c)
		}
		return
	}
	f := ev.Failure
	f.Local = true
	f.HandedOver = HandedNo
	if c.progress.reached > 0 {
		f.HandedOver = HandedMaybe
	}
	s.fail(c, &f)
}

var (
	cancelService = []byte(mdp.MMICancel)
	creditService = []byte(mdp.MMICredit)
)

// management writes a notification about the request with that id, and of n unless
// it is 0.
func (s *ClientSession) management(method string, id uint64, n int) []byte {
	body := append(s.arena.bytes(112), `{"jsonrpc":"2.0","method":"`...)
	body = append(body, method...)
	body = append(body, `","params":{"id":`...)
	body = strconv.AppendUint(body, id, 10)
	if n > 0 {
		body = append(body, `,"n":`...)
		body = strconv.AppendInt(body, int64(n), 10)
	}
	return append(body, '}', '}')
}
