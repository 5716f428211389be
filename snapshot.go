package mesh

import (
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
)

// Snapshot is a broker's state at one moment. Its JSON is that of docs/protocol.md
// "MMI", durations in nanoseconds.
type Snapshot struct {
	// Broker is the broker's ID, Incarnation this run of it, Version that of
	// the software.
	Broker      string `json:"broker"`
	Incarnation string `json:"incarnation"`
	Version     string `json:"version,omitempty"`
	// Host is the name of the machine that the broker runs on, PID its process,
	// Addrs the addresses at which it listens.
	Host  string   `json:"host,omitempty"`
	PID   int      `json:"pid,omitempty"`
	Addrs []string `json:"addrs,omitempty"`
	// Uptime is how long the broker has run.
	Uptime time.Duration `json:"uptime_ns"`
	// Partial reports that whoever asked may not see all services. Then it is of
	// those that may be seen: of others there are no requests, nor workers that serve
	// them alone, Clients is empty, and of what is counted for the whole broker there
	// are Queued and Running only, which are those of the services listed.
	Partial bool `json:"partial,omitempty"`
	// Draining reports that the broker is shutting down.
	Draining bool `json:"draining,omitempty"`
	// Queued counts the requests that wait for a worker, QueuedBytes their size.
	Queued      int   `json:"queued"`
	QueuedBytes int64 `json:"queued_bytes"`
	// Running counts the requests that a worker has and somebody waits for;
	// Abandoned those that a worker still has and nobody waits for any more.
	Running   int `json:"running"`
	Abandoned int `json:"abandoned"`
	// Keyed counts the keys that are remembered for repeats.
	Keyed int `json:"keyed"`
	// Counts are what was counted since the broker started.
	Counts Counts `json:"counts"`
	// Services lists the services that are known, by name.
	Services []ServiceStatus `json:"services"`
	// Workers lists the workers, the longest connected first.
	Workers []WorkerStatus `json:"workers"`
	// Clients lists the connections of no worker, the longest connected first.
	Clients []ClientStatus `json:"clients"`
	// Requests lists requests that aren't done, the oldest of each state
	// ([Limits].Listed), by their serial numbers.
	Requests []RequestStatus `json:"requests,omitempty"`
	// Quarantine lists the requests that are set aside, oldest first.
	Quarantine []QuarantinedStatus `json:"quarantine,omitempty"`
}

// Counts are what a broker counted since it started.
type Counts struct {
	Received    uint64 `json:"received"`    // requests
	Replied     uint64 `json:"replied"`     // ended with a worker's reply
	Failed      uint64 `json:"failed"`      // ended with an error of a worker or the broker
	TimedOut    uint64 `json:"timed_out"`   // ended by their deadline
	Cancelled   uint64 `json:"cancelled"`   // ended by their caller, or with its connection
	Quarantined uint64 `json:"quarantined"` // ended because too many workers were lost under them
	Requeued    uint64 `json:"requeued"`    // put back because a worker was lost or had no room
	Overloaded  uint64 `json:"overloaded"`  // refused because a queue was full (also in Failed)
	Repeats     uint64 `json:"repeats"`     // keyed requests that joined a run or got a kept outcome
	Late        uint64 `json:"late"`        // replies that came after the request had ended
	Strays      uint64 `json:"strays"`      // replies that no request waits for
	Invalid     uint64 `json:"invalid"`     // messages that are no Majordomo
	Unexpected  uint64 `json:"unexpected"`  // commands that had no place where they came
}

// ServiceStatus is one service in a snapshot.
type ServiceStatus struct {
	Name     string `json:"name"`
	Workers  int    `json:"workers"`          // that serve it now
	Queued   int    `json:"queued"`           // requests
	Running  int    `json:"running"`          // requests
	Finished uint64 `json:"finished"`         // final replies of workers
	Failed   uint64 `json:"failed"`           // how many of them were errors
	Paused   bool   `json:"paused,omitempty"` // by an operator: requests are queued and not handed over
}

// WorkerStatus is one worker in a snapshot.
type WorkerStatus struct {
	Instance string        `json:"instance,omitempty"` // the worker's own name for itself; empty for plain workers
	Name     string        `json:"name,omitempty"`     // authenticated; empty where there is none
	Addr     string        `json:"addr,omitempty"`     // remote address
	Host     string        `json:"host,omitempty"`     // as registered
	PID      int           `json:"pid,omitempty"`      // as registered
	Version  string        `json:"version,omitempty"`  // of its software, as registered
	Protocol string        `json:"protocol"`           // "MDP/0.1" or "MDP/0.2"
	Services []string      `json:"services"`           // that it serves
	Capacity int           `json:"capacity"`           // requests at once; 0 where it is about to leave
	Running  int           `json:"running"`            // requests that it has
	Draining bool          `json:"draining,omitempty"` // it gets nothing new: it is about to leave, or an operator drained it
	Since    time.Duration `json:"since_ns"`           // for how long it has been connected
	Silent   time.Duration `json:"silent_ns"`          // for how long nothing was heard of it
}

// ClientStatus is one connection of no worker in a snapshot.
type ClientStatus struct {
	Instance string        `json:"instance,omitempty"` // the client's own name for itself, if it said one
	Name     string        `json:"name,omitempty"`     // authenticated; empty where there is none
	Addr     string        `json:"addr,omitempty"`     // remote address
	Host     string        `json:"host,omitempty"`     // as the client says
	PID      int           `json:"pid,omitempty"`      // as the client says
	Version  string        `json:"version,omitempty"`  // of its software, as the client says
	Waiting  int           `json:"waiting"`            // requests without an outcome
	Since    time.Duration `json:"since_ns"`           // for how long it has been connected
	Silent   time.Duration `json:"silent_ns"`          // for how long nothing was heard of it
}

// RequestStatus is one request in a snapshot that isn't done.
type RequestStatus struct {
	// Request is its serial number at this run of this broker, by which
	// [Client.CancelRequest] knows it.
	Request uint64 `json:"request"`
	// State is "queued" (it waits for a worker), "joined" (it has the key of
	// another that isn't done, and waits for its outcome), "running" (a worker has
	// it) or "abandoned" (a worker still has it, but nobody waits any more: it
	// timed out or was cancelled).
	State string `json:"state"`
	// Service is the service, Method the full name of the method, empty for
	// opaque requests.
	Service string `json:"service"`
	Method  string `json:"method,omitempty"`
	// Caller is the authenticated name of who called, CallerAddr where from.
	Caller     string `json:"caller,omitempty"`
	CallerAddr string `json:"caller_addr,omitempty"`
	// Worker is the instance of the worker that has it, WorkerAddr where that is;
	// empty where none has.
	Worker     string `json:"worker,omitempty"`
	WorkerAddr string `json:"worker_addr,omitempty"`
	// Attempts is how often it was handed over.
	Attempts int `json:"attempts"`
	// Age is how long ago it came.
	Age time.Duration `json:"age_ns"`
}

// QuarantinedStatus is one request that was set aside, in a snapshot.
type QuarantinedStatus struct {
	Request  uint64        `json:"request"` // its serial number at this broker
	Service  string        `json:"service"`
	Method   string        `json:"method,omitempty"` // full name; empty for opaque requests
	Caller   string        `json:"caller,omitempty"` // authenticated; empty where there is none
	Attempts int           `json:"attempts"`         // how often it was handed over
	Age      time.Duration `json:"age_ns"`
}

func newSnapshot(c *majordomo.Snapshot) *Snapshot {
	s := &Snapshot{
		Broker: c.Broker, Incarnation: c.Incarnation, Version: c.Version, Host: c.Host, PID: c.PID, Addrs: c.Addrs,
		Uptime: c.Uptime, Partial: c.Partial, Draining: c.Draining,
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
