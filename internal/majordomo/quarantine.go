package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// quarantine holds the requests under which as many workers were lost as their
// contracts allow, until somebody releases or drops them. It is bounded: the
// oldest give way.
type quarantine struct {
	bySerial map[uint64]*quarantined
	all      list[quarantined]
	bytes    int64
}

type quarantined struct {
	request request // a copy, out of every list
	at      time.Duration
	place   node[quarantined]
}

// put sets a copy of r aside, unless it takes more room than there is for all.
func (q *quarantine) put(b *Broker, r *request) {
	if int64(r.size) > b.cfg.QuarantineBytes {
		return
	}
	held := &quarantined{at: b.now}
	held.request = request{
		serial: r.serial, caller: r.caller, version: r.version, name: r.name, body: r.body, env: r.env, size: r.size, attempts: r.attempts,
	}
	held.request.read()
	held.request.own()
	q.bySerial[r.serial] = held
	q.all.pushBack(&held.place, held)
	q.bytes += int64(r.size)
	for q.all.n > b.cfg.MaxQuarantined || q.bytes > b.cfg.QuarantineBytes {
		q.take(q.all.front().request.serial)
	}
}

// take removes a request and returns it, or nil where it isn't held.
func (q *quarantine) take(serial uint64) *quarantined {
	held := q.bySerial[serial]
	if held == nil {
		return nil
	}
	delete(q.bySerial, serial)
	held.place.unlink()
	q.bytes -= int64(held.request.size)
	return held
}

// release runs a quarantined request again, with nobody who waits for it, and
// returns the serial number of the new run. One that can't be run now stays.
func (b *Broker) release(serial uint64) (uint64, *failure) {
	held := b.quarantine.bySerial[serial]
	if held == nil {
		return 0, &failure{code: jsonrpc.CodeNotFound, text: "no such request in quarantine"}
	}
	old := &held.request
	if b.draining {
		f := draining()
		return 0, &f
	}
	if old.service = b.services[string(old.name)]; old.service == nil {
		f := noService(string(old.name))
		return 0, &f
	}
	if old.account = b.accounts[old.caller.Name]; old.account == nil {
		old.account = &account{name: old.caller.Name, frame: []byte(old.caller.Name)}
	}
	if f, ok := b.placeable(old); !ok {
		return 0, &f
	}
	b.quarantine.take(serial)
	ev := Event{Size: old.size, Envelope: old.env}
	ev.Command.Version, ev.Command.Service, ev.Command.Body = old.version, old.name, old.body
	r := b.makeRequest(&ev)
	b.ownerless.pushBack(&r.ofPeer, r) // nobody waits for it
	r.linked, r.caller, r.account, r.service, r.deadline = serial, old.caller, old.account, old.service, never
	released := r.serial
	b.counts.Received++
	b.observeRequest(r, Received, detail{body: r.body, reason: "released from quarantine"})
	b.place(r)
	return released, nil
}
