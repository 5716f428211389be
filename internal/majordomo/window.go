package majordomo

import (
	"crypto/sha256"
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

// entry is one key: a run that goes on, or its outcome.
type entry struct {
	key    string
	params [sha256.Size]byte
	run    *request // nil once done
	joined list[request]

	body     []byte // the reply, with the id of the request that ran
	env      jsonrpc.Envelope
	frames   [][]byte // a reply that isn't one frame of JSON-RPC
	occasion Occasion
	code     int
	reason   string
	at       time.Duration
	isDone   node[entry]
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
	buf := make([]byte, 0, len(name)+len(r.service.name)+len(r.env.Method)+len(r.env.Meta.Key)+6)
	for _, part := range [][]byte{[]byte(name), []byte(r.service.name), r.env.Method} {
		buf = append(buf, byte(len(part)>>8), byte(len(part)))
		buf = append(buf, part...)
	}
	return string(append(buf, r.env.Meta.Key...))
}

// enter looks r's key up. It returns true where r needs no run of its own: it
// has its outcome or joined a run.
func (b *Broker) enter(r *request) bool {
	w := &b.window
	key := windowKey(r)
	params := sha256.Sum256(r.env.Params)
	e := w.entries[key]
	switch {
	case e == nil:
		for len(w.entries) >= b.cfg.WindowEntries {
			oldest := w.done.front()
			if oldest == nil {
				b.fail(r, failure{code: jsonrpc.CodeOverloaded, text: "too many keyed requests are running", retry: r.service.retryAfter()})
				return true
			}
			b.dropEntry(oldest)
		}
		e = &entry{key: key, params: params, run: r}
		w.entries[key] = e
		r.entry = e
		return false
	case e.params != params:
		b.fail(r, failure{code: jsonrpc.CodeKeyConflict, text: "the key was used with other params; use a new key for a new request"})
	case e.run == nil:
		b.counts.Repeats++
		b.give(r, e)
	default:
		b.counts.Repeats++
		r.state = stateJoined
		r.entry = e
		e.joined.pushBack(&r.joining, r)
		b.arm(r)
	}
	return true
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
	b.settle(r, e.occasion, e.code, e.reason, reply)
	b.recycle(r)
}

// keep stores the outcome of e's run and gives it to those that joined.
func (b *Broker) keep(e *entry, body [][]byte, o Occasion, code int, reason string) {
	e.run = nil
	e.occasion, e.code, e.reason, e.at = o, code, reason, b.now
	if len(body) == 1 {
		jsonrpc.Scan(body[0], &e.env)
		if e.env.Kind == jsonrpc.Result || e.env.Kind == jsonrpc.Failure {
			e.body = body[0]
		}
	}
	if e.body == nil {
		e.frames = body
	}
	for r := e.joined.front(); r != nil; r = e.joined.front() {
		r.joining.unlink()
		b.give(r, e)
	}
	w := &b.window
	w.done.pushBack(&e.isDone, e)
	w.bytes += e.size()
	for w.bytes > b.cfg.WindowBytes && w.done.n > 0 {
		b.dropEntry(w.done.front())
	}
	if w.done.n > 0 && !w.timer.pending() {
		b.wheel.set(&w.timer, w.done.front().at+b.cfg.WindowAge)
	}
}

// closeRun settles the entry of a run that ended without a reply of its worker:
// nobody knows how far it came, so the failure is what a repeat gets.
func (b *Broker) closeRun(r *request, f failure) {
	if e := r.entry; e != nil && e.run == r {
		r.entry = nil
		b.keep(e, [][]byte{f.body(r.env.ID, true)}, f.occasion(), f.code, f.text)
	}
}

// unrun is told that e's run ended before a worker had it. If it was the
// caller's doing, those that joined it have a run of their own now; otherwise
// they share the failure. A key that never ran isn't kept.
func (b *Broker) unrun(e *entry, f failure) {
	e.run.entry = nil
	own := f.code == jsonrpc.CodeCancelled || f.code == jsonrpc.CodeExpired
	for r := e.joined.front(); r != nil; r = e.joined.front() {
		r.joining.unlink()
		r.state = stateNone
		if own {
			e.run = r
			b.admit(r)
			return
		}
		r.entry = nil
		b.fail(r, f)
	}
	delete(b.window.entries, e.key)
}

func (b *Broker) dropEntry(e *entry) {
	e.isDone.unlink()
	b.window.bytes -= e.size()
	delete(b.window.entries, e.key)
}

// windowFired forgets the outcomes that are too old.
func (b *Broker) windowFired() {
	w := &b.window
	for range sliceLength {
		e := w.done.front()
		if e == nil {
			return
		}
		if at := e.at + b.cfg.WindowAge; b.now < at {
			b.wheel.set(&w.timer, at)
			return
		}
		b.dropEntry(e)
	}
	b.wheel.set(&w.timer, b.now)
}
