package sim

import (
	"fmt"
	"runtime/debug"
	"time"
)

// epoch is when every world begins.
var epoch = time.Unix(1_000_000_000, 0)

// World is one run: nodes, a network between them, and a ledger that watches.
type World struct {
	plan   Plan
	dice   dice
	now    time.Duration // since epoch
	agenda agenda
	net    *network
	ledger *ledger
	trace  *Trace
	tamper tamper

	brokers []*brokerNode
	workers []*workerNode
	clients []*clientNode

	calm   bool // no more faults, and no new calls but probes
	errand int  // errands begun
	events int
}

// tamper is where tests plant bugs, to see that the ledger finds them. Nil members
// change nothing.
type tamper struct {
	broker        brokerTamper
	workerActions workerTamper
	clientActions clientTamper
	handler       func(h *handler) // about to begin
}

// Report is what came of a world.
type Report struct {
	Calls    int // made
	Replied  int // of them, with a result
	Failed   int // of them, with an error
	Runs     int // of handlers
	Messages int // delivered
	Events   int
	Virtual  time.Duration
	Failures map[int]int // how many calls failed, by code
}

// New returns the world of a plan. A trace may be nil.
func New(p Plan, trace *Trace) *World {
	w := &World{plan: p, dice: dice{newRand(p.Seed, 1)}, trace: trace}
	w.net = &network{w: w, plan: p.Network, wild: p.Network.wild}
	w.ledger = newLedger(w)
	for at := range p.Brokers {
		w.brokers = append(w.brokers, newBrokerNode(w, at))
	}
	for at := range p.Workers {
		w.workers = append(w.workers, newWorkerNode(w, at))
	}
	for at := range p.Clients {
		w.clients = append(w.clients, newClientNode(w, at))
	}
	return w
}

// Run lives the whole life of the world: load and faults, healing, rest, a call of
// everybody to everything, and an orderly end. It returns what broke a promise, with
// the promise, or nil.
func (w *World) Run() (report Report, err error) {
	defer func() {
		report = w.ledger.report()
		if v := recover(); v != nil {
			err = fmt.Errorf("at %v: panic: %v\n%s", w.now, v, debug.Stack())
		}
	}()
	w.begin()
	w.until(w.plan.Load)
	w.finish()
	return report, w.ledger.err
}

// begin starts everybody, and the load and the faults.
func (w *World) begin() {
	// Brokers needn't be there first.
	for _, b := range w.brokers {
		w.at(w.dice.upTo(200*time.Millisecond), b.start)
	}
	for _, n := range w.workers {
		w.at(w.dice.upTo(200*time.Millisecond), n.start)
	}
	for _, c := range w.clients {
		w.at(w.dice.upTo(200*time.Millisecond), c.start)
	}
	for _, c := range w.clients {
		if c.plan.every > 0 {
			w.load(c)
		}
	}
	w.beginFaults()
}

// finish heals everything, waits until all is quiet and ends everybody, and has the
// ledger look at what must be so then.
func (w *World) finish() {
	for _, phase := range []func(){
		func() {
			w.heal()
			w.until(w.now + w.settling())
		},
		func() {
			w.probe()
			w.until(w.now + probeTime + time.Second)
		},
		func() {
			w.ledger.checkProbes()
			w.ledger.checkQuiet()
		},
		w.watchRest,
		w.shutdown,
	} {
		if w.ledger.err == nil {
			phase()
		}
	}
}

// settling is how long after everything was healed nothing of what was before can
// be left.
func (w *World) settling() time.Duration {
	c := &w.plan.Broker
	return longestDeadline + 4*c.BusyLimit + 2*c.QueueTimeout + 4*liveness*c.HeartbeatInterval + c.NoWorkerWait + 3*longestRedial
}

// watchRest lets time pass in which nothing but heartbeats may happen.
func (w *World) watchRest() {
	beats := 20
	before := w.events
	w.ledger.resting = true
	w.until(w.now + time.Duration(beats)*w.plan.Broker.HeartbeatInterval)
	w.ledger.resting = false
	// A heartbeat each way, its delivery, and the wake-ups for it, on every
	// connection that there may be.
	pairs := (len(w.workers) + len(w.clients)) * len(w.brokers)
	if most := (beats + 2) * 16 * (pairs + len(w.brokers)); w.events-before > most {
		w.ledger.breakf("an engine at rest only sends heartbeats", "%d events in %d heartbeat intervals of rest, more than %d", w.events-before, beats, most)
	}
}

// shutdown ends workers, clients and brokers in order. Nothing is to be done any
// more, so that none of them has a reason to wait.
func (w *World) shutdown() {
	for _, n := range w.workers {
		n.drain(0)
	}
	w.until(w.now + time.Second + 20*(w.plan.Network.latency+w.plan.Network.jitter))
	w.ledger.checkWorkersEnded()
	for _, c := range w.clients {
		c.close()
	}
	for _, b := range w.brokers {
		b.drain(0)
	}
	w.until(w.now + time.Second)
	w.ledger.checkBrokersEnded()
	w.ledger.checkAllDone()
}

// maxEvents bounds a world that doesn't come to rest.
const maxEvents = 20_000_000

// until lets everything happen that happens up to t.
func (w *World) until(t time.Duration) {
	for w.ledger.err == nil {
		next, ok := w.agenda.next(t)
		if !ok {
			w.now = t
			return
		}
		if next.at > w.now {
			w.now = next.at
			w.ledger.instant = 0
		}
		if w.ledger.instant++; w.ledger.instant > 1_000_000 || w.events > maxEvents {
			w.ledger.breakf("time goes on", "events without end")
			return
		}
		w.events++
		next.do()
	}
}

// at has f called at t.
func (w *World) at(t time.Duration, f func()) { w.agenda.add(max(t, w.now), f) }

func (w *World) after(d time.Duration, f func()) { w.at(w.now+d, f) }

// tracef writes a line of what happens to who.
func (w *World) tracef(who, format string, args ...any) {
	if w.trace != nil {
		w.trace.add(w.now, who, fmt.Sprintf(format, args...))
	}
}

// agenda is what will happen, in the order of time, and at one time in the order in
// which it was added.
type agenda struct {
	heap  []occurrence
	added uint64
}

type occurrence struct {
	at    time.Duration
	order uint64
	do    func()
}

func (o *occurrence) before(p *occurrence) bool {
	return o.at < p.at || o.at == p.at && o.order < p.order
}

func (a *agenda) add(at time.Duration, do func()) {
	a.added++
	a.heap = append(a.heap, occurrence{at, a.added, do})
	h := a.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// next takes the first occurrence, if it is no later than t.
func (a *agenda) next(t time.Duration) (occurrence, bool) {
	if len(a.heap) == 0 || a.heap[0].at > t {
		return occurrence{}, false
	}
	h := a.heap
	first := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = occurrence{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, below := range [...]int{2*i + 1, 2*i + 2} {
			if below < len(h) && h[below].before(&h[least]) {
				least = below
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	a.heap = h
	return first, true
}
