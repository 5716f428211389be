package mesh

import (
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// Snapshot is a broker's state at one moment.
type Snapshot struct {
	// Broker is the broker's ID, Incarnation this run of it, Version that of
	// the software.
	Broker, Incarnation, Version string
	// Host is the name of the machine that the broker runs on, PID its process,
	// Addrs the addresses at which it listens.
	Host  string
	PID   int
	Addrs []string
	// Uptime is how long the broker has run.
	Uptime time.Duration
	// Draining reports that the broker is shutting down.
	Draining bool
	// Queued counts the requests that wait for a worker, QueuedBytes their size.
	Queued      int
	QueuedBytes int64
	// Running counts the requests that a worker has and somebody waits for;
	// Abandoned those that a worker still has and nobody waits for any more.
	Running, Abandoned int
	// Keyed counts the keys that are remembered for repeats.
	Keyed int
	// Counts are what was counted since the broker started.
	Counts Counts
	// Services lists the services that are known, by name.
	Services []ServiceStatus
	// Workers lists the workers, the longest connected first.
	Workers []WorkerStatus
	// Clients lists the connections of no worker, the longest connected first.
	Clients []ClientStatus
	// Requests lists requests that aren't done, the oldest [Limits.Listed] of each
	// state, by their serial numbers.
	Requests []RequestStatus
	// Quarantine lists the requests that are set aside, oldest first.
	Quarantine []QuarantinedStatus
}

// Counts are what a broker counted since it started.
type Counts struct {
	Received    uint64 // requests
	Replied     uint64 // ended with a worker's reply
	Failed      uint64 // ended with an error of a worker or the broker
	TimedOut    uint64 // ended by their deadline
	Cancelled   uint64 // ended by their caller, or with its connection
	Quarantined uint64 // ended because too many workers were lost under them
	Requeued    uint64 // put back because a worker was lost or had no room
	Overloaded  uint64 // refused because a queue was full (also in Failed)
	Repeats     uint64 // keyed requests that joined a run or got a kept outcome
	Late        uint64 // replies that came after the request had ended
	Strays      uint64 // replies that no request waits for
	Invalid     uint64 // messages that are no Majordomo
	Unexpected  uint64 // commands that had no place where they came
}

// ServiceStatus is one service in a snapshot.
type ServiceStatus struct {
	Name             string
	Workers          int    // that serve it now
	Queued, Running  int    // requests
	Finished, Failed uint64 // final replies of workers, and how many of them were errors
	Paused           bool   // by an operator: requests are queued and not handed over
}

// WorkerStatus is one worker in a snapshot.
type WorkerStatus struct {
	Instance string        // the worker's own name for itself; empty for plain workers
	Name     string        // authenticated; empty where there is none
	Addr     string        // remote address
	Host     string        // as registered
	PID      int           // as registered
	Version  string        // of its software, as registered
	Protocol string        // "MDP/0.1" or "MDP/0.2"
	Services []string      // that it serves
	Capacity int           // requests at once; 0 where it is about to leave
	Running  int           // requests that it has
	Draining bool          // it gets nothing new: it is about to leave, or an operator drained it
	Since    time.Duration // for how long it has been connected
	Silent   time.Duration // for how long nothing was heard of it
}

// ClientStatus is one connection of no worker in a snapshot.
type ClientStatus struct {
	Instance string        // the client's own name for itself, if it said one
	Name     string        // authenticated; empty where there is none
	Addr     string        // remote address
	Host     string        // as the client says
	PID      int           // as the client says
	Version  string        // of its software, as the client says
	Waiting  int           // requests without an outcome
	Since    time.Duration // for how long it has been connected
	Silent   time.Duration // for how long nothing was heard of it
}

// RequestStatus is one request in a snapshot that isn't done.
type RequestStatus struct {
	// Request is its serial number at this run of this broker, by which
	// [Client.CancelRequest] knows it.
	Request uint64
	// State is "queued" (it waits for a worker), "joined" (it has the key of
	// another that isn't done, and waits for its outcome), "running" (a worker has
	// it) or "abandoned" (a worker still has it, but nobody waits any more: it
	// timed out or was cancelled).
	State string
	// Service is the service, Method the full name of the method, empty for
	// opaque requests.
	Service, Method string
	// Caller is the authenticated name of who called, CallerAddr where from.
	Caller, CallerAddr string
	// Worker is the instance of the worker that has it, WorkerAddr where that is;
	// empty where none has.
	Worker, WorkerAddr string
	// Attempts is how often it was handed over.
	Attempts int
	// Age is how long ago it came.
	Age time.Duration
}

// QuarantinedStatus is one request that was set aside, in a snapshot.
type QuarantinedStatus struct {
	Request  uint64 // its serial number at this broker
	Service  string
	Method   string // full name; empty for opaque requests
	Caller   string // authenticated; empty where there is none
	Attempts int    // how often it was handed over
	Age      time.Duration
}

func newSnapshot(c *majordomo.Snapshot) *Snapshot {
	s := &Snapshot{
		Broker: c.Broker, Incarnation: c.Incarnation, Version: c.Version, Host: c.Host, PID: c.PID, Addrs: c.Addrs,
		Uptime: c.Uptime, Draining: c.Draining,
		Queued: c.Queued, QueuedBytes: c.QueuedBytes, Running: c.Running, Abandoned: c.Abandoned, Keyed: c.Keyed,
		Counts: Counts{
			Received: c.Counts.Received, Replied: c.Counts.Replied, Failed: c.Counts.Failed, TimedOut: c.Counts.TimedOut,
			Cancelled: c.Counts.Cancelled, Quarantined: c.Counts.Quarantined, Requeued: c.Counts.Requeued,
			Overloaded: c.Counts.Overloaded, Repeats: c.Counts.Repeats, Late: c.Counts.Late, Strays: c.Counts.Strays,
			Invalid: c.Counts.Invalid, Unexpected: c.Counts.Unexpected,
		},
	}
	for _, v := range c.Services {
		s.Services = append(s.Services, ServiceStatus(v))
	}
	for _, v := range c.Workers {
		s.Workers = append(s.Workers, WorkerStatus(v))
	}
	for _, v := range c.Clients {
		s.Clients = append(s.Clients, ClientStatus(v))
	}
	for _, v := range c.Requests {
		s.Requests = append(s.Requests, RequestStatus(v))
	}
	for _, v := range c.Quarantine {
		s.Quarantine = append(s.Quarantine, QuarantinedStatus(v))
	}
	return s
}
