package majordomo

import (
	"slices"
	"strings"
	"time"
)

// Counts are what the broker counted since it started; Workers is how many there
// are now.
type Counts struct {
	Received    uint64 `json:"received"`
	Replied     uint64 `json:"replied"`
	Failed      uint64 `json:"failed"`
	TimedOut    uint64 `json:"timed_out"`
	Cancelled   uint64 `json:"cancelled"`
	Quarantined uint64 `json:"quarantined"`
	Requeued    uint64 `json:"requeued"`
	Overloaded  uint64 `json:"overloaded"`
	Repeats     uint64 `json:"repeats"`
	Late        uint64 `json:"late"`
	Strays      uint64 `json:"strays"`
	Invalid     uint64 `json:"invalid"`
	Unexpected  uint64 `json:"unexpected"`
	Workers     int    `json:"workers"`
}

// Snapshot is the result of mmi.status: the broker at one moment.
type Snapshot struct {
	Broker      string          `json:"broker"`
	Incarnation string          `json:"incarnation"`
	Version     string          `json:"version,omitempty"`
	Uptime      time.Duration   `json:"uptime_ns"`
	Draining    bool            `json:"draining,omitempty"`
	Queued      int             `json:"queued"`
	QueuedBytes int64           `json:"queued_bytes"` // also of those that wait for the run of another with their key
	Running     int             `json:"running"`
	Abandoned   int             `json:"abandoned"`
	Keyed       int             `json:"keyed"`
	Counts      Counts          `json:"counts"`
	Services    []ServiceStatus `json:"services"`
	Workers     []WorkerStatus  `json:"workers"`
	Clients     []ClientStatus  `json:"clients"`
	Quarantine  []HeldStatus    `json:"quarantine,omitempty"`
}

// ServiceStatus is one service in a snapshot.
type ServiceStatus struct {
	Name     string `json:"name"`
	Workers  int    `json:"workers"`
	Queued   int    `json:"queued"`
	Running  int    `json:"running"`
	Finished uint64 `json:"finished"`
	Failed   uint64 `json:"failed"`
	Paused   bool   `json:"paused,omitempty"`
}

// WorkerStatus is one worker in a snapshot.
type WorkerStatus struct {
	Instance string        `json:"instance,omitempty"`
	Name     string        `json:"name,omitempty"`
	Addr     string        `json:"addr,omitempty"`
	Host     string        `json:"host,omitempty"`
	PID      int           `json:"pid,omitempty"`
	Version  string        `json:"version,omitempty"`
	Protocol string        `json:"protocol"`
	Services []string      `json:"services"`
	Capacity int           `json:"capacity"`
	Running  int           `json:"running"`
	Since    time.Duration `json:"since_ns"` // for how long it is connected
	Silent   time.Duration `json:"silent_ns"`
}

// ClientStatus is one peer in a snapshot that isn't a worker.
type ClientStatus struct {
	Name    string        `json:"name,omitempty"`
	Addr    string        `json:"addr,omitempty"`
	Waiting int           `json:"waiting"`
	Since   time.Duration `json:"since_ns"`
	Silent  time.Duration `json:"silent_ns"`
}

// HeldStatus is one quarantined request in a snapshot.
type HeldStatus struct {
	Request  uint64        `json:"request"`
	Service  string        `json:"service"`
	Method   string        `json:"method,omitempty"`
	Caller   string        `json:"caller,omitempty"`
	Attempts int           `json:"attempts"`
	Age      time.Duration `json:"age_ns"`
}

// Snapshot returns what the broker holds. Its cost grows with what it lists.
func (b *Broker) Snapshot() *Snapshot {
	s := &Snapshot{
		Broker: b.cfg.ID, Incarnation: b.cfg.Incarnation, Version: b.cfg.Version, Uptime: b.now, Draining: b.draining,
		Queued: b.queued, QueuedBytes: b.waits.bytes, Running: b.running, Abandoned: b.abandoned, Keyed: len(b.window.entries),
		Counts: b.counts, Services: []ServiceStatus{}, Workers: []WorkerStatus{}, Clients: []ClientStatus{},
	}
	for nd := b.all.head; nd != nil; nd = nd.next {
		v := nd.of
		s.Services = append(s.Services, ServiceStatus{
			Name: v.name, Workers: v.workers.n, Queued: v.queued, Running: v.running, Finished: v.finished, Failed: v.failed, Paused: v.paused,
		})
	}
	slices.SortFunc(s.Services, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	for nd := b.peers.head; nd != nil; nd = nd.next {
		p := nd.of
		if w := p.worker; w != nil {
			s.Workers = append(s.Workers, b.workerStatus(w))
			continue
		}
		s.Clients = append(s.Clients, ClientStatus{
			Name: p.id.Name, Addr: p.id.Addr, Waiting: p.requests.n, Since: b.now - p.since, Silent: b.now - p.heard,
		})
	}
	for nd := b.quarantine.all.head; nd != nil; nd = nd.next {
		r := &nd.of.request
		s.Quarantine = append(s.Quarantine, HeldStatus{
			Request: r.serial, Service: string(r.name), Method: string(r.env.Method), Caller: r.caller.Name, Attempts: r.attempts, Age: b.now - nd.of.at,
		})
	}
	return s
}

func (b *Broker) workerStatus(w *worker) WorkerStatus {
	p := w.peer
	status := WorkerStatus{
		Instance: w.instance, Name: p.id.Name, Addr: p.id.Addr,
		Protocol: w.version.String(), Services: []string{}, Capacity: w.capacity, Running: w.used,
		Since: b.now - p.since, Silent: b.now - p.heard,
	}
	if info := w.info; info != nil {
		status.Host, status.PID, status.Version = info.Host, info.PID, info.Version
	}
	for _, m := range w.members {
		status.Services = append(status.Services, m.service.name)
	}
	return status
}

// ServiceContract is one service in the result of mmi.services.
type ServiceContract struct {
	ServiceDoc
	Workers int `json:"workers"`
}

// docs returns the contracts of the services that have workers, or of the named
// one alone.
func (b *Broker) docs(name string) []ServiceContract {
	all := []ServiceContract{}
	for nd := b.all.head; nd != nil; nd = nd.next {
		s := nd.of
		if s.workers.n == 0 || (name != "" && s.name != name) {
			continue
		}
		c := ServiceContract{Workers: s.workers.n}
		if s.doc != nil {
			c.ServiceDoc = *s.doc
		}
		c.Name = s.name
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b ServiceContract) int { return strings.Compare(a.Name, b.Name) })
	return all
}
