package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// account is whom limits and fairness go by: an authenticated caller with all its
// connections, or one connection of a caller that isn't.
type account struct {
	name  string
	frame []byte // the name, for address frames
	peers int
	waits load
}

// load is what waits somewhere: requests that are queued, and those that joined
// the run of another.
type load struct {
	requests int
	bytes    int64
}

func (l *load) add(r *request) {
	l.requests++
	l.bytes += int64(r.size)
}

func (l *load) remove(r *request) {
	l.requests--
	l.bytes -= int64(r.size)
}

// callerQueue holds the requests of one account at one service, first in first
// out.
type callerQueue struct {
	account  *account
	requests roll[request]
	active   node[callerQueue]
}

// service is a queue and the workers that serve it.
type service struct {
	name   string
	config ServiceConfig
	paused bool

	workers list[member]
	idle    roll[member] // may hold members whose worker has no free slot; they drop out when met

	front      list[request] // to be served first: they were handed over before
	active     list[callerQueue]
	queues     map[*account]*callerQueue
	queued     int           // in front and in queues
	answerable roll[request] // those of them that can be told that nobody serves them
	waits      load
	running    int // handed over and not settled

	known     bool // had a worker
	alone     time.Duration
	sweep     timer
	all       node[service] // in Broker.all
	isVacant  node[service]
	vacantAt  time.Duration
	doc       *ServiceDoc
	finished  uint64
	failed    uint64
	lastFinal time.Duration
	pace      time.Duration // smoothed time between two FINALs while there was work
}

// first returns the request that is to be served next, or nil.
func (s *service) first() *request {
	if r := s.front.front(); r != nil {
		return r
	}
	if q := s.active.front(); q != nil {
		return q.requests.front()
	}
	return nil
}

// pop takes the request that is to be served next out of the queue, which isn't
// empty.
func (b *Broker) pop(s *service) *request {
	r := s.first()
	if q := r.queue; q != nil && q.requests.n > 1 {
		q.active.moveToBack() // the next caller's turn
	}
	b.unqueue(r)
	return r
}

// enqueue puts r at the end of its caller's queue.
func (b *Broker) enqueue(r *request) {
	s := r.service
	q := s.queues[r.account]
	if q == nil {
		if s.queues == nil {
			s.queues = make(map[*account]*callerQueue)
		}
		if n := len(b.freeQueues); n > 0 {
			q, b.freeQueues = b.freeQueues[n-1], b.freeQueues[:n-1]
		} else {
			q = &callerQueue{}
		}
		q.account = r.account
		s.queues[r.account] = q
		s.active.pushBack(&q.active, q)
	}
	q.requests.pushBack(&r.inQueue, r)
	r.queue = q
	b.enqueued(r)
}

// enqueueFront puts r, which was handed over before, in front of all others but
// those that were put back too and came before it. It looks at a few of these only:
// a worker that gives many back isn't worth a scan.
func (b *Broker) enqueueFront(r *request) {
	const most = 16
	front := &r.service.front
	at := front.head
	for n := 0; n < most && at != nil && at.of.serial < r.serial; n++ {
		at = at.next
	}
	front.insert(&r.inFront, r, at)
	b.enqueued(r)
}

func (b *Broker) enqueued(r *request) {
	s := r.service
	r.own()
	r.state, r.since = stateQueued, b.now
	if r.rpc() {
		s.answerable.pushBack(&r.inAnswer, r)
	}
	b.waiting(r)
	s.queued++
	b.queued++
	if s.queued == 1 && !s.known {
		b.unknown++
	}
}

// unqueue takes r out of whichever queue it is in.
func (b *Broker) unqueue(r *request) {
	s := r.service
	r.inAnswer.unlink()
	if q := r.queue; q == nil {
		r.inFront.unlink()
	} else {
		r.inQueue.unlink()
		r.queue = nil
		if q.requests.n == 0 {
			q.active.unlink()
			delete(s.queues, q.account)
			if len(b.freeQueues) < maxFree {
				q.account = nil
				b.freeQueues = append(b.freeQueues, q)
			}
		}
	}
	r.state = stateNone
	s.queued--
	b.queued--
	if s.queued == 0 && !s.known {
		b.unknown--
	}
	b.waited(r)
}

// waiting counts r among what its caller, its service and the broker have waiting.
func (b *Broker) waiting(r *request) {
	b.waits.add(r)
	r.account.waits.add(r)
	r.service.waits.add(r)
	r.service.isVacant.unlink()
}

func (b *Broker) waited(r *request) {
	b.waits.remove(r)
	r.account.waits.remove(r)
	r.service.waits.remove(r)
	b.vacate(r.service)
}

// full says which limit keeps r from waiting, or "".
func (b *Broker) full(r *request) string {
	s, size := r.service, int64(r.size)
	switch {
	case s.waits.requests >= s.config.MaxQueued:
		return "the service's queue is full"
	case s.waits.bytes+size > s.config.MaxQueuedBytes:
		return "the service's queue holds too many bytes"
	case r.account.waits.requests >= b.cfg.MaxCallerQueued:
		return "the caller has too many requests queued"
	case r.account.waits.bytes+size > b.cfg.MaxCallerBytes:
		return "the caller has too many bytes queued"
	case b.waits.requests >= b.cfg.MaxQueued:
		return "the broker's queues are full"
	case b.waits.bytes+size > b.cfg.MaxQueuedBytes:
		return "the broker's queues hold too many bytes"
	}
	return ""
}

// overloaded returns the failure of a request for which there is no room.
func (b *Broker) overloaded(s *service, why string) failure {
	b.counts.Overloaded++
	return failure{code: jsonrpc.CodeOverloaded, text: why, retry: s.retryAfter()}
}

// retryAfter guesses when a full queue will have room: when a quarter of it is
// served at the pace that the service had lately.
func (s *service) retryAfter() time.Duration {
	wait := time.Duration(s.queued/4) * s.pace
	return min(max(wait, 10*time.Millisecond), 5*time.Second)
}

// serviceNamed returns the record of a service, making it if there is room. It
// returns nil where there is none.
func (b *Broker) serviceNamed(name []byte) *service {
	if s := b.services[string(name)]; s != nil {
		return s
	}
	if len(b.services) >= b.cfg.MaxServices {
		s := b.vacant.front()
		if s == nil {
			return nil
		}
		b.forgetService(s)
	}
	s := &service{name: string(name)}
	s.config = b.cfg.service(s.name)
	s.sweep.kind, s.sweep.owner = timerSweep, s
	b.services[s.name] = s
	b.all.pushBack(&s.all, s)
	b.vacate(s)
	return s
}

// vacate lists s among those that may be forgotten, if nothing needs it.
func (b *Broker) vacate(s *service) {
	if s.waits.requests > 0 || s.running > 0 || s.workers.n > 0 || s.paused || s.isVacant.linked() {
		return
	}
	s.vacantAt = b.now
	b.vacant.pushBack(&s.isVacant, s)
	if !b.memory.pending() {
		b.wheel.set(&b.memory, b.now+b.cfg.ServiceMemory)
	}
}

func (b *Broker) forgetService(s *service) {
	b.wheel.stop(&s.sweep)
	s.isVacant.unlink()
	s.all.unlink()
	delete(b.services, s.name)
}

// memoryFired forgets the services that nobody needed for long.
func (b *Broker) memoryFired() {
	for s := b.vacant.front(); s != nil; s = b.vacant.front() {
		if at := s.vacantAt + b.cfg.ServiceMemory; b.now < at {
			b.wheel.set(&b.memory, at)
			return
		}
		if !b.spend() {
			b.soon(&b.memory)
			return
		}
		b.forgetService(s)
	}
}

// sweepFired goes on with what is queued at s: it answers what can't be served,
// and hands over what can.
func (b *Broker) sweepFired(s *service) {
	if b.turnAway(s) {
		b.serve(s)
	}
}

// turnAway tells the requests of s that can't be served because no worker came in
// time or the broker drains. Opaque ones can't be told: they wait until their
// time, or the drain's, is over. It reports false where the rest has to wait for
// the next step.
func (b *Broker) turnAway(s *service) bool {
	if s.queued == 0 || !b.draining && s.workers.n > 0 {
		return true
	}
	if at := b.noWorkerAt(s); !b.draining && b.now < at {
		if s.answerable.n > 0 {
			b.wheel.set(&s.sweep, at)
		}
		return true
	}
	f := b.unserved(s)
	if b.draining {
		f = draining()
	}
	for {
		r := s.answerable.front()
		if r == nil && b.drainOver {
			r = s.first()
		}
		if r == nil {
			return true
		}
		if !b.spend() {
			b.soon(&s.sweep)
			return false
		}
		b.unqueue(r)
		b.fail(r, f)
	}
}

// noWorkerAt is when requests to a service without workers are no longer kept
// waiting (docs/protocol.md "What the broker says").
func (b *Broker) noWorkerAt(s *service) time.Duration {
	return s.alone + b.cfg.NoWorkerWait
}
