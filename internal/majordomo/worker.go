package majordomo

import (
	"bytes"
	"cmp"
	"slices"
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
//
// What an operator drained stays so until its connection ends.
//
// Most workers of many have one service and one slot, and are out of the
// processor's caches when their turn comes: what they need then stands together.
type worker struct {
	peer       *Peer
	version    mdp.Version
	registered bool
	ready      bool
	held       bool // answered "not started": nothing until its next FINAL or registration
	drained    bool // by an operator: nothing any more
	beatsBusy  bool // sent a heartbeat while it was busy: it needn't be given the busy limit
	cancels    bool // knows rpc.cancel
	credits    bool // knows rpc.credit

	capacity  int
	used      int
	busySince time.Duration
	strays    int
	finals    uint64
	slots     []slot
	unused    []int // slots to use next
	members   []*member
	turn      int // which member's queue is looked at first

	firstSlot    [1]slot
	firstUnused  [1]int
	firstMember  member
	firstMembers [1]*member

	instance string
	info     *Registration // without its services; nil where it didn't register
}

// newWorker makes p a worker.
func newWorker(p *Peer, v mdp.Version) *worker {
	w := &p.firstWorker
	if w.peer != nil {
		w = new(worker) // what refers to the first may still be about
	}
	w.peer, w.version, w.drained = p, v, p.drained
	p.worker = w
	w.slots, w.unused = w.firstSlot[:0], w.firstUnused[:0]
	return w
}

// newMember adds a member to w.
func (w *worker) newMember() *member {
	m := &w.firstMember
	if m.worker != nil {
		m = new(member)
	} else {
		w.members = w.firstMembers[:0]
	}
	w.members = append(w.members, m)
	return m
}

// slot holds one request at a worker, or none. A request's token is the slot's
// index, in 16 bits, and how often the slot was filled.
type slot struct {
	request    *request
	generation uint64
}

const (
	generationBits = 48
	maxSlots       = 1 << (64 - generationBits)
)

// member is a worker's part in a service.
type member struct {
	worker  *worker
	service *service
	index   uint16 // in the registration
	methods map[string]*MethodDoc
	inAll   node[member]
	inIdle  place[member]
}

// free says whether w can be handed a request.
func (w *worker) free() bool {
	return w.used < w.capacity && w.ready && !w.held && !w.drained
}

// draining says whether w gets nothing new, by its own wish or an operator's.
func (w *worker) draining() bool { return w.capacity == 0 || w.drained }

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
	if b.drained || p.refused {
		// A READY goes out with the registration. Of a peer that said what it can do,
		// and wasn't taken, it makes no plain worker that could do as much.
		b.send(p, &mdp.Command{Version: c.Version, Kind: mdp.Disconnect})
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
	w := newWorker(p, c.Version)
	w.capacity, w.ready = 1, true
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
	case !b.allowed(p, MayRegister, name):
		refusal.Code, refusal.Reason = jsonrpc.CodeNotPermitted, "not permitted to register this service"
	default:
		return nil
	}
	return refusal
}

// enlist makes w a worker of s.
func (b *Broker) enlist(w *worker, s *service, index uint16, methods map[string]*MethodDoc) {
	m := w.newMember()
	m.worker, m.service, m.index, m.methods = w, s, index, methods
	s.isVacant.unlink()
	s.workers.pushBack(&m.inAll, m)
	if !s.known {
		s.known = true
		if s.queued > 0 {
			b.unknown--
		}
	}
	if s.workers.n == 1 {
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
	b.awaitWorkers(s)
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
	if p.held {
		b.wheel.set(&p.beat, max(p.heard+b.cfg.expiry(), b.now))
	} else {
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
	b.orphanAll(w, why)
}

// orphanAll takes what a lost worker was handed out of its slots and decides what
// becomes of it.
func (b *Broker) orphanAll(w *worker, why string) {
	held := make([]*request, 0, w.used)
	for i := range w.slots {
		if r := w.slots[i].request; r != nil {
			held = append(held, r)
			w.slots[i].request = nil
		}
	}
	slices.SortFunc(held, func(a, b *request) int { return cmp.Compare(a.serial, b.serial) })
	again := held[:0]
	for _, r := range held {
		if b.orphan(r, why) {
			again = append(again, r)
		}
	}
	for _, r := range slices.Backward(again) { // each before the ones that came after it
		b.requeue(r, "worker lost: "+why)
	}
}

// orphan decides what becomes of a request whose worker is gone, and reports
// whether it is to run again.
func (b *Broker) orphan(r *request, why string) bool {
	again := r.idempotent() && r.relayed == 0
	spent := r.attempts >= r.most()
	lost := failure{code: jsonrpc.CodeWorkerLost, text: "the worker was lost while it had the request: " + why}
	switch {
	case r.state == stateAbandoned:
		b.abandoned--
		if e := r.entry; e != nil && again && !spent && b.promote(e) {
			b.recycle(r)
			return false
		}
		b.closeRun(r, lost)
		b.recycle(r)
		return false
	case again && !spent:
		return true
	case again:
		lost = failure{code: jsonrpc.CodeQuarantined, text: "the request's workers were lost as often as its contract allows"}
		b.quarantine.put(b, r)
	}
	b.tellFailure(r, lost)
	b.closeRun(r, lost)
	b.recycle(r)
	return false
}

// requeue puts a request that no slot holds any more before all others.
func (b *Broker) requeue(r *request, why string) {
	b.ran(r)
	r.state = stateNone
	b.counts.Requeued++
	b.observeRequest(r, Requeued, detail{reason: why})
	r.member, r.methods, r.address = nil, nil, nil
	if b.refusesNew(r) {
		b.fail(r, draining())
		return
	}
	if e := r.entry; e != nil && r.peer == nil && e.joined.n == 0 {
		b.forsakeQueued(r)
		return
	}
	b.enqueueFront(r)
	b.arm(r)
	// Not at once: other workers may be lost at this very moment, and each that it
	// is given to counts as an attempt.
	b.soon(&r.service.sweep)
}

// contract returns what the worker that r was handed to, or is about to be, said of
// r's method then, or nil.
func (r *request) contract() *MethodDoc {
	service, name, ok := jsonrpc.SplitMethod(r.env.Method)
	if !ok || string(service) != r.service.name {
		return nil
	}
	return r.methods[string(name)]
}

// idempotent says whether what r's worker does may be done again.
func (r *request) idempotent() bool {
	if !r.member.worker.registered {
		return r.service.config.Idempotent
	}
	d := r.contract()
	return d != nil && d.Idempotent
}

// most returns how often r may be handed over.
func (r *request) most() int {
	if d := r.contract(); d != nil && d.Attempts > 0 {
		return d.Attempts
	}
	return r.service.config.Attempts
}

// claim returns the request that the worker's reply is for, or nil where there is
// none (docs/protocol.md "Peers that break the rules").
func (b *Broker) claim(w *worker, c *mdp.Command) *request {
	token, err := mdp.AddressToken(c.Address)
	at, generation := int(token>>generationBits), token&(1<<generationBits-1)
	switch {
	case err != nil && w.finals > 0:
	case err != nil || at >= len(w.slots) || generation == 0 || generation > w.slots[at].generation:
		b.unexpected(w.peer, w.version, c.Kind.String()+" for a request that was never handed over")
		return nil
	case generation == w.slots[at].generation && w.slots[at].request != nil:
		r := w.slots[at].request
		if !bytes.Equal(c.Address, r.address) {
			b.unexpected(w.peer, w.version, c.Kind.String()+" with another address than the request's")
			return nil
		}
		return r
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
	if ev.Size > b.cfg.MaxMessageBytes {
		b.refusePartial(r, "a part of the reply is larger than the broker relays")
		return
	}
	r.relayed++
	b.observeRequest(r, Partial, detail{body: c.Body})
	switch {
	case r.peer == nil:
	case r.version == mdp.V01:
		// MDP/0.1 knows one REPLY: parts are kept until the FINAL.
		r.kept = append(r.kept, ownFrames(p.id.Local, c.Body)...)
		if r.keptBytes += ev.Size; r.keptBytes > b.cfg.MaxPartialBytes {
			b.refusePartial(r, "the parts of the reply are larger than the broker keeps for a client of MDP/0.1")
			return
		}
	default:
		b.send(r.peer, &mdp.Command{Version: mdp.V02, Kind: mdp.ClientPartial, Service: r.name, Body: c.Body})
	}
	if r.env.Meta.Window < 0 || r.peer == nil || r.version == mdp.V01 {
		// Nobody gives credit; what bounds a client that doesn't know it is its own
		// queue.
		if r.uncredit++; r.uncredit >= r.creditEvery() {
			b.tellCredit(r, r.uncredit)
			r.uncredit = 0
		}
	}
}

// creditEvery returns after how many PARTIALs of r its worker gets new credit,
// early enough not to stop for it.
func (r *request) creditEvery() int {
	window := r.env.Meta.Window
	if window < 0 {
		window = defaultWindow
	}
	return max(min(window, defaultWindow)/2, 1)
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
		if w.held && p.worker == w {
			// It replied to what was given up long ago (BusyLimit), and has room again.
			w.held = false
			b.workerFree(w)
		}
		return
	}
	w.finals++
	w.strays = 0
	b.freeSlot(r)
	occasion, code := Replied, 0
	if ev.Envelope.Kind == jsonrpc.Failure {
		occasion = Failed
		code, _, _, _ = jsonrpc.ParseError(ev.Envelope.Error)
	}
	if w.held = code == jsonrpc.CodeNotStarted && w.registered && r.relayed == 0; w.held {
		b.notStarted(r)
		return
	}
	b.paced(r, occasion)
	tooLarge := ev.Size > b.cfg.MaxMessageBytes
	failed := failure{code: jsonrpc.CodeTooLarge, text: "the reply is larger than the broker relays"}
	switch {
	case r.state == stateAbandoned:
		b.counts.Late++
		b.abandoned--
	case tooLarge:
		b.tellFailure(r, failed)
	default:
		if r.peer != nil {
			b.sendFinal(r, c.Body)
		}
		b.settle(r, occasion, code, "", c.Body)
	}
	if tooLarge {
		b.closeRun(r, failed)
	} else if e := r.entry; e != nil {
		r.entry = nil
		body := ownFrames(p.id.Local, c.Body)
		if len(body) == 1 {
			jsonrpc.ScanHead(body[0], &ev.Envelope)
		}
		b.keep(e, &ev.Envelope, body, outcome{occasion: occasion, code: code})
	}
	b.recycle(r)
	b.workerFree(w)
}

// notStarted puts back a request that its worker had no room for.
func (b *Broker) notStarted(r *request) {
	r.attempts--
	if r.state != stateAbandoned {
		b.requeue(r, "not started by the worker")
		return
	}
	b.abandoned--
	if r.entry != nil {
		b.unrun(r.entry, failure{code: jsonrpc.CodeExpired})
	}
	b.recycle(r)
}

// paced keeps the pace at which r's service is served.
func (b *Broker) paced(r *request, o Occasion) {
	s := r.service
	s.finished++
	if o == Failed {
		s.failed++
	}
	s.pace += (b.now - max(s.lastFinal, r.handed) - s.pace) / 16
	s.lastFinal = b.now
}

// freeSlot takes r out of its worker's slot.
func (b *Broker) freeSlot(r *request) {
	w := r.member.worker
	w.slots[r.slot].request = nil
	w.unused = append(w.unused, r.slot)
	w.used--
}
