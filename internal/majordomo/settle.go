package majordomo

import (
	"errors"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var (
	errSilent     = errors.New("majordomo: heartbeats lost")
	errCallerGone = errors.New("majordomo: the caller is gone")
)

// failure is what the broker itself says of a request.
type failure struct {
	code  int
	text  string
	retry time.Duration // when it is worth another try; 0: not said
}

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
		body = append(b.arena.frames(1), f.body(r.env.ID, r.attempts > 0))
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
		b.running--
		r.service.running--
	}
	r.state = stateNone
	b.disown(r)
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
	over := r.deadline > 0 && b.now >= r.deadline
	switch r.state {
	case stateQueued:
		if !over && (r.deadline > 0 || b.now < r.since+b.cfg.QueueTimeout) {
			b.arm(r)
			return
		}
		b.unqueue(r)
		b.expire(r)
	case stateJoined:
		if !over {
			b.arm(r)
			return
		}
		r.joining.unlink()
		r.entry = nil
		b.fail(r, failure{code: jsonrpc.CodeExpired, text: "the request's time was over before the run that has its key ended"})
	case stateRunning:
		busy := b.now >= r.handed+r.service.config.BusyLimit
		if !over && !busy {
			b.arm(r)
			return
		}
		b.tellFailure(r, failure{code: jsonrpc.CodeExpired, text: "the request's time was over before the worker replied"})
		b.abandon(r, true)
		if busy {
			b.outlived(r)
		}
	case stateAbandoned:
		if b.now < r.handed+r.service.config.BusyLimit {
			b.arm(r)
			return
		}
		b.outlived(r)
	}
}

// arm sets r's timer to the next time at which something ends.
func (b *Broker) arm(r *request) {
	var at time.Duration
	switch r.state {
	case stateQueued:
		at = r.deadline
		if at == 0 {
			at = r.since + b.cfg.QueueTimeout
		}
	case stateJoined:
		if at = r.deadline; at == 0 {
			return // it ends with the run
		}
	case stateRunning:
		at = r.handed + r.service.config.BusyLimit
		if r.deadline > 0 {
			at = min(at, r.deadline)
		}
	case stateAbandoned:
		at = r.handed + r.service.config.BusyLimit
	}
	b.wheel.set(&r.timer, at)
}

// abandon leaves a settled request in its worker's slot until the worker's FINAL
// (docs/protocol.md "The address frame"), and tells a worker that understands
// that nobody waits any more.
func (b *Broker) abandon(r *request, cancel bool) {
	r.state = stateAbandoned
	b.abandoned++
	if e := r.entry; e != nil && e.joined.n > 0 {
		cancel = false // others wait for the same run
	}
	if cancel {
		b.tellCancel(r)
	}
	r.body, r.kept = nil, nil // whatever happens, it won't be handed over again
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
	b.closeRun(r, failure{code: jsonrpc.CodeExpired, text: "the worker ran for too long"})
	b.freeSlot(r)
	b.workerFree(w)
}

// forsake deals with a request whose caller's connection is gone.
func (b *Broker) forsake(r *request) {
	gone := failure{code: jsonrpc.CodeCancelled, text: errCallerGone.Error()}
	switch r.state {
	case stateQueued:
		b.disown(r)
		b.unqueue(r)
		b.fail(r, gone)
	case stateJoined:
		b.disown(r)
		r.joining.unlink()
		r.entry = nil
		b.fail(r, gone)
	case stateRunning:
		b.disown(r)
		if r.entry != nil {
			return // the caller may come back with its key to ask what became of it
		}
		b.tellFailure(r, gone)
		b.abandon(r, true)
	}
}

// cancel ends r at its caller's wish.
func (b *Broker) cancel(r *request) {
	f := failure{code: jsonrpc.CodeCancelled, text: "cancelled by the caller"}
	switch r.state {
	case stateQueued:
		b.unqueue(r)
		b.fail(r, f)
	case stateJoined:
		r.joining.unlink()
		r.entry = nil
		b.fail(r, f)
	case stateRunning:
		b.tellFailure(r, f)
		b.abandon(r, true)
	}
}
