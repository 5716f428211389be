package mesh

import (
	"cmp"
	"fmt"
	"time"
)

// Heartbeat is the policy by which a broker and its peers notice that the other
// side is gone. Any message counts as life; a heartbeat goes out when nothing
// else was sent for an interval (RFC 7 "Heartbeating"). Workers and clients of
// mesh adopt the policy of their broker when they connect; their own holds until
// then, and with brokers that don't tell.
type Heartbeat struct {
	// Interval between two signs of life, at least 2 ms. If zero, 2.5 s.
	Interval time.Duration
	// Liveness is how many intervals of silence end a connection. If zero, 3.
	Liveness int
}

func (h Heartbeat) withDefaults(field string) (Heartbeat, error) {
	if h.Interval != 0 && h.Interval < 2*time.Millisecond {
		return h, fmt.Errorf("mesh: %s.Interval is %v, less than 2ms", field, h.Interval)
	}
	if h.Liveness < 0 {
		return h, fmt.Errorf("mesh: %s.Liveness is negative", field)
	}
	h.Interval = cmp.Or(h.Interval, 2500*time.Millisecond)
	h.Liveness = cmp.Or(h.Liveness, 3)
	return h, nil
}

// Timeout is how long a peer may be silent: the interval times the liveness.
func (h Heartbeat) Timeout() time.Duration {
	return time.Duration(h.Liveness) * h.Interval
}
