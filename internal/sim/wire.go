package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// brokerBook is what the ledger knows of one run of a broker, all of it from what
// the broker heard and said.
type brokerBook struct {
	peers   map[*end]*peerBook
	keys    map[*errand]*keyBook
	waiting map[string]int // requests that were never handed over, by service
	total   int            // of them
}

// peerBook is one connection of a broker.
type peerBook struct {
	asked  map[string]*asked // by the raw id of what waits for its reply
	worker *workerBook
}

// asked is a request of a client at a broker.
type asked struct {
	errand *errand
	until  time.Duration // by the broker's clock; 0: no deadline
	handed int           // without those that came back untouched
	ever   int
	parted bool
	done   bool
}

// keyBook is a key at one run of a broker.
type keyBook struct {
	asked  []*asked
	handed int  // runs that may have come of it
	over   bool // one ended, and its outcome is kept
}

// workerBook is a worker at a broker.
type workerBook struct {
	registered bool
	capacity   int
	offers     map[string]int   // capacities of registrations without an answer, by id
	hands      map[string]*hand // by address, without a FINAL
	barrier    bool             // nothing new may come, unless it registers again
}

// hand is a request that a worker was handed.
type hand struct {
	errand *errand
	asked  *asked // nil: of an opaque request, a notification or one whose caller is gone
	at     time.Duration
	told   bool // that nobody waits
	parted bool
}

func (l *ledger) brokerBegins(b *brokerNode) *brokerBook {
	book := &brokerBook{peers: make(map[*end]*peerBook), keys: make(map[*errand]*keyBook), waiting: make(map[string]int)}
	l.brokers[b] = book
	return book
}

func (l *ledger) brokerEnds(b *brokerNode) { delete(l.brokers, b) }

func (b *brokerBook) peer(e *end) *peerBook {
	p := b.peers[e]
	if p == nil {
		p = &peerBook{asked: make(map[string]*asked)}
		b.peers[e] = p
	}
	return p
}

// brokerLoses is told that a broker's connection is over.
func (l *ledger) brokerLoses(b *brokerNode, e *end) {
	book := l.brokers[b]
	p := book.peers[e]
	if p == nil {
		return
	}
	delete(book.peers, e)
	for _, a := range p.asked { // in any order: it only counts
		book.end(a)
	}
}

// end takes a request out of the books: its caller was told, or is gone.
func (b *brokerBook) end(a *asked) {
	if a.done {
		return
	}
	a.done = true
	if a.ever == 0 {
		b.waiting[a.errand.service.name]--
		b.total--
	}
}

// brokerHears is told what reaches a broker, before the broker is.
func (l *ledger) brokerHears(b *brokerNode, e *end, frames [][]byte) {
	cmd, err := parse(toBroker, frames)
	if err != nil || !l.strict() {
		return
	}
	p := b.book.peer(e)
	switch cmd.Kind {
	case mdp.ClientRequest:
		if mdp.Reserved(cmd.Service) {
			l.managed(b, p, &cmd)
			return
		}
		l.requested(b, p, &cmd)
	case mdp.Ready:
		if p.worker == nil {
			p.worker = newWorkerBook()
			p.worker.capacity = 1
		}
	case mdp.WorkerPartial:
		if h := p.hand(&cmd); h != nil {
			h.parted = true
			if h.asked != nil {
				h.asked.parted = true
			}
		}
	case mdp.WorkerFinal:
		l.finished(b, p, &cmd)
	case mdp.Disconnect:
		p.worker = nil
	}
}

func newWorkerBook() *workerBook {
	return &workerBook{offers: make(map[string]int), hands: make(map[string]*hand)}
}

func (p *peerBook) hand(cmd *mdp.Command) *hand {
	if p.worker == nil {
		return nil
	}
	return p.worker.hands[string(cmd.Address)]
}

// requested notes a client's request.
func (l *ledger) requested(b *brokerNode, p *peerBook, cmd *mdp.Command) {
	e := l.errandOf(cmd.Body)
	if e == nil {
		return
	}
	e.came++
	env := envelope(cmd.Body)
	if env.Kind != jsonrpc.Request {
		return
	}
	a := &asked{errand: e}
	if env.Meta.TimeoutMS >= 0 && env.Meta.Present {
		a.until = b.elapsed() + time.Duration(env.Meta.TimeoutMS)*time.Millisecond
	}
	p.asked[string(env.ID)] = a
	b.book.waiting[e.service.name]++
	b.book.total++
	if e.key != "" {
		k := b.book.keys[e]
		if k == nil {
			k = &keyBook{}
			b.book.keys[e] = k
		}
		k.asked = append(k.asked, a)
	}
	l.expect(promiseQueues, "a queue is longer than its limit", func() bool { return l.bounded(b, e.service.name) })
}

// bounded says whether what waits at a broker is within its limits.
func (l *ledger) bounded(b *brokerNode, service string) bool {
	most, ours := l.w.plan.Broker.MaxQueued, l.w.plan.Broker.Service.MaxQueued
	return (most == 0 || b.book.total <= most) && (ours == 0 || b.book.waiting[service] <= ours)
}

// managed notes a management request that the ledger follows.
func (l *ledger) managed(b *brokerNode, p *peerBook, cmd *mdp.Command) {
	env := envelope(cmd.Body)
	switch string(cmd.Service) {
	case mdp.MMIRegister:
		if p.worker == nil {
			p.worker = newWorkerBook()
			p.worker.registered = true
		}
		p.worker.offers[string(env.ID)] = number(env.Params, `"capacity":`)
	case mdp.MMICancel:
		id := strconv.Itoa(number(env.Params, `"id":`))
		a := p.asked[id]
		if a == nil || a.done {
			return
		}
		l.expect(promiseOutcome, fmt.Sprintf("errand %d was cancelled, and its caller isn't told", a.errand.id), func() bool { return a.done })
		if a.errand.key != "" {
			return // others may wait for the same run
		}
		for _, other := range b.book.peers {
			if other.worker == nil || !other.worker.registered {
				continue
			}
			for _, h := range other.worker.hands {
				if h.asked == a {
					l.expect(promiseCancel, fmt.Sprintf("errand %d was cancelled, and the worker that has it isn't told", a.errand.id),
						func() bool { return h.told })
				}
			}
		}
	}
}

// finished notes a worker's FINAL.
func (l *ledger) finished(b *brokerNode, p *peerBook, cmd *mdp.Command) {
	h := p.hand(cmd)
	if h == nil {
		return
	}
	delete(p.worker.hands, string(cmd.Address))
	k := b.book.keys[h.errand]
	if env := envelope(cmd.Body); p.worker.registered && !h.parted && env.Kind == jsonrpc.Failure {
		if code, _, _, err := jsonrpc.ParseError(env.Error); err == nil && code == jsonrpc.CodeNotStarted {
			h.errand.handed--
			if h.asked != nil {
				h.asked.handed--
			}
			if k != nil {
				k.handed--
			}
			return
		}
	}
	if k != nil {
		k.over = true
	}
}

// brokerSays is told what a broker sends.
func (l *ledger) brokerSays(b *brokerNode, e *end, frames [][]byte) {
	cmd, err := parse(fromBroker, frames)
	if err != nil {
		l.breakf("a broker says what can be read", "%s: %v", b.name, err)
		return
	}
	if l.resting && cmd.Kind != mdp.Heartbeat && !(cmd.Kind == mdp.ClientFinal && string(cmd.Service) == mdp.MMIPing) {
		l.breakf(promiseRest, "%s sends %s", b.name, describe(fromBroker, frames))
	}
	if !l.strict() {
		return
	}
	p := b.book.peer(e)
	switch cmd.Kind {
	case mdp.ClientFinal:
		if mdp.Reserved(cmd.Service) {
			l.answered(p, &cmd)
			return
		}
		l.replied(b, p, &cmd)
	case mdp.WorkerRequest:
		if isControl(cmd.Body) {
			if h := p.hand(&cmd); h != nil {
				h.told = h.told || string(envelope(cmd.Body).Method) == "rpc.cancel"
			}
			return
		}
		l.handedOver(b, p, &cmd)
	case mdp.Disconnect:
		p.worker = nil
	}
}

// answered notes a broker's answer to a registration.
func (l *ledger) answered(p *peerBook, cmd *mdp.Command) {
	if string(cmd.Service) != mdp.MMIRegister || p.worker == nil {
		return
	}
	env := envelope(cmd.Body)
	capacity, ok := p.worker.offers[string(env.ID)]
	delete(p.worker.offers, string(env.ID))
	if ok && env.Kind == jsonrpc.Result {
		p.worker.capacity, p.worker.barrier = capacity, capacity == 0
	}
}

// replied looks at what a broker tells a client of a request.
func (l *ledger) replied(b *brokerNode, p *peerBook, cmd *mdp.Command) {
	env := envelope(cmd.Body)
	if env.Kind != jsonrpc.Result && env.Kind != jsonrpc.Failure {
		return // to a notification, or opaque
	}
	a := p.asked[string(env.ID)]
	if a == nil {
		l.breakf(promiseOutcome, "%s replies %s, which nobody waits for", b.name, cmd.Body)
		return
	}
	delete(p.asked, string(env.ID))
	b.book.end(a)
	if env.Kind == jsonrpc.Result {
		return
	}
	code, _, data, err := jsonrpc.ParseError(env.Error)
	if err != nil {
		l.breakf(promiseReason, "%s replies an error that can't be read: %v", b.name, err)
		return
	}
	l.blamed(b, a, code, data)
}

// blamed looks at an error that a broker or a worker said of a request.
func (l *ledger) blamed(b *brokerNode, a *asked, code int, data []byte) {
	e := a.errand
	handed, ever := a.handed, a.ever
	if k := b.book.keys[e]; k != nil {
		if len(k.asked) > 1 {
			return // what is said is of the run that it joined, or of itself
		}
		handed, ever = k.handed, max(k.handed, a.ever)
	}
	said := handedOverSaid(data)
	switch {
	case said == "false" && handed > 0:
		l.breakf(promiseHandedOver, "%s says that errand %d was not handed over (%s), and it was", b.name, e.id, jsonrpc.CodeName(code))
	case said == "true" && ever == 0:
		l.breakf(promiseHandedOver, "%s says that errand %d was handed over (%s), and it was not", b.name, e.id, jsonrpc.CodeName(code))
	case code == jsonrpc.CodeWorkerLost && ever == 0:
		l.breakf(promiseNotLost, "%s says that errand %d was lost with a worker, and none had it", b.name, e.id)
	case code == jsonrpc.CodeWorkerLost && e.idempotent && !a.parted && handed < e.service.attempts:
		l.breakf(promiseNotLost, "%s says that errand %d was lost with a worker, and it may run again: %d of %d", b.name, e.id, handed, e.service.attempts)
	case code == jsonrpc.CodeQuarantined && (!e.idempotent || handed < e.service.attempts):
		l.breakf(promiseReason, "%s quarantines errand %d after %d of %d", b.name, e.id, handed, e.service.attempts)
	}
}

// handedOverSaid returns what the data of an error says of handed_over.
func handedOverSaid(data []byte) string {
	const name = `"handed_over":`
	for i := 0; i+len(name) < len(data); i++ {
		if string(data[i:i+len(name)]) != name {
			continue
		}
		switch data[i+len(name)] {
		case 't':
			return "true"
		case 'f':
			return "false"
		}
	}
	return ""
}

// handedOver looks at a request that a broker hands to a worker.
func (l *ledger) handedOver(b *brokerNode, p *peerBook, cmd *mdp.Command) {
	e := l.errandOf(cmd.Body)
	w := p.worker
	switch {
	case e == nil:
		l.breakf(promiseTrue, "%s hands over what nobody asked for: %q", b.name, cmd.Body)
		return
	case w == nil:
		l.breakf(promiseBarrier, "%s hands errand %d to one who is no worker", b.name, e.id)
		return
	case w.barrier && w.most() == 0:
		l.breakf(promiseBarrier, "%s hands over errand %d", b.name, e.id)
		return
	}
	if busy, most := l.busy(b, w), w.most(); busy >= most {
		l.breakf(promiseCapacity, "%s hands over errand %d as number %d to a worker of %d", b.name, e.id, busy+1, most)
	}
	a := l.askedFor(b, e, envelope(cmd.Body).ID)
	w.hands[string(cmd.Address)] = &hand{errand: e, asked: a, at: b.elapsed()}
	e.handed++
	e.ever++
	l.mayHandOver(b, e, a)
}

// mayHandOver looks at what a hand-over means for a request, which is a nil one
// where it can't be told apart from others.
func (l *ledger) mayHandOver(b *brokerNode, e *errand, a *asked) {
	if e.denied != nil && len(e.calls) == 1 {
		l.breakf(promiseHandedOver, "%s hands over errand %d, and the caller of call %d was told that it was not", b.name, e.id, e.denied.id)
	}
	if k := b.book.keys[e]; k != nil {
		k.handed++
		if k.over || k.handed > 1 && !e.idempotent {
			l.breakf(promiseKey, "%s hands over errand %d again", b.name, e.id)
		}
		for _, other := range k.asked {
			b.book.handOver(other)
		}
	} else if a != nil {
		b.book.handOver(a)
	}
	if a == nil {
		return
	}
	switch {
	case a.until > 0 && b.elapsed() >= a.until && e.key == "":
		l.breakf(promiseInTime, "%s hands over errand %d %v after it", b.name, e.id, b.elapsed()-a.until)
	case a.handed > 1 && !e.idempotent && e.key == "":
		l.breakf(promiseOnce, "%s hands over errand %d again", b.name, e.id)
	case a.handed > e.service.attempts && e.key == "":
		l.breakf(promiseAttempts, "%s hands over errand %d for the %d. time of %d", b.name, e.id, a.handed, e.service.attempts)
	case a.parted:
		l.breakf(promiseStream, "%s hands over errand %d after a part of its reply", b.name, e.id)
	}
}

// handOver notes that a request was handed over.
func (b *brokerBook) handOver(a *asked) {
	if a.ever == 0 && !a.done {
		b.waiting[a.errand.service.name]--
		b.total--
	}
	a.ever++
	a.handed++
}

// askedFor returns the request with that id about an errand, or nil where its caller
// is gone.
func (l *ledger) askedFor(b *brokerNode, e *errand, id []byte) *asked {
	if id == nil {
		return nil
	}
	for _, p := range b.book.peers {
		if a := p.asked[string(id)]; a != nil && a.errand == e {
			return a
		}
	}
	return nil
}

// busy counts what a worker has, without what the broker gave up at the busy limit.
func (l *ledger) busy(b *brokerNode, w *workerBook) int {
	n := 0
	for _, h := range w.hands {
		if b.elapsed()-h.at < l.w.plan.Broker.BusyLimit {
			n++
		}
	}
	return n
}

// most is how many a worker may have: as many as it said, or is just being taken to
// have said.
func (w *workerBook) most() int {
	most := w.capacity
	for _, offered := range w.offers {
		most = max(most, offered)
	}
	return most
}

// checkBroker looks at a broker at rest.
func (l *ledger) checkBroker(b *brokerNode) {
	if !b.up {
		l.breakf(promiseRecovery, "%s is down", b.name)
		return
	}
	for e, p := range b.book.peers {
		for id, a := range p.asked {
			l.breakf(promiseOutcome, "%s never answered request %s of %s, errand %d", b.name, id, e.peer.owner.name, a.errand.id)
		}
	}
	s := b.core.Snapshot()
	if s.Queued+s.Running+s.Abandoned > 0 || s.QueuedBytes != 0 {
		l.breakf(promiseRest, "%s has %d requests queued (%d bytes), %d running, %d abandoned", b.name, s.Queued, s.QueuedBytes, s.Running, s.Abandoned)
	}
	if known := len(s.Workers) + len(s.Clients); known > len(b.ends) {
		l.breakf(promiseRest, "%s knows %d peers and has %d connections", b.name, known, len(b.ends))
	}
	for i := range s.Clients {
		if s.Clients[i].Waiting > 0 {
			l.breakf(promiseRest, "%s thinks that %s waits for %d replies", b.name, s.Clients[i].Addr, s.Clients[i].Waiting)
		}
	}
}

// isControl says whether a REQUEST is word of another one.
func isControl(body [][]byte) bool {
	env := envelope(body)
	return env.Kind == jsonrpc.Notification && len(env.Method) > 4 && string(env.Method[:4]) == "rpc."
}

// cancels returns the id of the request that a message is to cancel.
func cancels(way direction, frames [][]byte) (id string, ok bool) {
	cmd, err := parse(way, frames)
	if err != nil || string(cmd.Service) != mdp.MMICancel {
		return "", false
	}
	return strconv.Itoa(number(envelope(cmd.Body).Params, `"id":`)), true
}

// remaining is how long the request may take that reaches a worker; negative: as
// long as it likes.
func remaining(cmd *mdp.Command) time.Duration {
	if a, err := mdp.ParseAddress(cmd.Address); err == nil {
		if a.Remaining == mdp.NoDeadline {
			return -1
		}
		return time.Duration(a.Remaining) * time.Millisecond
	}
	env := envelope(cmd.Body)
	if !env.Meta.Present || env.Meta.TimeoutMS < 0 {
		return -1
	}
	return time.Duration(env.Meta.TimeoutMS) * time.Millisecond
}

// callerName is the name that the transport vouches for.
func (w *World) callerName(n *node) (string, bool) {
	for _, c := range w.clients {
		if &c.node == n {
			return c.plan.name, true
		}
	}
	return "", false
}
