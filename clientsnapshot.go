package mesh

import (
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// ClientSnapshot is a client's state at one moment.
type ClientSnapshot struct {
	// Instance is the client's name for itself, as brokers were told it.
	Instance string
	// Brokers lists the brokers that are known, in the order in which they became so,
	// and after them those connections on which only replies are due.
	Brokers []BrokerLink
	// Discovery is why brokers can't be found any more, or why one of several
	// discoveries ([Combine]) has ended; nil where nothing is wrong.
	Discovery error
	// Pending counts the calls without an outcome.
	Pending int
	// Counts are what was counted since the client was made.
	Counts ClientCounts
	// Opaque lists what [Client.Request] goes over: as many sessions as there were opaque
	// requests at once, [ClientConfig].MaxOpaque at most. Nothing else here is about them.
	Opaque []OpaqueSession
}

// OpaqueSession is what one opaque request at a time goes over: connections to two
// brokers of its own.
type OpaqueSession struct {
	// Brokers lists the brokers that are known, as in [ClientSnapshot].
	Brokers []BrokerLink
	// Busy says that a request has no outcome yet.
	Busy bool
	// Counts are what was counted since the session was made.
	Counts ClientCounts
}

// BrokerLink is how a client stands with a broker, by one of its endpoints.
type BrokerLink struct {
	Addr        string
	State       BrokerState
	ID          string        // of the broker; empty where it hasn't said it
	Incarnation string        // of this run of it, likewise
	Plain       bool          // it speaks plain Majordomo
	Outstanding int           // calls that it has
	Latency     time.Duration // of its replies lately, or what is expected of it; 0: unknown
	Silent      time.Duration // for how long nothing was heard of it
	Trouble     error         // the last that there was with it; nil: none yet
}

// BrokerState is what a client makes of a broker.
type BrokerState string

// The states of a broker, as a client sees it.
const (
	BrokerSpare    BrokerState = "spare"    // as many others are connected as may be
	BrokerResting  BrokerState = "resting"  // it is dialled again after a wait
	BrokerDialing  BrokerState = "dialing"  // a connection is being made
	BrokerProbing  BrokerState = "probing"  // it is connected, and hasn't said who it is
	BrokerServing  BrokerState = "serving"  // it takes calls
	BrokerRetiring BrokerState = "retiring" // it drains, or is gone from discovery: only replies are due
)

// ClientCounts are what a client's session counted.
type ClientCounts struct {
	Sent    uint64 // requests, those sent again counted
	Retries uint64 // requests sent again, hedges counted
	Hedges  uint64 // requests sent to a second broker since the first was slow
	Late    uint64 // replies that no call waited for any more
	Invalid uint64 // messages that are no Majordomo
	Lost    uint64 // connections that ended
}

// Snapshot returns the client's state at one moment. A client that has made no call
// yet has connected to nobody, and a snapshot doesn't make it.
func (c *Client) Snapshot() *ClientSnapshot {
	core, brokers := c.link.snapshot()
	s := &ClientSnapshot{
		Instance: c.cfg.Instance, Brokers: brokers, Discovery: core.Finding, Pending: core.Pending, Counts: ClientCounts(core.Counts),
	}
	for _, l := range c.opaque.links() {
		core, brokers := l.snapshot()
		s.Opaque = append(s.Opaque, OpaqueSession{Brokers: brokers, Busy: core.Pending > 0, Counts: ClientCounts(core.Counts)})
	}
	return s
}

func newBrokerLink(b *majordomo.ClientBrokerStatus, addr string) BrokerLink {
	return BrokerLink{
		Addr: addr, State: BrokerState(b.Standing), ID: b.ID, Incarnation: b.Incarnation, Plain: b.Plain,
		Outstanding: b.Outstanding, Latency: b.Latency, Silent: b.Silent, Trouble: b.Trouble,
	}
}
