package majordomo

import (
	"fmt"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// message takes what the broker at l sent.
func (s *ClientSession) message(l *clientLink, ev *ClientEvent) {
	if ev.Err != nil {
		s.invalid(l, ev.Err)
		return
	}
	l.heard, l.spoke = s.now, true
	if l.state == linkServing {
		l.broker.redial.lived(s.now-l.since, l.patience())
	}
	if string(ev.Command.Service) == mdp.MMIPing && s.own(l, ev) {
		s.ponged(l, ev)
		return
	}
	c := s.asker(l, ev)
	if c == nil {
		if !acknowledges(ev) {
			s.counts.Late++
		}
		return
	}
	leg := c.leg(l)
	took := s.now - leg.at
	if ev.Failure.refusal() {
		took = max(took, latencyRefused)
	}
	l.replied(leg, took, s.now)
	if ev.Command.Kind == mdp.ClientPartial {
		s.part(c, ev)
		return
	}
	s.final(l, c, ev)
}

// invalid drops a message, and has the log told at most once a second.
func (s *ClientSession) invalid(l *clientLink, err error) {
	s.counts.Invalid++
	if s.counts.Invalid > 1 && s.now < s.noteAfter {
		return
	}
	s.noteAfter = s.now + time.Second
	s.note(l, "invalid message dropped", err)
}

// own says whether an answer to mmi.ping is one to the session itself. The first
// ping is the only request that is out, so that a plain broker's answer, which has
// no id, is one to it.
func (s *ClientSession) own(l *clientLink, ev *ClientEvent) bool {
	if l.state == linkProbing {
		return true
	}
	id, ok := parseCallID(ev.Envelope.ID)
	return ok && id&(1<<s.slotBits-1) == 0
}

// asker returns the call that the reply is for, or nil where there is none: it was
// given up, or never was. Replies are known by id, never by their order.
func (s *ClientSession) asker(l *clientLink, ev *ClientEvent) *Call {
	if s.cfg.Opaque {
		if c := l.out.front(); c != nil && string(c.Service) == string(ev.Command.Service) {
			return c
		}
		return nil
	}
	id, ok := parseCallID(ev.Envelope.ID)
	if !ok {
		return nil
	}
	at := id & (1<<s.slotBits - 1)
	if at >= uint64(len(s.slots)) {
		return nil
	}
	c := s.slots[at].call
	if c == nil {
		return nil
	}
	if leg := c.leg(l); leg == nil || leg.id != id {
		return nil
	}
	return c
}

// parseCallID reads an id as this side writes them.
func parseCallID(raw []byte) (id uint64, ok bool) {
	if len(raw) == 0 || len(raw) > len("9007199254740991") {
		return 0, false
	}
	for _, digit := range raw {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		id = id*10 + uint64(digit-'0')
	}
	return id, true
}

// acknowledges says whether the message is the one empty frame that follows a
// notification (docs/protocol.md "Bodies").
func acknowledges(ev *ClientEvent) bool {
	c := &ev.Command
	return c.Kind == mdp.ClientFinal && len(c.Body) == 1 && len(c.Body[0]) == 0
}

// part takes a PARTIAL.
func (s *ClientSession) part(c *Call, ev *ClientEvent) {
	c.progress.parted = true
	switch {
	case c.Window <= 0:
		// Whoever asked for one value gets that of the FINAL.
	case s.cfg.Opaque:
		size := 0
		for _, frame := range ev.Command.Body {
			size += len(frame)
		}
		s.give(c, size, ClientAction{Body: ev.Command.Body})
	case ev.Envelope.Kind == jsonrpc.Result:
		s.give(c, len(ev.Envelope.Result), ClientAction{Result: ev.Envelope.Result, Body: ev.Command.Body})
	default:
		s.invalid(c.progress.main.link, errPartNoResult)
	}
}

// partOverhead is about what a part that nobody has read takes beside its result: the
// rest of the message, and room in lists.
const partOverhead = 128

// give gives out a part of c. What its window allows may always be unread. Where the
// broker or the worker takes no notice of that, as plain ones don't, parts are kept up
// to MaxUnreadBytes; c ends beyond that, so that no stream can fill the memory.
func (s *ClientSession) give(c *Call, size int, a ClientAction) {
	p := &c.progress
	p.unread++
	p.kept += int64(size + partOverhead)
	if p.unread > c.Window && p.kept > s.cfg.MaxUnreadBytes {
		s.forsake(c, &Failure{
			Code: jsonrpc.CodeTooLarge, HandedOver: HandedYes, Local: true,
			Text: fmt.Sprintf("%d parts of the reply weren't read when one more came: more than %d bytes (MaxUnreadBytes)", p.unread-1, s.cfg.MaxUnreadBytes),
		})
		return
	}
	a.Kind, a.Call = ClientPart, c
	s.act(a)
}

// final takes the last word on c.
func (s *ClientSession) final(l *clientLink, c *Call, ev *ClientEvent) {
	body := ev.Command.Body
	if s.cfg.Opaque {
		s.finish(c, ClientAction{Body: body})
		return
	}
	if len(body) > 1 && c.Window > 0 {
		s.parts(c, body[:len(body)-1])
		body = body[len(body)-1:]
	}
	switch ev.Envelope.Kind {
	case jsonrpc.Result:
		s.settle(l, c, ClientAction{Result: ev.Envelope.Result, Body: body})
	case jsonrpc.Failure:
		f := ev.Failure // the event is used again
		s.refused(l, c, &f)
	default:
		s.settle(l, c, ClientAction{Failure: &Failure{
			Code: jsonrpc.CodeInternal, Text: "the reply is neither a result nor an error", HandedOver: HandedYes, Local: true,
		}})
	}
}

// settle ends c with what came of it at l. A second broker that has it needn't reply
// any more.
func (s *ClientSession) settle(l *clientLink, c *Call, a ClientAction) {
	if c.progress.hedge != nil {
		s.cancel(c, c.leg(l))
	}
	s.finish(c, a)
}

// parts gives out the parts of a stream that a broker of MDP/0.1 put before the
// last frame (docs/protocol.md "Versions and peers").
func (s *ClientSession) parts(c *Call, frames [][]byte) {
	for i := range frames {
		var env jsonrpc.Envelope
		jsonrpc.Scan(frames[i], &env)
		if env.Kind == jsonrpc.Result {
			c.progress.parted = true
			s.act(ClientAction{Kind: ClientPart, Call: c, Result: env.Result, Body: frames[i : i+1 : i+1]})
		}
	}
}
