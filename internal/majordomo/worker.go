package majordomo

import (
	"bytes"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// worker is a peer that serves requests: a plain one, which said READY and has
// one slot, or a registered one, which said mmi.register before.
//
//	unknown ─► READY ──────────────────────► serving ─► draining ─► gone
//	   └─► mmi.register ─► registered ─► READY ─┘  ▲          │
//	                                               └── mmi.register (capacity > 0)
type worker struct {
	peer       *Peer
	version    mdp.Version
	registered bool
	ready      bool
	cancels    bool // knows rpc.cancel
	credits    bool // knows rpc.credit

	instance string
	info     Registration // without its services
	members  []*member
	turn     int // which member's queue is looked at first

	capacity int
	used     int
	held     bool // answered "not started": nothing until its next FINAL or registration
	slots    []slot
	unused   []uint32 // slots to use next

	busySince time.Duration
	beatsBusy bool // sent a heartbeat while it was busy: it needn't be given the busy limit
	strays    int
	finals    uint64
}

// slot holds one request at a worker. Token: index in the upper half, generation
// in the lower one.
type slot struct {
	request    *request
	generation uint32
}

// member is a worker's part in a service.
type member struct {
	worker  *worker
	service *service
	index   uint16 // in the registration
	methods map[string]*MethodDoc
	inAll   node[member]
	inIdle  node[member]
}

// free says whether w can be handed a request.
func (w *worker) free() bool {
	return w.used < w.capacity && w.ready && !w.held
}

// ready takes a READY (RFC 7 "Worker": 0x01).
func (b *Broker) ready(p *Peer, c *mdp.Command) {
	if w := p.worker; w != nil {
		if w.ready || c.Version != mdp.V02 {
			b.unexpected(p, c.Version, "second READY")
			return
		}
		for _, m := range w.members {
			if m.service.name == string(c.Service) {
				w.ready = true
				w.version = c.Version
				b.joined(w)
				return
			}
		}
		b.unexpected(p, c.Version, "READY for a service that was not registered")
		return
	}
	if refusal := b.refuses(p, c.Service); refusal != nil {
		b.unexpected(p, c.Version, "READY refused: "+refusal.Reason)
		return
	}
	s := b.serviceNamed(c.Service)
	if s == nil {
		b.unexpected(p, c.Version, "READY refused: too many services")
		return
	}
	w := &worker{peer: p, version: c.Version, capacity: 1, ready: true}
	p.worker = w
	b.enlist(w, s, 0, nil)
	b.joined(w)
}

// refuses says why p may not offer the service, or nil.
func (b *Broker) refuses(p *Peer, name []byte) *Refusal {
	refusal := &Refusal{Service: string(name)}
	switch {
	case mdp.CheckService(name) != nil:
		refusal.Code, refusal.Reason = jsonrpc.CodeInvalidParams, mdp.CheckService(name).Error()
	case mdp.Reserved(name):
		refusal.Code, refusal.Reason = jsonrpc.CodeInvalidParams, "names that begin with mmi. belong to the broker"
	case !b.allowed(p, MayRegister, name, nil):
		refusal.Code, refusal.Reason = jsonrpc.CodeNotPermitted, "not permitted to register this service"
	default:
		return nil
	}
	return refusal
}

// enlist makes w a worker of s.
func (b *Broker) enlist(w *worker, s *service, index uint16, methods map[string]*MethodDoc) {
	m := &member{worker: w, service: s, index: index, methods: methods}
	w.members = append(w.members, m)
	s.isVacant.unlink()
	s.workers.pushBack(&m.inAll, m)
	if !s.known || s.workers.n == 1 {
		s.known = true
		b.observe(Observation{Occasion: ServiceAppeared, Service: s.name, Worker: w.peer.id, Instance: w.instance})
	}
}

// delist takes m out of its service.
func (b *Broker) delist(m *member) {
	s := m.service
	m.inIdle.unlink()
	m.inAll.unlink()
	if s.workers.n > 0 {
		return
	}
	s.alone = b.now
	if s.queued > 0 {
		b.wheel.set(&s.sweep, b.noWorkerAt(s))
	}
	b.observe(Observation{Occasion: ServiceGone, Service: s.name, Worker: m.worker.peer.id, Instance: m.worker.instance})
	b.vacate(s)
}

// joined starts a worker that is ready.
func (b *Broker) joined(w *worker) {
	p := w.peer
	b.counts.Workers++
	b.wheel.set(&p.beat, b.now+min(b.cfg.HeartbeatInterval, b.patience(w)))
	for _, m := range w.members {
		b.observe(Observation{Occasion: WorkerJoined, Service: m.service.name, Worker: p.id, Instance: w.instance})
	}
	b.workerFree(w)
}

// patience is how long w may be silent (RFC 7 "Heartbeating"). Peers that serve one
// request at a time often can't send heartbeats meanwhile.
func (b *Broker) patience(w *worker) time.Duration {
	if w.used > 0 && !w.registered && !w.beatsBusy {
		return max(w.members[0].service.config.BusyLimit, b.cfg.expiry())
	}
	return b.cfg.expiry()
}

// speaking returns the worker that p is, or nil after telling p that it is none
// (RFC 7: valid but unexpected).
func (b *Broker) speaking(p *Peer, c *mdp.Command) *worker {
	w := p.worker
	if w == nil || !w.ready || w.version != c.Version {
		b.unexpected(p, c.Version, c.Kind.String()+" from a peer that is no worker here")
		return nil
	}
	return w
}

// unexpected answers a valid command that has no place here with DISCONNECT, and
// forgets the worker (RFC 7).
func (b *Broker) unexpected(p *Peer, v mdp.Version, why string) {
	b.counts.Unexpected++
	b.note(p, "unexpected command, peer disconnected: "+why, nil)
	if w := p.worker; w != nil {
		w.version = v
		b.lose(w, "protocol violated: "+why, true)
		return
	}
	b.send(p, &mdp.Command{Version: v, Kind: mdp.Disconnect})
}

func (b *Broker) heartbeat(p *Peer, c *mdp.Command) {
	w := b.speaking(p, c)
	if w == nil {
		return
	}
	// One that crossed the request on its way says nothing.
	if w.used > 0 && !w.beatsBusy && b.now-w.busySince >= b.cfg.HeartbeatInterval {
		w.beatsBusy = true
		b.wheel.set(&p.beat, min(p.sent+b.cfg.HeartbeatInterval, p.heard+b.cfg.expiry()))
	}
}

func (b *Broker) disconnect(p *Peer) {
	if p.worker != nil {
		b.lose(p.worker, "said goodbye", false)
	}
}

// lose forgets a worker and deals with what it was handed.
func (b *Broker) lose(w *worker, why string, tell bool) {
	p := w.peer
	if tell {
		b.send(p, &mdp.Command{Version: w.version, Kind: mdp.Disconnect})
	}
	p.worker = nil
	if !p.held {
		b.wheel.stop(&p.beat)
	}
	joined := w.ready
	if joined {
		b.counts.Workers--
	}
	w.ready = false
	for _, m := range w.members {
		if joined {
			b.observe(Observation{Occasion: WorkerLeft, Service: m.service.name, Worker: p.id, Instance: w.instance, Reason: why})
		}
		b.delist(m)
	}
	for i := range w.slots {
		r := w.slots[i].request
		if r == nil {
			continue
		}
		w.slots[i].request = nil
		if r.state == stateAbandoned {
			b.abandoned--
			b.closeRun(r, failure{code: jsonrpc.CodeWorkerLost, text: "the worker was lost: " + why})
			b.recycle(r)
			continue
		}
		b.orphan(r, why)
	}
}

// orphan decides what becomes of a request whose worker is gone.
func (b *Broker) orphan(r *request, why string) {
	method := r.member.method(r)
	lost := failure{code: jsonrpc.CodeWorkerLost, text: "the worker was lost while it had the request: " + why}
	switch {
	case !r.member.idempotent(method) || r.relayed > 0:
	case r.attempts >= r.member.attempts(method):
		lost = failure{code: jsonrpc.CodeQuarantined, text: "the request's workers were lost as often as its contract allows"}
		b.quarantine.put(b, r)
	default:
		b.requeue(r, "worker lost: "+why)
		return
	}
	b.tellFailure(r, lost)
	b.closeRun(r, lost)
	b.recycle(r)
}

// requeue puts a request that no slot holds any more before all others.
func (b *Broker) requeue(r *request, why string) {
	if r.state == stateRunning {
		b.running--
		r.service.running--
	}
	r.state = stateNone
	b.counts.Requeued++
	b.observeRequest(r, Requeued, detail{reason: why})
	r.member, r.address = nil, nil
	switch {
	case b.draining && r.rpc():
		b.fail(r, draining())
	default:
		s := r.service
		b.enqueueFront(r)
		b.arm(r)
		if s.workers.n == 0 {
			b.wheel.set(&s.sweep, b.noWorkerAt(s))
		}
		b.serve(s)
	}
}

// method returns what the worker that r was handed to said of r's method, or nil.
func (m *member) method(r *request) *MethodDoc {
	_, name, ok := jsonrpc.SplitMethod(r.env.Method)
	if !ok {
		return nil
	}
	return m.methods[string(name)]
}

func (m *member) idempotent(d *MethodDoc) bool {
	if m.worker.registered {
		return d != nil && d.Idempotent
	}
	return m.service.config.Idempotent
}

func (m *member) attempts(d *MethodDoc) int {
	if d != nil && d.Attempts > 0 {
		return d.Attempts
	}
	return m.service.config.Attempts
}

// claim returns the request that the worker's reply is for, or nil where there is
// none (docs/protocol.md "Peers that break the rules").
func (b *Broker) claim(w *worker, c *mdp.Command) *request {
	token, err := mdp.AddressToken(c.Address)
	at, generation := uint32(token>>32), uint32(token)
	if err == nil && int(at) < len(w.slots) && generation <= w.slots[at].generation {
		if r := w.slots[at].request; r != nil && w.slots[at].generation == generation && bytes.Equal(c.Address, r.address) {
			return r
		}
	} else if err == nil || w.finals == 0 {
		b.unexpected(w.peer, w.version, c.Kind.String()+" for a request that was never handed over")
		return nil
	}
	// A worker that says something more after its FINAL is out of step, not
	// hostile, unless it goes on.
	b.counts.Strays++
	w.strays++
	if w.strays > b.cfg.MaxStrays {
		b.unexpected(w.peer, w.version, "too many replies that no request waits for")
	}
	return nil
}

// partial relays one PARTIAL.
func (b *Broker) partial(p *Peer, ev *Event) {
	c := &ev.Command
	w := b.speaking(p, c)
	if w == nil {
		return
	}
	r := b.claim(w, c)
	if r == nil {
		return
	}
	if r.state == stateAbandoned {
		b.counts.Late++
		return
	}
	r.relayed++
	b.observeRequest(r, Partial, detail{body: c.Body})
	switch {
	case ev.Size > b.cfg.MaxMessageBytes:
		b.refusePartial(r, "a part of the reply is larger than the broker relays")
		return
	case r.peer == nil:
	case r.version == mdp.V01:
		// MDP/0.1 knows one REPLY: parts are kept until the FINAL.
		r.kept = append(r.kept, c.Body...)
		if r.keptBytes += ev.Size; r.keptBytes > b.cfg.MaxPartialBytes {
			b.refusePartial(r, "the parts of the reply are larger than the broker keeps for a client of MDP/0.1")
			return
		}
	default:
		b.send(r.peer, &mdp.Command{Version: mdp.V02, Kind: mdp.ClientPartial, Service: r.name, Body: c.Body})
	}
	if r.env.Meta.Window < 0 {
		// The client doesn't know credit; what bounds it is its own queue.
		if r.uncredit++; r.uncredit >= defaultWindow/2 {
			b.tellCredit(r, r.uncredit)
			r.uncredit = 0
		}
	}
}

func (b *Broker) refusePartial(r *request, why string) {
	r.kept = nil
	b.tellFailure(r, failure{code: jsonrpc.CodeTooLarge, text: why})
	b.abandon(r, true)
}

// final relays a worker's last word on a request and gives it the next one.
func (b *Broker) final(p *Peer, ev *Event) {
	c := &ev.Command
	w := b.speaking(p, c)
	if w == nil {
		return
	}
	r := b.claim(w, c)
	if r == nil {
		return
	}
	w.finals++
	w.strays = 0
	b.freeSlot(r)
	code := 0
	if ev.Envelope.Kind == jsonrpc.Failure {
		code, _, _, _ = jsonrpc.ParseError(ev.Envelope.Error)
	}
	if code == jsonrpc.CodeNotStarted && w.registered {
		w.held = true
		b.notStarted(r)
		return
	}
	w.held = false
	b.paced(r.service, code)
	switch {
	case r.state == stateAbandoned:
		b.counts.Late++
		b.abandoned--
		b.complete(r, c.Body, code)
	case ev.Size > b.cfg.MaxMessageBytes:
		f := failure{code: jsonrpc.CodeTooLarge, text: "the reply is larger than the broker relays"}
		b.tellFailure(r, f)
		b.closeRun(r, f)
	default:
		if r.peer != nil {
			b.sendFinal(r, c.Body)
		}
		o := Replied
		if ev.Envelope.Kind == jsonrpc.Failure {
			o = Failed
		}
		b.settle(r, o, code, "", c.Body)
		b.complete(r, c.Body, code)
	}
	b.recycle(r)
	b.workerFree(w)
}

// complete keeps the reply to a keyed request.
func (b *Broker) complete(r *request, body [][]byte, code int) {
	if e := r.entry; e != nil {
		r.entry = nil
		o := Replied
		if code != 0 {
			o = Failed
		}
		b.keep(e, body, o, code, "")
	}
}

// notStarted puts back a request that its worker had no room for.
func (b *Broker) notStarted(r *request) {
	if r.state == stateAbandoned {
		b.abandoned--
		b.closeRun(r, failure{code: jsonrpc.CodeExpired, text: "the request ended before a worker started it"})
		b.recycle(r)
		return
	}
	r.attempts--
	b.requeue(r, "not started by the worker")
}

// paced keeps the pace at which s is served.
func (b *Broker) paced(s *service, code int) {
	s.finished++
	if code != 0 {
		s.failed++
	}
	s.pace += (b.now - s.lastFinal - s.pace) / 16
	s.lastFinal = b.now
}

// freeSlot takes r out of its worker's slot.
func (b *Broker) freeSlot(r *request) {
	w := r.member.worker
	w.slots[r.slot].request = nil
	w.unused = append(w.unused, r.slot)
	w.used--
}
