package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// request takes a client's REQUEST (RFC 7 "Client").
func (b *Broker) request(p *Peer, ev *Event) {
	b.counts.Received++
	r := b.newRequest(p, ev)
	name := ev.Command.Service
	b.observeRequest(r, Received, detail{body: r.body})
	if ev.Size > b.cfg.MaxMessageBytes {
		b.fail(r, failure{code: jsonrpc.CodeTooLarge, text: "the request is larger than the broker takes"})
		return
	}
	if !b.permitted(p, r) {
		b.fail(r, failure{code: jsonrpc.CodeNotPermitted, text: "not permitted to call " + quoted(string(name))})
		return
	}
	if b.draining && r.rpc() {
		b.fail(r, draining())
		return
	}
	s := b.services[string(name)]
	if s == nil {
		if b.now >= b.cfg.NoWorkerWait && r.rpc() {
			b.fail(r, noService(string(name)))
			return
		}
		if s = b.serviceNamed(name); s == nil {
			b.fail(r, failure{code: jsonrpc.CodeOverloaded, text: "the broker knows too many services", retry: b.cfg.NoWorkerWait})
			return
		}
	}
	r.service = s
	if len(r.env.Meta.Key) > 0 && r.rpc() && r.env.Meta.Window < 0 && b.enter(r) {
		return
	}
	b.admit(r)
}

// permitted says whether p may make the request (docs/protocol.md "Security").
func (b *Broker) permitted(p *Peer, r *request) bool {
	a := b.cfg.Authorizer
	if a == nil {
		return true
	}
	if !a.ByMethod(r.name) {
		return a.Allow(p.id, MayCall, r.name, nil)
	}
	known := r.env.Kind == jsonrpc.Request || r.env.Kind == jsonrpc.Notification
	return known && a.Allow(p.id, MayCall, r.name, r.env.Method)
}

// admit hands r to a worker that is free, or queues it.
func (b *Broker) admit(r *request) {
	s := r.service
	if s.queued == 0 {
		if m := s.next(); m != nil {
			b.handOver(r, m)
			return
		}
	}
	if why := b.full(r); why != "" {
		b.counts.Overloaded++
		b.fail(r, failure{code: jsonrpc.CodeOverloaded, text: why, retry: s.retryAfter()})
		return
	}
	if s.workers.n == 0 {
		at := b.noWorkerAt(s)
		if b.now >= at && r.rpc() {
			f := b.unserved(s)
			b.fail(r, f)
			return
		}
		if !s.sweep.pending() {
			b.wheel.set(&s.sweep, at)
		}
	}
	if b.draining {
		b.wheel.set(&s.sweep, b.now) // it is opaque: it is set aside until the drain's end
	}
	b.enqueue(r)
	b.arm(r)
	b.observeRequest(r, Queued, detail{})
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
		without = 0
		b.handOver(b.pop(m.service), m)
	}
}

// handOver gives r, which is in no queue, to m's worker, which is free.
func (b *Broker) handOver(r *request, m *member) {
	if r.deadline > 0 && b.now >= r.deadline {
		b.expire(r)
		return
	}
	if r.entry != nil && r.env.Meta.Attempt > 1 && r.attempts == 0 && !m.idempotent(m.method(r)) {
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
		r.slot = uint32(len(w.slots))
		w.slots = append(w.slots, slot{})
	}
	sl := &w.slots[r.slot]
	sl.request = r
	sl.generation++
	r.attempts++
	r.member, r.handed, r.state = m, b.now, stateRunning
	b.running++
	r.service.running++
	r.address = b.address(r, m, sl.generation)
	if m.inIdle.linked() {
		if w.used < w.capacity {
			m.inIdle.moveToBack()
		} else {
			m.inIdle.unlink()
		}
	}
	b.arm(r)
	b.observeRequest(r, Dispatched, detail{})
	b.send(w.peer, &mdp.Command{Version: w.version, Kind: mdp.WorkerRequest, Address: r.address, Body: r.body})
}

// address makes the address frame (docs/protocol.md "The address frame").
func (b *Broker) address(r *request, m *member, generation uint32) []byte {
	token := uint64(r.slot)<<32 | uint64(generation)
	if !m.worker.registered {
		return mdp.AppendToken(b.arena.bytes(16), token)
	}
	a := mdp.Address{
		Token: token, Remaining: mdp.NoDeadline, Attempt: uint8(min(r.attempts, 255)), Service: m.index, Caller: r.account.frame,
	}
	if r.deadline > 0 {
		left := (r.deadline - b.now + time.Millisecond - 1) / time.Millisecond
		a.Remaining = uint32(min(int64(left), int64(mdp.NoDeadline-1)))
	}
	return a.AppendTo(b.arena.bytes(16 + len(a.Caller)))
}
