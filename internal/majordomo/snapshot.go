package majordomo

import (
	"cmp"
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
	Host        string          `json:"host,omitempty"`
	PID         int             `json:"pid,omitempty"`
	Addrs       []string        `json:"addrs,omitempty"`
	Uptime      time.Duration   `json:"uptime_ns"`
	Draining    bool            `json:"draining,omitempty"`
	Partial     bool            `json:"partial,omitempty"` // it is of some services only
	Queued      int             `json:"queued"`
	QueuedBytes int64           `json:"queued_bytes"` // also of those that wait for the run of another with their key
	Running     int             `json:"running"`
	Abandoned   int             `json:"abandoned"`
	Keyed       int             `json:"keyed"`
	Counts      Counts          `json:"counts"`
	Services    []ServiceStatus `json:"services"`
	Workers     []WorkerStatus  `json:"workers"`
	Clients     []ClientStatus  `json:"clients"`
	Requests    []RequestStatus `json:"requests,omitempty"`
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
	Draining bool          `json:"draining,omitempty"` // it gets nothing new
	Since    time.Duration `json:"since_ns"`           // for how long it is connected
	Silent   time.Duration `json:"silent_ns"`
}

// ClientStatus is one peer in a snapshot that isn't a worker.
type ClientStatus struct {
	Instance string        `json:"instance,omitempty"`
	Name     string        `json:"name,omitempty"`
	Addr     string        `json:"addr,omitempty"`
	Host     string        `json:"host,omitempty"`
	PID      int           `json:"pid,omitempty"`
	Version  string        `json:"version,omitempty"`
	Waiting  int           `json:"waiting"`
	Since    time.Duration `json:"since_ns"`
	Silent   time.Duration `json:"silent_ns"`
}

// RequestStatus is one request in a snapshot that isn't done.
type RequestStatus struct {
	Request    uint64        `json:"request"`
	State      string        `json:"state"` // "queued", "joined", "running" or "abandoned"
	Service    string        `json:"service"`
	Method     string        `json:"method,omitempty"`
	Caller     string        `json:"caller,omitempty"`
	CallerAddr string        `json:"caller_addr,omitempty"`
	Worker     string        `json:"worker,omitempty"` // the instance
	WorkerAddr string        `json:"worker_addr,omitempty"`
	Attempts   int           `json:"attempts"`
	Age        time.Duration `json:"age_ns"`
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
func (b *Broker) Snapshot() *Snapshot { return b.snapshot(nil) }

// snapshot is Snapshot for somebody who may not see all services. What isn't of a
// service is left out then: connections of no worker, and what is counted for all.
func (b *Broker) snapshot(sees sight) *Snapshot {
	s := &Snapshot{
		Broker: b.cfg.ID, Incarnation: b.cfg.Incarnation, Version: b.cfg.Version, Host: b.cfg.Host, PID: b.cfg.PID, Addrs: b.cfg.Addrs,
		Uptime: b.now, Draining: b.draining, Partial: sees != nil,
		Services: []ServiceStatus{}, Workers: []WorkerStatus{}, Clients: []ClientStatus{},
	}
	for nd := b.all.head; nd != nil; nd = nd.next {
		v := nd.of
		if !sees.of(v.name) {
			continue
		}
		s.Queued += v.queued
		s.Running += v.running
		s.Services = append(s.Services, ServiceStatus{
			Name: v.name, Workers: v.workers.n, Queued: v.queued, Running: v.running, Finished: v.finished, Failed: v.failed, Paused: v.paused,
		})
	}
	slices.SortFunc(s.Services, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	for nd := b.peers.head; nd != nil; nd = nd.next {
		p := nd.of
		if w := p.worker; w != nil {
			if status := b.workerStatus(w, sees); sees == nil || len(status.Services) > 0 {
				s.Workers = append(s.Workers, status)
			}
			continue
		}
		if sees == nil {
			s.Clients = append(s.Clients, b.clientStatus(p))
		}
	}
	if sees == nil {
		s.Queued, s.QueuedBytes, s.Running, s.Abandoned = b.queued, b.waits.bytes, b.running, b.abandoned
		s.Keyed, s.Counts = len(b.window.entries), b.counts
	}
	s.Requests = b.requestStatus(sees)
	for nd := b.quarantine.all.head; nd != nil; nd = nd.next {
		r := &nd.of.request
		if !sees.of(string(r.name)) {
			continue
		}
		s.Quarantine = append(s.Quarantine, HeldStatus{
			Request: r.serial, Service: string(r.name), Method: shown(r.env.Method), Caller: r.caller.Name, Attempts: r.attempts, Age: b.now - nd.of.at,
		})
	}
	return s
}

func (b *Broker) clientStatus(p *Peer) ClientStatus {
	status := ClientStatus{
		Name: p.id.Name, Addr: p.id.Addr, Waiting: p.requests.n, Since: b.now - p.since, Silent: b.now - p.heard,
	}
	if said := p.presence; said != nil {
		status.Instance, status.Host, status.PID, status.Version = said.Instance, said.Host, said.PID, said.Version
	}
	return status
}

func (b *Broker) workerStatus(w *worker, sees sight) WorkerStatus {
	p := w.peer
	status := WorkerStatus{
		Instance: w.instance, Name: p.id.Name, Addr: p.id.Addr,
		Protocol: w.version.String(), Services: []string{}, Capacity: w.capacity, Running: w.used, Draining: w.draining(),
		Since: b.now - p.since, Silent: b.now - p.heard,
	}
	if info := w.info; info != nil {
		status.Host, status.PID, status.Version = info.Host, info.PID, info.Version
	}
	for _, m := range w.members {
		if sees.of(m.service.name) {
			status.Services = append(status.Services, m.service.name)
		}
	}
	return status
}

// oldest keeps the requests of the lowest serial numbers, of those that it is
// offered.
type oldest struct {
	most     int
	sees     sight
	requests []*request // by serial number
}

// offer reports whether what comes behind r in a queue, which is younger, may be kept:
// where r is kept for now, or isn't seen.
func (o *oldest) offer(r *request) bool {
	if !o.sees.of(r.service.name) {
		return true
	}
	at, _ := slices.BinarySearchFunc(o.requests, r.serial, func(r *request, serial uint64) int { return cmp.Compare(r.serial, serial) })
	switch {
	case at == o.most:
		return false
	case len(o.requests) == o.most:
		o.requests = o.requests[:o.most-1]
	}
	o.requests = slices.Insert(o.requests, at, r)
	return true
}

// requestStatus returns the oldest requests of each state, as many of each as are
// listed, by serial number.
func (b *Broker) requestStatus(sees sight) []RequestStatus {
	none := oldest{most: b.cfg.MaxListed, sees: sees}
	queued, joined, running, abandoned := none, none, none, none
	b.offerQueued(&queued)
	if b.waits.requests > b.queued {
		for _, e := range b.window.entries {
			for nd := e.joined.head; nd != nil && joined.offer(nd.of); nd = nd.next {
			}
		}
	}
	for nd := b.peers.head; nd != nil; nd = nd.next {
		if w := nd.of.worker; w != nil && w.used > 0 {
			w.offerHeld(&running, &abandoned)
		}
	}
	var all []RequestStatus
	for _, of := range []struct {
		state string
		oldest
	}{{"queued", queued}, {"joined", joined}, {"running", running}, {"abandoned", abandoned}} {
		for _, r := range of.requests {
			all = append(all, b.statusOf(r, of.state))
		}
	}
	slices.SortFunc(all, func(a, b RequestStatus) int { return cmp.Compare(a.Request, b.Request) })
	return all
}

// offerQueued offers the first of each queue.
func (b *Broker) offerQueued(o *oldest) {
	for nd := b.all.head; nd != nil; nd = nd.next {
		s := nd.of
		if !o.sees.of(s.name) {
			continue // it may be long
		}
		for r := s.front.head; r != nil && o.offer(r.of); r = r.next {
		}
		for q := s.active.head; q != nil; q = q.next {
			q.of.requests.each(o.offer)
		}
	}
}

// offerHeld offers what w was handed and hasn't replied to.
func (w *worker) offerHeld(running, abandoned *oldest) {
	for i := range w.slots {
		switch r := w.slots[i].request; {
		case r == nil:
		case r.state == stateAbandoned:
			abandoned.offer(r)
		default:
			running.offer(r)
		}
	}
}

func (b *Broker) statusOf(r *request, state string) RequestStatus {
	status := RequestStatus{
		Request: r.serial, State: state, Service: r.service.name, Method: shown(r.env.Method),
		Caller: r.caller.Name, CallerAddr: r.caller.Addr, Attempts: r.attempts, Age: b.now - r.arrived,
	}
	if r.member != nil {
		status.Worker, status.WorkerAddr = r.member.worker.instance, r.member.worker.peer.id.Addr
	}
	return status
}

// shown returns the name of a method for a listing, which a caller chooses and
// which may be of any length.
func shown(method []byte) string {
	const most = 255
	return strings.ToValidUTF8(string(method[:min(len(method), most)]), "")
}

// ServiceContract is one service in the result of mmi.services.
type ServiceContract struct {
	ServiceDoc
	Workers int `json:"workers"`
}

// docs returns the contracts of the services that have workers, or of the named
// one alone, as far as they are seen.
func (b *Broker) docs(name string, sees sight) []ServiceContract {
	all := []ServiceContract{}
	for nd := b.all.head; nd != nil; nd = nd.next {
		s := nd.of
		if s.workers.n == 0 || (name != "" && s.name != name) || !sees.of(s.name) {
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
