package zmtp

import (
	"errors"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
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
type counters struct{ sockets.Counters }

// Stats returns what was counted up to now.
func (t *Transport) Stats() Stats { return Stats(t.counters.Stats()) }

// refused counts a connection that didn't get through its handshake.
func (c *counters) refused(why error) {
	switch {
	case errors.Is(why, errLimit), errors.Is(why, errCrowded):
		c.Limited.Add(1)
	case errors.Is(why, ErrKey):
		c.Strangers.Add(1)
	default:
		c.Failed.Add(1)
	}
}

// ended counts a connection that ended after its handshake.
func (c *counters) ended(why error) {
	switch {
	case errors.Is(why, ErrProtocol):
		c.Violated.Add(1)
	case errors.Is(why, transport.ErrSlowPeer):
		c.Slow.Add(1)
	case errors.Is(why, ErrSilent):
		c.Silent.Add(1)
	}
}
