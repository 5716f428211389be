package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Operation is something that an operator wants of a broker, and what came of it
// (docs/protocol.md "Operations").
type Operation struct {
	Name    string // of the management request: mdp.MMIPause and so on
	Service string // mmi.pause, mmi.resume
	Worker  string // mmi.drain, mmi.disconnect: the instance
	Request uint64 // mmi.cancel, mmi.release, mmi.drop: the serial number

	Code       int // 0: done
	Reason     string
	RetryAfter time.Duration
	Released   uint64 // mmi.release: the serial number of the new run
}

// operates says whether a management request is for operators: mmi.cancel is where
// it names a request by serial number.
func operates(name string, params *mmiParams) bool {
	switch name {
	case mdp.MMIPause, mdp.MMIResume, mdp.MMIDrain, mdp.MMIDisconnect, mdp.MMIRelease, mdp.MMIDrop:
		return true
	case mdp.MMICancel:
		return params.Request != 0
	}
	return false
}

// askedToOperate carries out what p asks for, if p may.
func (b *Broker) askedToOperate(p *Peer, name string, isRPC bool, params *mmiParams) (any, *failure) {
	op := Operation{Name: name}
	switch name {
	case mdp.MMIPause, mdp.MMIResume:
		op.Service = params.Service
	case mdp.MMIDrain, mdp.MMIDisconnect:
		op.Worker = params.Worker
	default:
		op.Request = params.Request
	}
	var f *failure
	switch {
	case !b.mayOperate(p, &op):
		f = notPermitted(name)
	case !isRPC:
		f = needsRPC(name)
	case name == mdp.MMICancel && params.ID != nil:
		f = &failure{code: jsonrpc.CodeInvalidParams, text: "id and request exclude each other"}
	default:
		f = b.operate(&op)
	}
	b.observeOperation(p.id, &op, f)
	switch {
	case f != nil:
		return nil, f
	case name == mdp.MMIRelease:
		return map[string]uint64{"request": op.Released}, nil
	}
	return struct{}{}, nil
}

// mayOperate says whether p may have op carried out: by a right over all services, or
// over each that op is about. What isn't there is about none, so that whoever may
// operate on something hears that it isn't.
func (b *Broker) mayOperate(p *Peer, op *Operation) bool {
	if b.allowed(p, MayOperate, []byte(op.Service)) {
		return true
	}
	if op.Service != "" || !b.allowedPartly(p, MayOperate) {
		return false
	}
	may := func(s *service) bool { return b.allowed(p, MayOperate, []byte(s.name)) }
	switch op.Name {
	case mdp.MMIDrain, mdp.MMIDisconnect:
		for nd := b.peers.head; nd != nil; nd = nd.next {
			if w := nd.of.worker; w != nil && w.instance == op.Worker && op.Worker != "" && !w.isOnlyOf(may) {
				return false
			}
		}
		return true
	case mdp.MMICancel:
		r := b.unsettled(op.Request)
		return r == nil || may(r.service)
	default: // mdp.MMIRelease, mdp.MMIDrop
		held := b.quarantine.bySerial[op.Request]
		return held == nil || b.allowed(p, MayOperate, held.request.name)
	}
}

// isOnlyOf says whether w serves, or still has requests of, services that may pass, and
// no others. One that serves nothing may come to serve anything.
func (w *worker) isOnlyOf(may func(*service) bool) bool {
	for i := range w.slots {
		if r := w.slots[i].request; r != nil && !may(r.service) {
			return false
		}
	}
	for _, m := range w.members {
		if !may(m.service) {
			return false
		}
	}
	return len(w.members) > 0
}

// operated carries out what the program itself asks for, and tells op the outcome.
func (b *Broker) operated(by Identity, op *Operation) {
	f := b.operate(op)
	if f != nil {
		op.Code, op.Reason, op.RetryAfter = f.code, f.text, f.retry
	}
	b.observeOperation(by, op, f)
}

// observeOperation tells who asked for op and what came of it.
func (b *Broker) observeOperation(by Identity, op *Operation, f *failure) {
	o := Observation{
		Occasion: Operated, Operation: op.Name[len(mdp.MMIPrefix):], By: by, Request: op.Request,
		Service: nameable(op.Service), Instance: nameable(op.Worker),
	}
	if f != nil {
		o.Code, o.Reason = f.code, f.text
	}
	b.observe(o)
}

// nameable returns a name that somebody asked for, or "" where nothing can have it.
func nameable(name string) string {
	if mdp.CheckService([]byte(name)) != nil {
		return ""
	}
	return name
}

// operate carries out op, or says why not.
func (b *Broker) operate(op *Operation) *failure {
	switch op.Name {
	case mdp.MMIPause, mdp.MMIResume:
		return b.pause(op.Service, op.Name == mdp.MMIPause)
	case mdp.MMIDrain:
		found, f := b.drainWorkers(op.Worker)
		for _, w := range found {
			w.peer.drained = true // whatever else it says on its connection
		}
		return f
	case mdp.MMIDisconnect:
		found, f := b.drainWorkers(op.Worker) // what one of them loses isn't for the next
		for _, w := range found {
			b.lose(w, "disconnected by an operator", true)
		}
		return f
	case mdp.MMICancel:
		r := b.unsettled(op.Request)
		if r == nil {
			return &failure{code: jsonrpc.CodeNotFound, text: "no such request waits"}
		}
		b.end(r, failure{code: jsonrpc.CodeCancelled, text: "cancelled by an operator"})
		return nil
	case mdp.MMIRelease:
		var f *failure
		op.Released, f = b.release(op.Request)
		return f
	case mdp.MMIDrop:
		if b.quarantine.take(op.Request) == nil {
			return &failure{code: jsonrpc.CodeNotFound, text: "no such request in quarantine"}
		}
		return nil
	}
	return &failure{code: jsonrpc.CodeMethodNotFound, text: "this broker doesn't know " + op.Name}
}

// pause stops the hand-over of a service's requests, or lets it go on.
func (b *Broker) pause(name string, on bool) *failure {
	s := b.services[name]
	if s == nil {
		f := noService(nameable(name))
		return &f
	}
	s.paused = on
	if on {
		s.isVacant.unlink()
		return nil
	}
	b.serve(s)
	b.vacate(s)
	return nil
}

// drainWorkers hands nothing more to the workers that registered as instance, and
// returns them. They stay, as what is sent DISCONNECT comes back on a new
// connection and is a new worker.
func (b *Broker) drainWorkers(instance string) ([]*worker, *failure) {
	var found []*worker
	for nd := b.peers.head; nd != nil; nd = nd.next {
		if w := nd.of.worker; w != nil && w.instance == instance && instance != "" {
			w.drained = true
			found = append(found, w)
		}
	}
	if len(found) == 0 {
		return nil, &failure{code: jsonrpc.CodeNotFound, text: "no such worker"}
	}
	return found, nil
}

// unsettled returns the request of that serial number, if its outcome isn't settled
// yet, or nil.
func (b *Broker) unsettled(serial uint64) *request {
	beyond := func(r *request) bool { return r.serial > serial }
	for nd := b.peers.head; nd != nil; nd = nd.next {
		if r := nd.of.requests.lastUntil(beyond); r != nil && r.serial == serial {
			return r
		}
	}
	var found *request
	b.ownerless.each(func(r *request) bool {
		if r.serial == serial {
			found = r
		}
		return found == nil
	})
	return found
}
