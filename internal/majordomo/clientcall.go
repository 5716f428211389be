package majordomo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

type callState uint8

const (
	callIdle    callState = iota // in no list: not the session's, or just changing its state
	callWaiting                  // for a connection
	callPinned                   // for a connection to the run of the broker that knows its key
	callOut                      // sent; its reply is due
	callBacking                  // waits before it is sent again
)

// callProgress is the session's part of a Call.
type callProgress struct {
	state    callState
	parted   bool // a part of its stream came
	moved    bool // it was sent again for free
	hedged   bool // a second broker was asked, or not, when its time had come
	sends    int
	reached  int // sends after which nobody knows whether a worker had it
	read     int // parts that the broker wasn't yet told of
	unread   int // parts that were given out and not read
	size     int
	kept     int64         // about what unread takes, in bytes
	deadline time.Duration // 0: none
	hedgeAt  time.Duration // callOut: when a second broker is asked; 0: never
	until    time.Duration // callPinned: how long it waits

	main  callLeg
	hedge *callLeg // callOut: the same request at a second broker

	home     brokerIdentity // the only run of a broker that may be asked again
	homeAt   *clientBroker  // by which endpoint it was asked
	refusers []*clientLink  // that had no worker or room for it
	timer    timer
}

// callLeg is a request at a broker. A call that is out has one, or two where it is
// hedged.
type callLeg struct {
	id    uint64
	link  *clientLink // nil: it isn't out
	at    time.Duration
	timed bool       // its link knows how long it took
	place node[Call] // of the main one also in the lists of calls that wait
}

// leg returns c's request that is out on l, or nil.
func (c *Call) leg(l *clientLink) *callLeg {
	p := &c.progress
	switch {
	case p.main.link == l:
		return &p.main
	case p.hedge != nil && p.hedge.link == l:
		return p.hedge
	}
	return nil
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
	s.arrange(c)
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
	case c.Hedge > 0 && !c.mayHedge():
		wrong = "only an idempotent call without key that is no notification and no stream can be hedged"
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
	p := &c.progress
	if p.home.known() {
		if l := s.servingAs(p.home); l != nil {
			s.transmit(l, c)
			return
		}
		s.pin(c)
		return
	}
	if l := s.choose(c); l != nil {
		s.transmit(l, c)
		return
	}
	p.state = callWaiting
	s.waiting.pushBack(&p.main.place, c)
}

// pin keeps c until the run of its broker that knows its key is connected again.
func (s *ClientSession) pin(c *Call) {
	p := &c.progress
	if s.known[p.homeAt.number] != p.homeAt {
		s.fail(c, homeless())
		return
	}
	p.state, p.until = callPinned, s.now+p.homeAt.patience
	p.homeAt.pinned.pushBack(&p.main.place, c)
	s.arrange(c)
}

// homeless is why a call fails that only one run of a broker could be asked for.
func homeless() *Failure {
	return &Failure{
		Code: jsonrpc.CodeOutcomeUnknown, Text: "the run of the broker that had the call, and knows its key, can't be asked any more",
		HandedOver: HandedMaybe, Local: true,
	}
}

// flush sends what waits for any connection.
func (s *ClientSession) flush() {
	for c := s.waiting.front(); c != nil; c = s.waiting.front() {
		l := s.choose(c)
		if l == nil {
			return
		}
		c.progress.main.place.unlink()
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
	if l.plain && !s.cfg.Opaque && mdp.Reserved(c.Service) {
		// It would take the envelope for its own kind of body.
		if l = s.knowing(); l == nil {
			s.fail(c, &Failure{
				Code: jsonrpc.CodeMethodNotFound, Text: "the broker speaks plain MDP and takes no JSON-RPC for " + quoted(string(c.Service)),
				HandedOver: HandedNo, Local: true,
			})
			return
		}
	}
	p.state, p.read, p.until = callOut, 0, 0
	s.dispatch(l, c, &p.main)
	if c.Hedge > 0 && !p.hedged {
		p.hedgeAt = s.now + c.Hedge
		s.arrange(c)
	} else if p.home.known() {
		s.arrange(c) // it may have been pinned
	}
}

// dispatch sends c on l as leg.
func (s *ClientSession) dispatch(l *clientLink, c *Call, leg *callLeg) {
	p := &c.progress
	body, joined := c.Body, 0
	if !s.cfg.Opaque {
		if !c.Notify {
			s.assign(c, leg)
		}
		head := s.head(l, c, leg)
		if l.joins && len(c.Params) >= JoinFrom {
			body, joined = s.pieces(l, c, &head)
		} else {
			body = append(s.memory(l).frames(1), s.envelope(l, c, &head))
		}
	}
	if p.sends == 0 {
		s.earnRetries()
	} else {
		s.counts.Retries++
	}
	s.counts.Sent++
	p.sends++
	s.send(l, c, &mdp.Command{Version: s.cfg.Speak.version(), Kind: mdp.ClientRequest, Service: c.Service, Body: body}, joined)
	leg.link, leg.at, leg.timed = l, s.now, false
	l.out.pushBack(&leg.place, c)
}

// assign gives a request of c an id that no other has, so that a late reply to an
// earlier one is known for what it is.
func (s *ClientSession) assign(c *Call, leg *callLeg) {
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
	leg.id = (sl.generation<<s.slotBits | uint64(at)) & maxID
}

// head returns what c's request says to the broker at l besides its params.
func (s *ClientSession) head(l *clientLink, c *Call, leg *callLeg) jsonrpc.RequestHead {
	p := &c.progress
	attempt := 1 + p.reached
	if leg == p.hedge {
		attempt++
	}
	head := jsonrpc.RequestHead{
		ID: leg.id, Notify: c.Notify, Method: c.Method, Key: c.Key, Attempt: attempt,
		TraceParent: c.TraceParent, TraceState: c.TraceState, Caller: c.Caller, Strings: c.Strings,
	}
	if p.deadline > 0 {
		head.TimeoutMS = int64((p.deadline - s.now + time.Millisecond - 1) / time.Millisecond)
	}
	if !l.plain {
		head.Window = c.Window // nobody can be given credit through a plain broker
	}
	return head
}

// pieces returns c's request in the pieces of one frame, with its params where they are,
// and how many they are.
func (s *ClientSession) pieces(l *clientLink, c *Call, head *jsonrpc.RequestHead) ([][]byte, int) {
	memory := s.memory(l)
	pieces := Pieces(jsonrpc.AppendRequestHead(memory.bytes(c.progress.size-len(c.Params)), head), c.Params)
	return append(memory.frames(len(pieces)), pieces[:]...), len(pieces)
}

// envelope writes c's request for the broker at l.
func (s *ClientSession) envelope(l *clientLink, c *Call, head *jsonrpc.RequestHead) []byte {
	size := c.progress.size
	if l.copies {
		return jsonrpc.AppendRequest(s.reused.bytes(size), head, c.Params)
	}
	if size > maxScratch {
		return jsonrpc.AppendRequest(make([]byte, 0, size), head, c.Params)
	}
	s.scratch = jsonrpc.AppendRequest(s.scratch[:0], head, c.Params)
	return bytes.Clone(s.scratch) // as small as can be: size is what it has at most
}

// maxScratch is how large an envelope is that is written once more for its size.
const maxScratch = 4 << 10

// takeBack takes c out of the list that it is in, and from the connections that it
// is out on.
func (s *ClientSession) takeBack(c *Call) {
	p := &c.progress
	p.state, p.hedgeAt = callIdle, 0
	if h := p.hedge; h != nil {
		p.hedge = nil
		s.release(c, h)
	}
	if p.main.link == nil {
		p.main.place.unlink()
		return
	}
	s.release(c, &p.main)
}

// release takes a request of c from the connection that it is out on.
func (s *ClientSession) release(c *Call, leg *callLeg) {
	l := leg.link
	leg.place.unlink()
	leg.link = nil
	if !s.cfg.Opaque && !c.Notify {
		at := uint32(leg.id & (1<<s.slotBits - 1))
		s.slots[at].call = nil
		s.unused = append(s.unused, at)
	}
	s.checkRetired(l)
}

// finish ends c with what a says of it.
func (s *ClientSession) finish(c *Call, a ClientAction) {
	p := &c.progress
	l := p.main.link
	a.Kind, a.Call = ClientDone, c
	s.act(a)
	s.takeBack(c)
	s.wheel.stop(&p.timer)
	s.pending--
	s.pendingBytes -= int64(p.size)
	*p = callProgress{}
	if s.cfg.Opaque && l != nil && l.state == linkServing {
		s.flush()
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

// arrange sets c's timer to what is due first: its deadline, or before that a second
// request, or the end of its wait for the broker that knows its key.
func (s *ClientSession) arrange(c *Call) {
	p := &c.progress
	at := p.deadline
	for _, other := range [...]time.Duration{p.hedgeAt, p.until} {
		if other > 0 && (at == 0 || other < at) {
			at = other
		}
	}
	if at > 0 {
		s.wheel.set(&p.timer, at)
	} else {
		s.wheel.stop(&p.timer)
	}
}

// callFired does what c's timer was for.
func (s *ClientSession) callFired(c *Call) {
	p := &c.progress
	switch {
	case p.state == callBacking:
		p.main.place.unlink()
		s.arrange(c)
		s.submit(c)
		return
	case p.deadline > 0 && s.now >= p.deadline:
		s.expire(c)
		return
	case p.state == callPinned && s.now >= p.until:
		s.fail(c, homeless())
		return
	case p.hedgeAt > 0 && s.now >= p.hedgeAt:
		s.hedge(c)
	}
	s.arrange(c)
}

// expire ends c because its time is over.
func (s *ClientSession) expire(c *Call) {
	f := &Failure{Code: jsonrpc.CodeExpired, Text: "the call's time was over before the reply came", HandedOver: c.handed(), Local: true}
	if c.progress.state != callOut {
		f.Text, f.Cause = "the call's time was over before it could be sent", s.nobody()
		if f.Cause != nil {
			f.Text += ": " + f.Cause.Error()
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
	l := c.progress.main.link
	if l == nil || !s.cfg.Opaque {
		s.cancel(c, nil)
		s.fail(c, f)
		return
	}
	// The reply to an opaque call can't be told from that to the next one, but by
	// the connection that it comes on.
	was := l.state
	s.drop(l)
	s.hangup(l.conn)
	s.fail(c, f)
	switch b := l.broker; {
	case was != linkServing:
	case l.plain && !l.spoke && f.Code == jsonrpc.CodeExpired:
		s.failed(b, ErrBrokerSilent) // there is no other sign that a plain broker is dead
		s.redialing(l, ErrBrokerSilent)
	case b.placed:
		s.dial(b)
	default:
		s.rest(b, 0, errNoPlace)
	}
}

// cancel tells the brokers that have c, but for that of one leg, that nobody waits
// for their reply any more.
func (s *ClientSession) cancel(c *Call, but *callLeg) {
	for _, leg := range [...]*callLeg{&c.progress.main, c.progress.hedge} {
		if leg == nil || leg == but || leg.link == nil {
			continue
		}
		leg.link.gaveUp(leg, s.now)
		if !leg.link.plain && !s.cfg.Opaque {
			s.sendOwn(leg.link, cancelService, s.management(mdp.MMICancel, leg.id, 0))
		}
	}
}

// credit takes that n more parts of c were read, whose results have size bytes in all, and
// tells the broker (docs/protocol.md "Streams").
func (s *ClientSession) credit(c *Call, n, size int) {
	p := &c.progress
	if p.state != callOut || c.Window <= 0 || n <= 0 {
		return
	}
	p.unread = max(p.unread-n, 0)
	p.kept = max(p.kept-int64(size+n*partOverhead), 0)
	if p.main.link.plain || s.cfg.Opaque {
		return
	}
	p.read += n
	if p.read >= c.Window/2 {
		s.sendOwn(p.main.link, creditService, s.management(mdp.MMICredit, p.main.id, p.read))
		p.read = 0
	}
}

// sent ends a notification: nothing comes back (docs/protocol.md "Bodies").
func (s *ClientSession) sent(ev *ClientEvent) {
	if c := ev.Call; c.Notify && c.progress.state == callOut {
		s.finish(c, ClientAction{})
	}
}

// unsent ends c because its request, which its connection didn't take, never left.
// Where the connection has ended, it takes nothing more, and c is sent on another.
func (s *ClientSession) unsent(ev *ClientEvent) {
	l := s.link(ev.Conn)
	if l == nil {
		return
	}
	c := ev.Call
	if c == nil {
		s.ownUnsent(l, ev)
		return
	}
	p := &c.progress
	if p.state != callOut {
		return
	}
	leg := c.leg(l)
	if leg == nil {
		return
	}
	ended := ev.Failure.Code == 0
	served := l.state == linkServing
	if ended && served {
		s.retire(l)
	}
	p.sends--
	switch {
	case p.hedge != nil:
		s.dropLeg(c, leg)
	case ended:
		s.takeBack(c)
		s.submit(c)
	default:
		f := ev.Failure
		f.Local = true
		f.HandedOver = HandedNo
		if p.reached > 0 {
			f.HandedOver = HandedMaybe
		}
		s.fail(c, &f)
	}
	if ended && served {
		s.failed(l.broker, ev.Err)
		s.redialing(l, ev.Err)
	}
}

// ownUnsent ends a connection that didn't take a message of the session's own. What
// the broker was to be told, it never hears: without a credit a stream stands still
// for ever, without a cancel a handler runs on that nobody waits for. The end of the
// connection tells it both.
func (s *ClientSession) ownUnsent(l *clientLink, ev *ClientEvent) {
	if ev.Failure.Code == 0 {
		return // it has ended, and ClientLost follows
	}
	s.giveUp(l, fmt.Errorf("majordomo: the connection didn't take a message of the client's own: %w", cmp.Or(ev.Failure.Cause, errUnexplained)))
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
