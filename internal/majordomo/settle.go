package majordomo

import (
	"errors"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var errSilent = errors.New("majordomo: heartbeats lost")

// failure is what the broker itself says of a request.
type failure struct {
	code  int
	text  string
	retry time.Duration // when it is worth another try; 0: not said
}

var (
	callerGone    = failure{code: jsonrpc.CodeCancelled, text: "the caller is gone"}
	joinedTooLong = failure{code: jsonrpc.CodeExpired, text: "the request's time was over before the run that has its key ended"}
)

func draining() failure {
	return failure{code: jsonrpc.CodeDraining, text: "the broker is draining; ask another one"}
}

// unserved says why nobody serves s.
func (b *Broker) unserved(s *service) failure {
	if s.known {
		return failure{code: jsonrpc.CodeNoWorker, text: "service " + quoted(s.name) + " has no worker"}
	}
	return noService(s.name)
}

func noService(name string) failure {
	return failure{code: jsonrpc.CodeNoService, text: "no such service: " + quoted(name)}
}

func quoted(name string) string { return strconv.Quote(name) }

// occasion returns what a failure means for the request's record.
func (f failure) occasion() Occasion {
	switch f.code {
	case jsonrpc.CodeExpired:
		return TimedOut
	case jsonrpc.CodeCancelled:
		return Cancelled
	case jsonrpc.CodeQuarantined:
		return Quarantined
	}
	return Failed
}

// body returns the JSON-RPC error for a request with that id.
func (f failure) body(id []byte, handedOver bool) []byte {
	data := make([]byte, 0, 64)
	data = append(data, `{"handed_over":`...)
	data = strconv.AppendBool(data, handedOver)
	if f.retry > 0 {
		data = append(data, `,"retry_after_ms":`...)
		data = strconv.AppendInt(data, f.retry.Milliseconds(), 10)
	}
	data = append(data, '}')
	return jsonrpc.AppendFailure(nil, id, f.code, f.text, data)
}

// fail gives a request that no worker holds its outcome and ends it.
func (b *Broker) fail(r *request, f failure) {
	b.tellFailure(r, f)
	if e := r.entry; e != nil && e.run == r {
		b.unrun(e, f)
	}
	b.recycle(r)
}

// tellFailure settles r with what the broker says of it.
func (b *Broker) tellFailure(r *request, f failure) {
	var body [][]byte
	if r.rpc() && r.peer != nil {
		body = append(b.arena.frames(1), f.body(r.env.ID, r.handedOver()))
		b.sendFinal(r, body)
	}
	b.settle(r, f.occasion(), f.code, f.text, body)
}

// sendFinal sends r's caller the last word on it.
func (b *Broker) sendFinal(r *request, body [][]byte) {
	if len(r.kept) > 0 {
		body = append(r.kept, body...)
	}
	b.send(r.peer, &mdp.Command{
		Version: r.version, Kind: mdp.ClientFinal, Service: r.name, Envelope: r.envelope, Body: body,
	})
}

// settle records r's one outcome and takes it out of its caller's books. Whoever
// calls it has told the caller.
func (b *Broker) settle(r *request, o Occasion, code int, reason string, reply [][]byte) {
	switch o {
	case Replied:
		b.counts.Replied++
	case Failed:
		b.counts.Failed++
	case TimedOut:
		b.counts.TimedOut++
	case Cancelled:
		b.counts.Cancelled++
	case Quarantined:
		b.counts.Quarantined++
	}
	b.observeRequest(r, o, detail{code: code, reason: reason, body: reply})
	if r.state == stateRunning {
		b.ran(r)
	}
	r.state = stateNone
	b.disown(r)
}

// ran counts r among the running no more.
func (b *Broker) ran(r *request) {
	b.running--
	r.service.running--
	b.vacate(r.service)
}

// disown takes r out of its caller's books: nobody waits for it any more.
func (b *Broker) disown(r *request) {
	r.ofPeer.unlink()
	b.index.remove(r)
	r.peer = nil
}

// expire ends a request that no worker holds because its time is over.
func (b *Broker) expire(r *request) {
	b.fail(r, failure{code: jsonrpc.CodeExpired, text: "the request's time was over before it was handed to a worker"})
}

// requestFired looks at what r's timer may have meant.
func (b *Broker) requestFired(r *request) {
	if b.now < b.ends(r) {
		b.arm(r)
		return
	}
	switch r.state {
	case stateQueued:
		b.unqueue(r)
		b.expire(r)
	case stateJoined:
		b.leave(r, joinedTooLong)
	case stateRunning:
		if w := r.member.worker; r.deadline == never && !w.registered && !w.beatsBusy {
			b.lose(w, "silent for too long", true)
			return
		}
		b.tellFailure(r, failure{code: jsonrpc.CodeExpired, text: "the request's time was over before the worker replied"})
		b.abandon(r, true)
	case stateAbandoned:
		b.outlived(r)
	}
}

// ends returns when r's state ends by itself.
func (b *Broker) ends(r *request) time.Duration {
	switch r.state {
	case stateQueued:
		if r.deadline == never {
			return r.since + b.cfg.QueueTimeout
		}
	case stateRunning:
		if r.deadline == never {
			return r.handed + r.service.config.BusyLimit
		}
	case stateAbandoned:
		return r.until
	}
	return r.deadline
}

// arm sets r's timer to the next time at which something ends.
func (b *Broker) arm(r *request) {
	if at := b.ends(r); at != never {
		b.wheel.set(&r.timer, at)
	} else {
		b.wheel.stop(&r.timer)
	}
}

// abandon leaves a settled request in its worker's slot until the worker's FINAL
// (docs/protocol.md "The address frame"), and tells a worker that understands
// that nobody waits any more.
func (b *Broker) abandon(r *request, cancel bool) {
	r.state = stateAbandoned
	b.abandoned++
	if cancel && (r.entry == nil || r.entry.joined.n == 0) {
		b.tellCancel(r)
	}
	r.body, r.single, r.kept = nil, nil, nil // whatever happens, it won't be handed over again
	// However late it was abandoned, its worker gets the time to say so.
	r.until = max(r.handed+r.service.config.BusyLimit, b.now+b.cfg.expiry())
	b.arm(r)
}

var (
	cancelBody   = []byte(`{"jsonrpc":"2.0","method":"rpc.cancel"}`)
	cancelFrames = [][]byte{cancelBody}
)

// tellCancel tells r's worker that nobody waits for r any more.
func (b *Broker) tellCancel(r *request) {
	if w := r.member.worker; w.cancels {
		b.send(w.peer, &mdp.Command{Version: w.version, Kind: mdp.WorkerRequest, Address: r.address, Body: cancelFrames})
	}
}

// tellCredit lets r's worker send n more PARTIALs.
func (b *Broker) tellCredit(r *request, n int) {
	if w := r.member.worker; w.credits {
		body := append(b.arena.bytes(80), `{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":`...)
		body = append(strconv.AppendInt(body, int64(n), 10), '}', '}')
		b.send(w.peer, &mdp.Command{
			Version: w.version, Kind: mdp.WorkerRequest, Address: r.address, Body: append(b.arena.frames(1), body),
		})
	}
}

// outlived ends an abandoned request at the busy limit. A registered worker has
// other slots and goes on; a plain one has shown no life in the one it has.
func (b *Broker) outlived(r *request) {
	w := r.member.worker
	if !w.registered {
		b.lose(w, "busy for too long", true)
		return
	}
	b.freeSlot(r)
	b.abandoned--
	b.closeRun(r, failure{code: jsonrpc.CodeExpired, text: "the worker ran for too long"})
	b.recycle(r)
	b.workerFree(w)
}

// forsake deals with a request whose caller's connection is gone.
func (b *Broker) forsake(r *request) {
	switch {
	case r.state == stateRunning && r.entry != nil:
		b.disown(r) // the caller may come back with its key to ask what became of it
		b.ownerless.pushBack(&r.ofPeer, r)
	case r.state == stateQueued:
		b.unqueue(r)
		b.forsakeQueued(r)
	default:
		b.end(r, callerGone)
	}
}

// forsakeQueued ends a request, out of its queue already, whose caller's
// connection is gone. The caller may come back with its key and ask for it.
func (b *Broker) forsakeQueued(r *request) {
	if r.entry != nil {
		r.entry.void = true
	}
	b.fail(r, callerGone)
}

// cancel ends r at its caller's wish.
func (b *Broker) cancel(r *request) {
	b.end(r, failure{code: jsonrpc.CodeCancelled, text: "cancelled by the caller"})
}

// end settles r before its worker does.
func (b *Broker) end(r *request, f failure) {
	switch r.state {
	case stateQueued:
		b.unqueue(r)
		b.fail(r, f)
	case stateJoined:
		b.leave(r, f)
	case stateRunning:
		b.tellFailure(r, f)
		b.abandon(r, true)
	}
}
