package majordomo

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// window remembers the outcomes of keyed requests, so that a repeat doesn't run
// again (docs/protocol.md "Repeats"). It is bounded in entries, bytes and age;
// runs that go on are never dropped.
type window struct {
	entries map[string]*entry
	done    list[entry] // oldest first
	bytes   int64
	timer   timer
}

// maxJoined is how many requests may wait for one run.
const maxJoined = sliceLength

// entry is one key: a run that goes on, or its outcome.
type entry struct {
	key    string
	params [sha256.Size]byte
	run    *request // nil once done
	joined list[request]
	// unsure: the request that brought the key was a repeat, and what became of
	// the attempts before it isn't known.
	unsure bool
	// void: the run's caller went before a worker had it. It has no outcome, and
	// the next request with the key runs.
	void bool

	outcome outcome
	body    []byte           // the reply, with the id of the request that ran
	env     jsonrpc.Envelope // of body
	frames  [][]byte         // a reply that isn't one frame of JSON-RPC
	at      time.Duration
	isDone  node[entry]
}

// outcome is how a request ended, but for the reply.
type outcome struct {
	occasion Occasion
	code     int
	reason   string
}

func (e *entry) size() int64 {
	n := int64(len(e.key) + len(e.body) + 200)
	for _, f := range e.frames {
		n += int64(len(f))
	}
	return n
}

// windowKey is what makes two requests the same: caller, service, method and key.
func windowKey(r *request) string {
	name := r.account.name
	buf := make([]byte, 0, len(name)+len(r.name)+len(r.env.Method)+len(r.env.Meta.Key)+3*binary.MaxVarintLen32)
	for _, part := range [][]byte{[]byte(name), r.name, r.env.Method} {
		buf = binary.AppendUvarint(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	return string(append(buf, r.env.Meta.Key...))
}

// repeat looks r's key up. It returns true where r needs no run of its own: it
// has its outcome or joined a run.
func (b *Broker) repeat(r *request) bool {
	e := b.window.entries[windowKey(r)]
	switch {
	case e == nil:
		return false
	case e.params != sha256.Sum256(r.env.Params):
		b.fail(r, failure{code: jsonrpc.CodeKeyConflict, text: "the key was used with other params; use a new key for a new request"})
	case e.run != nil:
		b.counts.Repeats++
		b.join(r, e)
	case e.void:
		return false
	default:
		b.counts.Repeats++
		b.give(r, e)
	}
	return true
}

// enter makes r the run of its key, or fails it where there is no room.
func (b *Broker) enter(r *request) bool {
	w := &b.window
	key := windowKey(r)
	if e := w.entries[key]; e != nil { // void
		b.forgetOutcome(e)
		e.void, e.run, r.entry = false, r, e
		return true
	}
	for len(w.entries) >= b.cfg.WindowEntries {
		oldest := w.done.front()
		if oldest == nil {
			b.fail(r, b.overloaded(r.service, "too many keyed requests are running"))
			return false
		}
		b.dropEntry(oldest)
	}
	e := &entry{key: key, params: sha256.Sum256(r.env.Params), run: r, unsure: r.unsure()}
	w.entries[key] = e
	r.entry = e
	return true
}

// join makes r wait for the outcome of e's run.
func (b *Broker) join(r *request, e *entry) {
	r.state, r.entry = stateJoined, e
	why := b.full(r)
	if e.joined.n >= maxJoined {
		why = "too many requests wait for the run that has the key"
	}
	if why != "" {
		b.fail(r, b.overloaded(r.service, why))
		return
	}
	r.own()
	e.joined.pushBack(&r.joining, r)
	b.waiting(r)
	b.arm(r)
}

// unjoin makes r wait no more. It still knows what it waited for.
func (b *Broker) unjoin(r *request) {
	r.joining.unlink()
	b.waited(r)
}

// leave ends a request that joined a run before the run ended. A run that nobody
// waits for any more is cancelled.
func (b *Broker) leave(r *request, f failure) {
	e := r.entry
	b.unjoin(r)
	b.fail(r, f)
	if e.joined.n > 0 {
		return
	}
	switch run := e.run; {
	case run.state == stateQueued && run.peer == nil:
		b.forsake(run)
	case f == callerGone: // it may come back
	case run.state == stateAbandoned:
		b.tellCancel(run)
	case run.state == stateRunning && run.peer == nil:
		b.end(run, f)
	}
}

// give answers r with the kept outcome.
func (b *Broker) give(r *request, e *entry) {
	r.entry = nil
	reply := e.frames
	if e.body != nil {
		reply = [][]byte{jsonrpc.ReplaceID(nil, e.body, &e.env, r.env.ID)}
	}
	if r.peer != nil {
		b.sendFinal(r, reply)
	}
	b.settle(r, e.outcome.occasion, e.outcome.code, e.outcome.reason, reply)
	b.recycle(r)
}

// keep stores the outcome of e's run and gives it to those that joined. env is
// the envelope of a body of one frame.
func (b *Broker) keep(e *entry, env *jsonrpc.Envelope, body [][]byte, o outcome) {
	e.run, e.outcome = nil, o
	if len(body) == 1 && (env.Kind == jsonrpc.Result || env.Kind == jsonrpc.Failure) {
		e.body, e.env = body[0], *env
	} else {
		e.frames = body
	}
	for r := e.joined.front(); r != nil; r = e.joined.front() {
		b.unjoin(r)
		b.give(r, e)
	}
	b.keepOutcome(e)
}

// keepOutcome lists e, which has no run any more, until it gives way to others or
// is too old.
func (b *Broker) keepOutcome(e *entry) {
	w := &b.window
	e.at = b.now
	w.done.pushBack(&e.isDone, e)
	w.bytes += e.size()
	if e.size() > b.cfg.WindowBytes {
		b.dropEntry(e) // alone, rather than all others before it
	}
	for w.bytes > b.cfg.WindowBytes {
		b.dropEntry(w.done.front())
	}
	if w.done.n > 0 && !w.timer.pending() {
		b.wheel.set(&w.timer, w.done.front().at+b.cfg.WindowAge)
	}
}

// closeRun settles the entry of a run that ended without a reply of its worker:
// nobody knows how far it came, so the failure is what a repeat gets.
func (b *Broker) closeRun(r *request, f failure) {
	if e := r.entry; e != nil {
		r.entry = nil
		body := f.body(r.env.ID, true)
		var env jsonrpc.Envelope
		jsonrpc.Scan(body, &env)
		b.keep(e, &env, [][]byte{body}, outcome{f.occasion(), f.code, f.text})
	}
}

// unrun is told that e's run ended before a worker had it, or before one that may
// run it again. If it was the caller's doing, those that joined it have a run of
// their own now; otherwise they share the failure. A key that never ran isn't
// kept, unless its caller may come back and ask for it.
func (b *Broker) unrun(e *entry, f failure) {
	own := f.code == jsonrpc.CodeCancelled || f.code == jsonrpc.CodeExpired
	if own && b.promote(e) {
		return
	}
	for r := e.joined.front(); r != nil; r = e.joined.front() {
		b.unjoin(r)
		b.fail(r, f)
	}
	e.run.entry, e.run = nil, nil
	if e.void {
		b.keepOutcome(e)
		return
	}
	delete(b.window.entries, e.key)
}

// promote makes the first of the requests that joined e's run, and still have
// time, the run, and reports whether there was one.
func (b *Broker) promote(e *entry) bool {
	for r := e.joined.front(); r != nil; r = e.joined.front() {
		b.unjoin(r)
		if r.peer.closed {
			b.fail(r, callerGone)
			continue
		}
		if b.now >= r.deadline {
			b.fail(r, joinedTooLong)
			continue
		}
		r.state, r.attempts = stateNone, e.run.attempts
		e.run.entry, e.run, e.void = nil, r, false
		b.place(r)
		return true
	}
	return false
}

// forgetOutcome takes e from among those that are done.
func (b *Broker) forgetOutcome(e *entry) {
	e.isDone.unlink()
	b.window.bytes -= e.size()
}

func (b *Broker) dropEntry(e *entry) {
	b.forgetOutcome(e)
	delete(b.window.entries, e.key)
}

// windowFired forgets the outcomes that are too old.
func (b *Broker) windowFired() {
	w := &b.window
	for e := w.done.front(); e != nil; e = w.done.front() {
		if at := e.at + b.cfg.WindowAge; b.now < at {
			b.wheel.set(&w.timer, at)
			return
		}
		if !b.spend() {
			b.soon(&w.timer)
			return
		}
		b.dropEntry(e)
	}
}
