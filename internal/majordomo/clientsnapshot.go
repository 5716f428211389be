package majordomo

import (
	"slices"
	"time"
)

// ClientStanding says how a session stands with a broker.
type ClientStanding string

// What is between a session and a broker.
const (
	ClientSpare    ClientStanding = "spare"    // as many others are connected as may be
	ClientResting  ClientStanding = "resting"  // it is dialled again after a wait
	ClientDialing  ClientStanding = "dialing"  //
	ClientProbing  ClientStanding = "probing"  // connected; it hasn't said yet who it is
	ClientServing  ClientStanding = "serving"  // it takes calls
	ClientRetiring ClientStanding = "retiring" // it drains, or is gone from discovery: only replies are due
)

// ClientBrokerStatus is one broker in the snapshot of a session.
type ClientBrokerStatus struct {
	Broker      int // its number
	Standing    ClientStanding
	ID          string // as it said; empty where it said nothing
	Incarnation string
	Plain       bool          // it speaks plain MDP
	Outstanding int           // calls that it has
	Latency     time.Duration // of its replies lately, or what is expected of it; 0: unknown
	Silent      time.Duration // for how long nothing was heard of it
	Trouble     error         // the last that there was with it
}

// ClientSnapshot is the state of a session at one moment.
type ClientSnapshot struct {
	Brokers []ClientBrokerStatus // and after those what retires
	Pending int                  // calls that aren't done
	Finding error                // what keeps brokers, or some of them, from being found
	Counts  ClientCounts
}

// Uses says whether the session knows a broker of that number, or still has a connection
// to one. Otherwise the number may be given to another broker.
func (s *ClientSession) Uses(broker int) bool {
	return s.known[broker] != nil || slices.ContainsFunc(s.links, func(l *clientLink) bool { return l.broker.number == broker })
}

// Snapshot returns the session's state at the time now.
func (s *ClientSession) Snapshot(now time.Time) ClientSnapshot {
	at := max(now.Sub(s.start), s.now)
	st := ClientSnapshot{Pending: s.pending, Finding: s.finding, Counts: s.counts}
	for _, b := range s.brokers {
		v := ClientBrokerStatus{Broker: b.number, Standing: ClientResting}
		switch {
		case b.link != nil:
			v = b.link.standing(at)
		case !b.placed:
			v.Standing = ClientSpare
		}
		if b.trouble != errNotConnected { //nolint:errorlint // the value itself: nothing went wrong yet
			v.Trouble = b.trouble
		}
		st.Brokers = append(st.Brokers, v)
	}
	for _, l := range s.links {
		if l.state == linkRetiring {
			st.Brokers = append(st.Brokers, l.standing(at))
		}
	}
	return st
}

// standing returns the state of a connection at a time.
func (l *clientLink) standing(at time.Duration) ClientBrokerStatus {
	v := ClientBrokerStatus{
		Broker: l.broker.number, ID: l.identity.broker, Incarnation: l.identity.incarnation, Plain: l.plain,
		Outstanding: l.out.n, Latency: l.latency,
	}
	switch l.state {
	case linkDialing:
		v.Standing = ClientDialing
		return v
	case linkProbing:
		v.Standing = ClientProbing
	case linkServing:
		v.Standing = ClientServing
	default:
		v.Standing = ClientRetiring
	}
	v.Silent = at - l.heard
	return v
}
