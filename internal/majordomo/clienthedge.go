package majordomo

import (
	"slices"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// mayHedge says whether a second broker may be asked for c while the first still has
// it: only where it does no harm to run it twice. A keyed call is bound to the broker
// that knows its key, and two streams can't be made one.
func (c *Call) mayHedge() bool {
	return c.Idempotent && c.Key == "" && c.Window <= 0 && !c.Notify && c.Body == nil
}

// hedge asks a second broker for c, whose reply is slow, if there is one and the
// budget for retries has it. It is done once.
func (s *ClientSession) hedge(c *Call) {
	p := &c.progress
	p.hedged, p.hedgeAt = true, 0
	if !s.mayRepeat(c) {
		return
	}
	l := s.other(append(slices.Clip(p.refusers), p.main.link))
	if l == nil || l.plain && mdp.Reserved(c.Service) || !s.takeRetry() {
		return // a plain broker would take the envelope for its own kind of body
	}
	s.counts.Hedges++
	p.hedge = new(callLeg)
	s.dispatch(l, c, p.hedge)
}

// dropLeg leaves c to the other one of its two requests.
func (s *ClientSession) dropLeg(c *Call, leg *callLeg) {
	p := &c.progress
	h := p.hedge
	p.hedge = nil
	if leg == h {
		s.release(c, h)
		return
	}
	s.release(c, &p.main)
	h.place.unlink()
	p.main.id, p.main.link, p.main.at, p.main.timed = h.id, h.link, h.at, h.timed
	h.link.out.pushBack(&p.main.place, c)
}
