package majordomo

import (
	"bytes"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// request takes a client's REQUEST (RFC 7 "Client").
func (b *Broker) request(p *Peer, ev *Event) {
	b.counts.Received++
	r := b.newRequest(p, ev)
	b.observeRequest(r, Received, detail{body: r.body})
	if ev.Size > b.cfg.MaxMessageBytes {
		b.fail(r, failure{code: jsonrpc.CodeTooLarge, text: "the request is larger than the broker takes"})
		return
	}
	if !b.permitted(p, r) {
		b.fail(r, failure{code: jsonrpc.CodeNotPermitted, text: "not permitted to call " + quoted(string(r.name))})
		return
	}
	if r.env.Kind == jsonrpc.Notification && bytes.HasPrefix(r.env.Method, controlPrefix) {
		// To a worker it would be word of another request, which it doesn't have, and
		// it would never reply.
		b.fail(r, failure{code: jsonrpc.CodeMethodNotFound, text: "notifications that begin with rpc. are the broker's"})
		return
	}
	s, f := b.asked(r)
	if s == nil {
		b.fail(r, f)
		return
	}
	r.service = s
	if r.keyed() && b.repeat(r) {
		return
	}
	if f, ok := b.placeable(r); !ok {
		b.fail(r, f)
		return
	}
	if r.keyed() && !b.enter(r) {
		return
	}
	b.place(r)
}

// permitted says whether p may make the request (docs/protocol.md "Security").
func (b *Broker) permitted(p *Peer, r *request) bool {
	a := b.cfg.Authorizer
	if a == nil {
		return true
	}
	var method []byte
	if a.ByMethod(r.name) {
		if !r.env.Complete && len(r.body) == 1 {
			// What stands behind the head may make it mean another method.
			jsonrpc.Scan(r.body[0], &r.env)
			r.read()
		}
		if r.env.Kind != jsonrpc.Request && r.env.Kind != jsonrpc.Notification || r.env.Ambiguous {
			return false
		}
		method = r.env.Method
	}
	return a.Allow(p.id, MayCall, r.name, method)
}

// asked returns the service that r asks for, or why there is none.
func (b *Broker) asked(r *request) (*service, failure) {
	if s := b.services[string(r.name)]; s != nil {
		return s, failure{}
	}
	if err := mdp.CheckService(r.name); err != nil {
		return nil, failure{code: jsonrpc.CodeNoService, text: "no such service: " + err.Error()}
	}
	switch {
	case b.refusesNew(r):
		return nil, draining()
	case r.rpc() && b.now >= b.cfg.NoWorkerWait:
		return nil, noService(string(r.name))
	case b.unknown < max(b.cfg.MaxServices/2, 1): // the other half is for those that exist
		if s := b.serviceNamed(r.name); s != nil {
			return s, failure{}
		}
	}
	b.counts.Overloaded++
	return nil, failure{code: jsonrpc.CodeOverloaded, text: "the broker knows too many services", retry: b.cfg.NoWorkerWait}
}

// refusesNew says that a draining broker has no time for r any more: requests
// that can be told so are refused at once, opaque ones after the drain's deadline.
func (b *Broker) refusesNew(r *request) bool {
	return b.draining && (r.rpc() || b.drainOver || b.drained)
}

// placeable says whether there is a worker or room in the queue for r, or why not.
func (b *Broker) placeable(r *request) (failure, bool) {
	s := r.service
	if b.refusesNew(r) {
		return draining(), false
	}
	if s.queued == 0 && s.next() != nil {
		return failure{}, true
	}
	if why := b.full(r); why != "" {
		return b.overloaded(s, why), false
	}
	if s.workers.n == 0 && r.rpc() && b.now >= b.noWorkerAt(s) {
		return b.unserved(s), false
	}
	return failure{}, true
}

// place hands r to a worker that is free, or queues it.
func (b *Broker) place(r *request) {
	s := r.service
	if s.queued == 0 {
		if m := s.next(); m != nil {
			b.handOver(r, m)
			return
		}
	}
	b.enqueue(r)
	b.arm(r)
	b.observeRequest(r, Queued, detail{})
	b.awaitWorkers(s)
}

// awaitWorkers has those who wait at s told when it is time that nobody serves
// them.
func (b *Broker) awaitWorkers(s *service) {
	switch {
	case s.answerable.n == 0:
	case b.draining:
		b.soon(&s.sweep)
	case s.workers.n == 0 && !s.sweep.pending():
		b.wheel.set(&s.sweep, b.noWorkerAt(s))
	}
}

// next returns the worker of s whose turn it is, or nil where none is free.
func (s *service) next() *member {
	if s.paused {
		return nil
	}
	for m := s.idle.front(); m != nil; m = s.idle.front() {
		if m.worker.free() {
			return m
		}
		m.inIdle.unlink()
	}
	return nil
}

// serve hands over what s has queued, as long as workers are free.
func (b *Broker) serve(s *service) {
	for s.queued > 0 {
		m := s.next()
		if m == nil {
			return
		}
		if !b.spend() {
			b.soon(&s.sweep)
			return
		}
		b.handOver(b.pop(s), m)
	}
}

// workerFree gives w, which may have got a free slot, what waits for it, and its
// place among the idle workers.
func (b *Broker) workerFree(w *worker) {
	if !w.free() {
		return
	}
	if b.queued > 0 {
		b.feed(w)
	}
	if !w.free() {
		return
	}
	for _, m := range w.members {
		if !m.inIdle.linked() {
			m.service.idle.pushBack(&m.inIdle, m)
		}
	}
}

// feed hands w requests that are queued, in turn from each of its services.
func (b *Broker) feed(w *worker) {
	for without := 0; without < len(w.members) && w.free(); {
		m := w.members[w.turn%len(w.members)]
		w.turn++
		if m.service.queued == 0 || m.service.paused {
			without++
			continue
		}
		if !b.spend() {
			b.soon(&m.service.sweep)
			without++
			continue
		}
		without = 0
		b.handOver(b.pop(m.service), m)
	}
}

// handOver gives r, which is in no queue, to m's worker, which is free.
func (b *Broker) handOver(r *request, m *member) {
	if b.now >= r.deadline {
		b.expire(r)
		return
	}
	if r.peer != nil && r.peer.closed {
		b.forsakeQueued(r)
		return
	}
	r.member, r.methods = m, m.methods
	if r.attempts == 0 && r.unsure() && !r.idempotent() {
		r.member = nil // it never had it
		b.fail(r, failure{
			code: jsonrpc.CodeOutcomeUnknown,
			text: "an earlier attempt may have run and its outcome isn't known here",
		})
		return
	}
	w := m.worker
	if w.used == 0 {
		w.busySince = b.now
	}
	w.used++
	if n := len(w.unused); n > 0 {
		r.slot, w.unused = w.unused[n-1], w.unused[:n-1]
	} else {
		r.slot = len(w.slots)
		w.slots = append(w.slots, slot{})
	}
	sl := &w.slots[r.slot]
	sl.request = r
	sl.generation++
	r.attempts++
	r.handed, r.state = b.now, stateRunning
	b.running++
	r.service.running++
	r.address = b.address(r, m, sl.generation)
	if m.inIdle.linked() {
		if w.used < w.capacity {
			m.inIdle.unlink()
			m.service.idle.pushBack(&m.inIdle, m)
		} else {
			m.inIdle.unlink()
		}
	}
	b.arm(r)
	b.observeRequest(r, Dispatched, detail{})
	body := r.body
	if r.single != nil {
		b.single[0] = r.single
		body = b.single[:]
	}
	b.send(w.peer, &mdp.Command{Version: w.version, Kind: mdp.WorkerRequest, Address: r.address, Body: body})
}

// address makes the address frame (docs/protocol.md "The address frame").
func (b *Broker) address(r *request, m *member, generation uint64) []byte {
	token := uint64(r.slot)<<generationBits | generation
	if !m.worker.registered {
		return mdp.AppendToken(b.arena.bytes(16), token)
	}
	a := mdp.Address{
		Token: token, Remaining: mdp.NoDeadline, Attempt: uint8(min(r.attempts, 255)), Service: m.index, Caller: r.account.frame,
	}
	if r.deadline != never {
		left := (r.deadline - b.now + time.Millisecond - 1) / time.Millisecond
		a.Remaining = uint32(min(int64(left), int64(mdp.NoDeadline-1)))
	}
	return a.AppendTo(b.arena.bytes(16 + len(a.Caller)))
}
