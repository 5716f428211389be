package majordomo

import "time"

// account is whom limits and fairness go by: an authenticated caller with all its
// connections, or one connection of a caller that isn't.
type account struct {
	name   string
	frame  []byte // the name, for address frames
	peers  int
	queued int
	bytes  int64
}

// callerQueue holds the requests of one account at one service, first in first
// out.
type callerQueue struct {
	account  *account
	requests list[request]
	active   node[callerQueue]
}

// service is a queue and the workers that serve it.
type service struct {
	name   string
	config ServiceConfig
	paused bool

	workers list[member]
	idle    list[member] // may hold members whose worker has no free slot; they drop out when met

	front   list[request] // to be served first: they were handed over before
	parked  list[request] // opaque ones that outlived a sweep
	active  list[callerQueue]
	queues  map[*account]*callerQueue
	queued  int
	bytes   int64
	running int // handed over and not settled

	known     bool // had a worker
	alone     time.Duration
	sweep     timer
	isVacant  node[service]
	vacantAt  time.Duration
	doc       *ServiceDoc
	finished  uint64
	failed    uint64
	lastFinal time.Duration
	pace      time.Duration // smoothed time between two FINALs
}

// pop takes the request that is to be served next out of the queue, or returns
// nil.
func (b *Broker) pop(s *service) *request {
	r := s.front.front()
	if r == nil {
		r = s.parked.front()
	}
	if r == nil {
		q := s.active.front()
		if q == nil {
			return nil
		}
		r = q.requests.front()
		if q.requests.n > 1 {
			q.active.moveToBack() // the next caller's turn
		}
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
	b.counted(r)
}

// enqueueFront puts r before all others.
func (b *Broker) enqueueFront(r *request) {
	r.service.front.pushFront(&r.inQueue, r)
	b.counted(r)
}

// park keeps r, which a sweep left, in its order.
func (b *Broker) park(r *request) {
	r.service.parked.pushBack(&r.inQueue, r)
	b.counted(r)
}

func (b *Broker) counted(r *request) {
	s := r.service
	r.state = stateQueued
	s.queued++
	s.bytes += int64(r.size)
	r.account.queued++
	r.account.bytes += int64(r.size)
	b.queued++
	b.queuedBytes += int64(r.size)
	s.isVacant.unlink()
}

// unqueue takes r out of whichever queue it is in.
func (b *Broker) unqueue(r *request) {
	s := r.service
	r.inQueue.unlink()
	if q := r.queue; q != nil {
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
	s.bytes -= int64(r.size)
	r.account.queued--
	r.account.bytes -= int64(r.size)
	b.queued--
	b.queuedBytes -= int64(r.size)
}

// full says which limit keeps r from being queued, or "".
func (b *Broker) full(r *request) string {
	s, size := r.service, int64(r.size)
	switch {
	case s.queued >= s.config.MaxQueued:
		return "the service's queue is full"
	case s.bytes+size > s.config.MaxQueuedBytes:
		return "the service's queue holds too many bytes"
	case r.account.queued >= b.cfg.MaxCallerQueued:
		return "the caller has too many requests queued"
	case r.account.bytes+size > b.cfg.MaxCallerBytes:
		return "the caller has too many bytes queued"
	case b.queued >= b.cfg.MaxQueued:
		return "the broker's queues are full"
	case b.queuedBytes+size > b.cfg.MaxQueuedBytes:
		return "the broker's queues hold too many bytes"
	}
	return ""
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
	b.vacate(s)
	return s
}

// vacate lists s among those that may be forgotten, if nothing needs it.
func (b *Broker) vacate(s *service) {
	if s.queued == 0 && s.running == 0 && s.workers.n == 0 && !s.paused && !s.isVacant.linked() {
		s.vacantAt = b.now
		b.vacant.pushBack(&s.isVacant, s)
		if !b.memory.pending() {
			b.wheel.set(&b.memory, b.now+b.cfg.ServiceMemory)
		}
	}
}

func (b *Broker) forgetService(s *service) {
	b.wheel.stop(&s.sweep)
	s.isVacant.unlink()
	delete(b.services, s.name)
}

// memoryFired forgets the services that nobody needed for long.
func (b *Broker) memoryFired() {
	for range sliceLength {
		s := b.vacant.front()
		if s == nil {
			return
		}
		if b.now < s.vacantAt+b.cfg.ServiceMemory {
			b.wheel.set(&b.memory, s.vacantAt+b.cfg.ServiceMemory)
			return
		}
		b.forgetService(s)
	}
	b.wheel.set(&b.memory, b.now)
}

// sweepFired answers what is queued at a service that can't be served: no worker
// came in time, or the broker drains. Opaque requests can't be told and stay.
func (b *Broker) sweepFired(s *service) {
	if !b.draining && (s.workers.n > 0 || b.now < b.noWorkerAt(s)) {
		return
	}
	for range sliceLength {
		r := s.front.front()
		if r == nil {
			if q := s.active.front(); q != nil {
				r = q.requests.front()
			}
		}
		if r == nil {
			return
		}
		b.unqueue(r)
		switch {
		case !r.rpc():
			b.park(r)
		case b.draining:
			b.fail(r, draining())
		default:
			b.fail(r, b.unserved(s))
		}
	}
	b.wheel.set(&s.sweep, b.now)
}

// noWorkerAt is when requests to a service without workers are no longer kept
// waiting (docs/protocol.md "What the broker says").
func (b *Broker) noWorkerAt(s *service) time.Duration {
	return s.alone + b.cfg.NoWorkerWait
}
