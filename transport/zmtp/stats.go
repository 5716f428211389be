package zmtp

import (
	"errors"
	"sync/atomic"

	"github.com/mdpmesh/mesh/transport"
)

// Stats are what the listeners of a [Transport] counted since it was made.
type Stats struct {
	Accepted  uint64 // connections that were accepted by the system
	Greeted   uint64 // those whose handshake succeeded
	Limited   uint64 // those closed for a limit on connections or handshakes
	Strangers uint64 // those whose key isn't allowed in
	Failed    uint64 // other handshakes that failed: other protocols, wrong mechanism, silence, broken commands
	Violated  uint64 // connections ended after the handshake because the peer broke the protocol
	Slow      uint64 // connections ended because their queue was full
	Silent    uint64 // connections ended because nothing was heard
}

// counters count what Stats tells.
type counters struct {
	accepted, greeted, limited, strangers, failed, violated, slow, silent atomic.Uint64
}

// Stats returns what was counted up to now.
func (t *Transport) Stats() Stats {
	c := &t.counters
	return Stats{
		Accepted: c.accepted.Load(), Greeted: c.greeted.Load(), Limited: c.limited.Load(), Strangers: c.strangers.Load(),
		Failed: c.failed.Load(), Violated: c.violated.Load(), Slow: c.slow.Load(), Silent: c.silent.Load(),
	}
}

// refused counts a connection that didn't get through its handshake.
func (c *counters) refused(why error) {
	switch {
	case errors.Is(why, errLimit), errors.Is(why, errCrowded):
		c.limited.Add(1)
	case errors.Is(why, ErrKey):
		c.strangers.Add(1)
	default:
		c.failed.Add(1)
	}
}

// ended counts a connection that ended after its handshake.
func (c *counters) ended(why error) {
	switch {
	case errors.Is(why, ErrProtocol):
		c.violated.Add(1)
	case errors.Is(why, transport.ErrSlowPeer):
		c.slow.Add(1)
	case errors.Is(why, ErrSilent):
		c.silent.Add(1)
	}
}
