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
	untouched := f.HandedOver == HandedNo
	if untouched && f.Code == jsonrpc.CodeDraining {
		if l.state == linkServing {
			s.retire(l)
		}
		if !s.mayRepeat(c) || !s.mayMove(c) {
			s.failRefused(c, f)
			return
		}
		s.takeBack(c)
		s.submit(c)
		return
	}
	later := f.Code == jsonrpc.CodeOverloaded || f.Code == jsonrpc.CodeNoWorker
	if !untouched || !later || f.RetryAfter > longestRetryAfter || !s.mayRepeat(c) {
		s.failRefused(c, f)
		return
	}
	p := &c.progress
	again := s.now + f.RetryAfter + backoff(s.cfg.RetryMin, s.cfg.RetryMax, p.sends-1, s.cfg.Random)
	if p.deadline > 0 && again >= p.deadline || !s.takeRetry() {
		s.failRefused(c, f)
		return
	}
	s.takeBack(c)
	p.state = callBacking
	s.backing.pushBack(&p.place, c)
	s.wheel.set(&p.timer, again)
}

// failRefused ends c with what the broker that had it last said. That one knows
// nothing of what became of it on connections before.
func (s *ClientSession) failRefused(c *Call, f *Failure) {
	if f.HandedOver == HandedNo && c.progress.reached > 0 {
		f.HandedOver = HandedMaybe
	}
	s.fail(c, f)
}

// orphan deals with a call whose connection was lost while it was out. An
// idempotent one runs again wherever it can; a keyed one may be repeated to the
// same run of the same broker, which knows whether it ran (docs/protocol.md
// "Repeats"); of any other nobody knows.
func (s *ClientSession) orphan(c *Call, why error) {
	p := &c.progress
	home := p.link.identity
	keyed := c.Key != "" && c.Window <= 0 && home.known()
	p.reached++
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
		p.home = home
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
