package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
)

// workerNode drives a worker's session, and has handlers.
type workerNode struct {
	node
	at       int
	plan     workerPlan
	session  *majordomo.WorkerSession
	ends     map[uint64]*end
	handlers map[*majordomo.Job]*handler
	events   []majordomo.WorkerEvent // for the session, the first of which it has
	drains   bool
	slowed   bool   // all its handlers are slow
	ended    func() // what is to be done when it is over
}

// workerTamper plants bugs at a worker: it may change what is done.
type workerTamper func(n *workerNode, actions []majordomo.WorkerAction) []majordomo.WorkerAction

func newWorkerNode(w *World, at int) *workerNode {
	return &workerNode{node: node{w: w, name: fmt.Sprintf("w%d", at)}, at: at, plan: w.plan.Workers[at]}
}

// start begins a new run.
func (n *workerNode) start() {
	if n.up {
		return
	}
	n.begin()
	var docs []majordomo.ServiceDoc
	for _, at := range n.plan.services {
		docs = append(docs, n.w.plan.Services[at].doc())
	}
	session, err := majordomo.NewWorkerSession(majordomo.WorkerConfig{
		Brokers: len(n.w.brokers),
		Speak:   n.plan.speak,
		Registration: majordomo.Registration{
			Instance: fmt.Sprintf("%s.%d", n.name, n.life), Capacity: n.plan.capacity, Services: docs,
		},
		HeartbeatInterval: n.w.plan.Broker.HeartbeatInterval, Liveness: liveness,
		BusyLimit: n.w.plan.Broker.BusyLimit, DialTimeout: 2 * time.Second,
		RedialMin: shortestRedial, RedialMax: longestRedial,
		Random: n.w.dice.Uint64,
	}, n.clock())
	if err != nil {
		panic(err) // the plan is wrong
	}
	n.session, n.ends, n.handlers = session, make(map[uint64]*end), make(map[*majordomo.Job]*handler)
	n.drains, n.ended = false, nil
	n.w.ledger.workerBegins(n)
	n.w.tracef(n.name, "starts, capacity %d, services %v", n.plan.capacity, n.plan.services)
	n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerStart})
}

// doc is what a worker registers of a service.
func (s *servicePlan) doc() majordomo.ServiceDoc {
	d := majordomo.ServiceDoc{Name: s.name}
	for _, m := range methods {
		d.Methods = append(d.Methods, majordomo.MethodDoc{Name: m.name, Idempotent: m.idempotent, Stream: m.stream, Attempts: s.attempts})
	}
	return d
}

// step gives the session one event, and then those that come of it, and does what
// it wants.
func (n *workerNode) step(ev *majordomo.WorkerEvent) {
	n.events = append(n.events, *ev)
	if len(n.events) > 1 {
		return // a handler replies while the session's actions are carried out
	}
	for len(n.events) > 0 {
		ev := n.events[0]
		actions := n.session.Step(n.clock(), &ev)
		if n.w.tamper.workerActions != nil {
			actions = n.w.tamper.workerActions(n, actions)
		}
		for i := range actions {
			n.act(&actions[i])
		}
		if ev.Kind == majordomo.WorkerDialFailed || ev.Kind == majordomo.WorkerLost {
			delete(n.ends, ev.Conn)
		}
		n.events = n.events[1:]
	}
	n.rearm()
	n.w.ledger.settle(&n.node)
}

func (n *workerNode) act(a *majordomo.WorkerAction) {
	switch a.Kind {
	case majordomo.WorkerDial:
		n.dial(a.Conn, a.Broker)
	case majordomo.WorkerSend:
		n.send(a)
	case majordomo.WorkerHangup:
		if e := n.ends[a.Conn]; e != nil {
			n.w.tracef(n.name, "hangs up on %s", e.peer.owner.name)
			delete(n.ends, a.Conn)
			n.w.net.close(e)
		}
	case majordomo.WorkerRun:
		n.run(a.Job)
	case majordomo.WorkerCancel:
		if h := n.handlers[a.Job]; h != nil {
			h.cancel(a.Err)
		}
	case majordomo.WorkerCredit:
		if h := n.handlers[a.Job]; h != nil {
			h.credit += a.N
			h.goOn()
		}
	case majordomo.WorkerAccepted:
		n.w.tracef(n.name, "is accepted by b%d", a.Broker)
	case majordomo.WorkerNote:
		n.w.tracef(n.name, "notes: %s: %v", a.Text, a.Err)
	case majordomo.WorkerFinished:
		n.w.tracef(n.name, "is finished")
		n.after(0, n.finished)
	}
}

func (n *workerNode) dial(number uint64, broker int) {
	to := n.w.brokers[broker]
	n.w.tracef(n.name, "dials %s", to.name)
	n.w.net.dial(&n.node, number, to, func(e *end, err error) {
		if err != nil {
			n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerDialFailed, Conn: number, Err: err})
			return
		}
		n.ends[number] = e
		e.receive = func(frames [][]byte) {
			if n.w.trace != nil {
				n.w.tracef(n.name, "◄ %s  %s", to.name, describe(toWorker, frames))
			}
			n.w.ledger.workerHears(n, e, frames)
			var ev majordomo.WorkerEvent
			ev.Received(number, frames)
			n.step(&ev)
		}
		e.lost = func(err error) {
			n.w.tracef(n.name, "loses %s: %v", to.name, err)
			n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerLost, Conn: number, Err: err})
		}
		n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerDialed, Conn: number})
	})
}

// send sends a message. A connection that doesn't take one is ended: the broker
// counts on an answer to each request.
func (n *workerNode) send(a *majordomo.WorkerAction) {
	e := n.ends[a.Conn]
	if e == nil {
		return
	}
	if n.w.trace != nil {
		n.w.tracef(n.name, "► %s  %s", e.peer.owner.name, describe(toBroker, a.Message))
	}
	n.w.ledger.workerSays(n, e, a.Message)
	err := n.w.net.send(e, a.Message)
	if err == nil || !e.open {
		return
	}
	if errors.Is(err, errFull) {
		n.w.net.cut(e.conn)
	}
	// Otherwise it has ended, and its owner will be told.
}

func (n *workerNode) rearm() {
	n.wakeAt(n.session.NextWake(), func() { n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerWake}) })
}

// crash ends the run as kill -9 does, or with its machine. Its handlers end with it.
func (n *workerNode) crash(dark bool) {
	if !n.up {
		return
	}
	n.w.tracef(n.name, "crashes")
	n.dark = dark
	n.gone()
}

func (n *workerNode) gone() {
	n.w.net.crash(&n.node)
	n.end()
	n.w.ledger.workerEnds(n)
}

// drain has the worker end in order; if limit isn't zero and it takes longer, it is
// stopped.
func (n *workerNode) drain(limit time.Duration) {
	n.do(func() {
		n.w.tracef(n.name, "drains")
		n.drains = true
		if limit > 0 {
			n.after(limit, func() { n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerStop}) })
		}
		n.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerDrain})
	})
}

// finished ends the process of a session that is over, with handlers that still run.
func (n *workerNode) finished() {
	for _, e := range n.ends {
		n.w.net.close(e)
	}
	n.gone()
	if n.ended != nil {
		n.ended()
		n.ended = nil
	}
}

// handler is one run of a method.
type handler struct {
	node    *workerNode
	job     *majordomo.Job
	run     *run
	method  method
	heeds   bool // ends when it is cancelled, or its time is over
	fails   bool
	takes   time.Duration
	parts   int // still to be sent
	credit  int
	waiting bool // for credit
	ended   int  // the code of what ended its context, which no part goes out after
	over    bool
	begins  time.Duration // after it was asked to
}

// run begins a handler.
func (n *workerNode) run(job *majordomo.Job) {
	p, d := &n.w.plan.Handler, n.w.dice
	h := &handler{node: n, job: job, heeds: !d.chance(p.deaf), fails: d.chance(p.fails)}
	h.takes = d.exponential(p.mean)
	slow, stuck := n.slowed || d.chance(p.slow), d.chance(p.stuck)
	switch {
	case n.w.calm: // probes have time for neither
	case stuck:
		h.takes = 2 * n.w.plan.Broker.BusyLimit
	case slow:
		h.takes *= 20
	}
	n.handlers[job] = h
	if n.w.tamper.handler != nil {
		n.w.tamper.handler(h)
	}
	if h.begins > 0 {
		n.after(h.begins, h.begin)
		return
	}
	h.begin()
}

func (h *handler) begin() {
	n := h.node
	h.run = n.w.ledger.handlerBegins(n, h.job.Body)
	if h.run == nil || h.run.errand == nil {
		return // the ledger says what is wrong
	}
	h.method = h.run.errand.method
	if h.run.errand.method.stream && !h.run.errand.notify {
		h.parts = h.run.errand.parts
		h.takes /= time.Duration(h.parts + 1)
		// As the driver has it: what the caller's window says, or else 32.
		if h.credit = h.job.Envelope.Meta.Window; h.credit < 0 {
			h.credit = 32
		}
	}
	if !h.job.Deadline.IsZero() {
		n.after(max(h.job.Deadline.Sub(n.clock()), 0), func() { h.contextEnds(jsonrpc.CodeExpired, 0) })
	}
	n.after(h.takes, h.goOn0)
}

// goOn0 is the time between two parts being over.
func (h *handler) goOn0() {
	h.waiting = true
	h.goOn()
}

// goOn sends the next part if there is credit, or ends the handler after the last.
func (h *handler) goOn() {
	switch {
	case h.over || !h.waiting:
	case h.parts > 0 && h.ended != 0:
		h.end(h.ended)
	case h.parts == 0 && h.fails:
		h.end(codeHandler)
	case h.parts == 0:
		h.end(0)
	case h.credit > 0:
		h.waiting = false
		h.parts--
		h.credit--
		h.reply(h.run.errand.part(h.run, h.job.Envelope.ID), false)
		h.node.after(h.takes, h.goOn0)
	}
}

// cancel is told that nobody waits any more.
func (h *handler) cancel(why error) {
	if h.run == nil {
		return // it hasn't begun
	}
	h.node.w.ledger.handlerCancelled(h.run)
	h.node.w.tracef(h.node.name, "run %d is cancelled: %v", h.run.id, why)
	h.contextEnds(jsonrpc.CodeCancelled, h.takes/10)
}

// contextEnds has a handler that heeds its context end after a while, and one that
// doesn't when it wants to send a part.
func (h *handler) contextEnds(code int, after time.Duration) {
	if h.over || h.ended != 0 {
		return
	}
	h.ended = code
	if h.heeds {
		h.node.after(after, func() { h.end(code) })
		return
	}
	h.goOn()
}

// codeHandler is the code of a handler's own errors.
const codeHandler = 1001

// end replies: with a result, or with an error.
func (h *handler) end(code int) {
	if h.over {
		return
	}
	h.over = true
	if h.node.handlers[h.job] == h {
		delete(h.node.handlers, h.job)
	}
	h.node.w.ledger.handlerEnds(h.run, code)
	h.reply(h.run.errand.reply(h.run, h.job.Envelope.ID, code), true)
}

func (h *handler) reply(body []byte, final bool) {
	h.node.step(&majordomo.WorkerEvent{Kind: majordomo.WorkerReply, Job: h.job, Body: [][]byte{body}, Final: final})
}
