package sockets

import "sync/atomic"

// Stats has the fields of zmtp.Stats, which says what they mean, and of zmq.Stats.
type Stats struct {
	Accepted  uint64
	Greeted   uint64
	Limited   uint64
	Strangers uint64
	Failed    uint64
	Violated  uint64
	Slow      uint64
	Silent    uint64
}

// Counters count what Stats tells.
type Counters struct {
	Accepted, Greeted, Limited, Strangers, Failed, Violated, Slow, Silent atomic.Uint64
}

// Stats returns what was counted up to now.
func (c *Counters) Stats() Stats {
	return Stats{
		Accepted: c.Accepted.Load(), Greeted: c.Greeted.Load(), Limited: c.Limited.Load(), Strangers: c.Strangers.Load(),
		Failed: c.Failed.Load(), Violated: c.Violated.Load(), Slow: c.Slow.Load(), Silent: c.Silent.Load(),
	}
}
