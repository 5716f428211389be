package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// longestRetryAfter is how long a broker may put a call off before it fails
// instead.
const longestRetryAfter = time.Hour

// refused deals with a failure that the broker or the worker said: the call is made
// again where it is sure that no worker had it, and worth it (docs/protocol.md
// "Repeats").
func (s *ClientSession) refused(l *clientLink, c *Call, f *Failure) {
	p := &c.progress
	untouched := f.HandedOver == HandedNo
	if untouched && f.Code == jsonrpc.CodeDraining && l.state == linkServing {
		s.drain(l)
	}
	switch {
	case p.hedge != nil && ofBroker(f.Code): // the other broker may know better
		if !untouched {
			p.reached++
		}
		s.dropLeg(c, c.leg(l))
	case untouched && f.Code == jsonrpc.CodeDraining && p.home.known():
		s.fail(c, homeless()) // it doesn't know the key, and won't
	case untouched && f.Code == jsonrpc.CodeDraining && s.mayRepeat(c) && s.mayMove(c):
		s.takeBack(c)
		s.submit(c)
	case f.refusal() && s.elsewhere(l, c):
		s.takeBack(c)
		s.submit(c)
	case f.refusal() && (f.Code != jsonrpc.CodeNoService || s.connecting()) && s.later(c, f):
	default:
		if untouched && p.reached > 0 {
			f.HandedOver = HandedMaybe // this broker knows nothing of what became of it elsewhere before
		}
		s.settle(l, c, ClientAction{Failure: f})
	}
}

// ofBroker says whether a broker says that code of its own accord.
func ofBroker(code int) bool { return code <= jsonrpc.CodeNoService && code >= jsonrpc.CodeDropped }

// refusal says that the broker had no worker or no room for a request: another one,
// or the same later, may have.
func (f *Failure) refusal() bool {
	switch f.Code {
	case jsonrpc.CodeNoService, jsonrpc.CodeNoWorker, jsonrpc.CodeOverloaded:
		return f.HandedOver == HandedNo
	}
	return false
}

// elsewhere says whether c, which the broker at l refused, is sent to another one at
// once: to one that hasn't refused it yet, and never if only one knows its key.
func (s *ClientSession) elsewhere(l *clientLink, c *Call) bool {
	p := &c.progress
	if p.home.known() || len(s.serving) < 2 || !s.mayRepeat(c) {
		return false
	}
	p.refusers = append(p.refusers, l)
	return s.other(p.refusers) != nil && s.takeRetry()
}

// connecting says whether a broker that doesn't serve yet is about to: it may know a
// service that the others don't.
func (s *ClientSession) connecting() bool {
	for _, l := range s.links {
		if l.state < linkServing {
			return true
		}
	}
	return false
}

// later has c sent again after a while, if its time and the budget allow it.
func (s *ClientSession) later(c *Call, f *Failure) bool {
	p := &c.progress
	if f.RetryAfter > longestRetryAfter || !s.mayRepeat(c) {
		return false
	}
	again := s.now + f.RetryAfter + backoff(s.cfg.RetryMin, s.cfg.RetryMax, p.sends-1, s.cfg.Random)
	if p.deadline > 0 && again >= p.deadline || !s.takeRetry() {
		return false
	}
	s.takeBack(c)
	p.state, p.refusers = callBacking, nil // all brokers may be asked again
	s.backing.pushBack(&p.main.place, c)
	s.wheel.set(&p.timer, again)
	return true
}

// orphan deals with a call whose connection was lost while it was out there. An
// idempotent one runs again wherever it can; a keyed one may be repeated to the same
// run of the same broker, which knows whether it ran (docs/protocol.md "Repeats"); of
// any other nobody knows.
func (s *ClientSession) orphan(l *clientLink, c *Call, why error) {
	p := &c.progress
	p.reached++
	if p.hedge != nil {
		s.dropLeg(c, c.leg(l))
		return
	}
	keyed := c.Key != "" && c.Window <= 0 && l.identity.known()
	s.takeBack(c)
	if !c.Idempotent && !keyed || !s.mayRepeat(c) || !s.mayMove(c) {
		f := &Failure{
			Code: jsonrpc.CodeBrokerLost, Text: "the connection to the broker was lost before the reply came",
			HandedOver: HandedMaybe, Local: true, Cause: why,
		}
		if why != nil {
			f.Text += ": " + why.Error()
		}
		s.fail(c, f)
		return
	}
	if !c.Idempotent {
		p.home, p.homeAt = l.identity, l.broker
	}
	s.submit(c)
}

// mayRepeat says whether c may be sent once more at all.
func (s *ClientSession) mayRepeat(c *Call) bool {
	p := &c.progress
	return !c.NoRetry && !p.parted && p.sends < s.cfg.MaxAttempts
}

// mayMove says whether c may be sent to whoever comes after a broker that was lost
// or drains. The first time costs nothing: the load moves, it doesn't grow.
func (s *ClientSession) mayMove(c *Call) bool {
	if !c.progress.moved {
		c.progress.moved = true
		return true
	}
	return s.takeRetry()
}

// takeRetry takes a retry from the budget, if one is left. The budget keeps
// retries a small part of the load when everything fails.
func (s *ClientSession) takeRetry() bool {
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// earnRetries adds what the first send of a call earns.
func (s *ClientSession) earnRetries() {
	s.tokens = min(s.tokens+s.cfg.RetryBudget, float64(s.cfg.RetryReserve))
}
