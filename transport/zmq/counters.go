//go:build cgo && unix

package zmq

import (
	"errors"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// counters count what Stats tells.
type counters struct{ sockets.Counters }

// Stats returns what was counted up to now.
func (t *Transport) Stats() Stats {
	now := t.counters.Stats()
	return Stats{
		Accepted: now.Accepted, Greeted: now.Greeted, Limited: now.Limited, Strangers: now.Strangers,
		Failed: now.Failed, Violated: now.Violated, Slow: now.Slow,
	}
}

// refused counts a connection that didn't get through its handshake, unless it ended
// with its listener.
func (c *counters) refused(why error) {
	switch {
	case errors.Is(why, transport.ErrClosed):
	case errors.Is(why, errLimit), errors.Is(why, errCrowded):
		c.Limited.Add(1)
	case errors.Is(why, errKey):
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
	}
}
