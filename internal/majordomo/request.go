package majordomo

import (
	"math"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

type requestState uint8

const (
	stateNone      requestState = iota
	stateQueued                 // waits for a worker
	stateRunning                // handed to a worker, somebody or a key waits for the outcome
	stateAbandoned              // handed to a worker, but its outcome was settled before the worker's FINAL
	stateJoined                 // waits for the outcome of another request with its key
)

// request is one call from a client, from its arrival until its outcome is
// settled and, if it was handed over, its slot is free again.
//
//	        ┌────────────── requeue ─────────────┐
//	        v                                    │
//	new ─► queued ─────────► running ─► settled: FINAL, worker lost
//	 │       │                  │
//	 │       └► settled:        └► settled: expired, cancelled, caller gone
//	 │          expired, …             └─► abandoned ─► free: FINAL, loss, busy limit
//	 └► joined ─► settled with the run that it joined
//
// A request that was queued behind many others is out of the processor's caches
// when its turn comes, so what handing it over and its reply need stands together
// at the front, and what only its arrival and observers need behind.
type request struct {
	queue    *callerQueue   // nil where it is in service.front
	inQueue  place[request] // in queue.requests
	inAnswer place[request] // in service.answerable
	ofPeer   place[request]
	service  *service
	account  *account
	peer     *Peer // whom the outcome is told; nil: nobody
	state    requestState
	isRPC    bool
	owned    bool  // has memory of its own
	isRepeat bool  // has a key and isn't its client's first attempt
	idSlot   uint8 // in ids
	size     int
	deadline time.Duration // never, where it has none of its own
	timer    timer
	single   []byte // the only frame of body, if there is one only

	member   *member
	methods  map[string]*MethodDoc // the member's, when it was handed over
	address  []byte
	slot     int
	attempts int // how often it was handed over
	handed   time.Duration
	since    time.Duration // when it was queued last
	relayed  int           // PARTIALs
	entry    *entry        // of its key: as the run, or as one that joined it
	kept     [][]byte
	version  mdp.Version
	envelope [][]byte
	name     []byte // the frame that named the service

	ids   *idGroup // where the index has it; nil: nowhere
	older *request // with the same id
	newer *request

	serial    uint64
	linked    uint64
	caller    Identity
	arrived   time.Duration
	body      [][]byte
	env       jsonrpc.Envelope
	until     time.Duration // abandoned: when its slot is taken from it
	uncredit  int           // PARTIALs relayed to a plain client since credit was last given for it
	keptBytes int
	joining   node[request]
	inFront   node[request] // in service.front
}

// never is the deadline of a request that has none.
const never = time.Duration(math.MaxInt64)

// rpc says that the request is JSON-RPC with an id, so that its caller can be
// told of an error.
func (r *request) rpc() bool { return r.isRPC }

// read notes what the envelope says that is asked for often.
func (r *request) read() {
	r.isRPC = r.env.Kind == jsonrpc.Request
	r.isRepeat = len(r.env.Meta.Key) > 0 && r.env.Meta.Attempt > 1 && r.isRPC
}

// keyed says that the window has a say in r. Streams aren't kept
// (docs/protocol.md "Repeats").
func (r *request) keyed() bool {
	return len(r.env.Meta.Key) > 0 && r.env.Meta.Window < 0 && r.rpc()
}

// unsure says that r is a repeat of which the window can't say whether an earlier
// attempt ran. What an operator releases is to run in any case.
func (r *request) unsure() bool {
	if r.entry != nil {
		return r.entry.unsure
	}
	return r.isRepeat && r.linked == 0
}

// handedOver says whether a worker was given r, or the run that it joined.
func (r *request) handedOver() bool {
	if r.state == stateJoined {
		return r.entry.run.attempts > 0
	}
	return r.attempts > 0
}

// newRequest returns the request that p makes by ev.
func (b *Broker) newRequest(p *Peer, ev *Event) *request {
	r := b.makeRequest(ev)
	r.peer, r.account, r.caller = p, p.account, p.id
	p.requests.pushBack(&r.ofPeer, r)
	if r.rpc() {
		b.index.add(r)
	}
	return r
}

// makeRequest returns the request of ev, which is nobody's yet.
func (b *Broker) makeRequest(ev *Event) *request {
	var r *request
	if n := len(b.free); n > 0 {
		r = b.free[n-1]
		b.free = b.free[:n-1]
	} else {
		r = &request{}
		r.timer.kind, r.timer.owner = timerRequest, r
	}
	b.serial++
	r.serial, r.arrived = b.serial, b.now
	c := &ev.Command
	r.version, r.envelope, r.name, r.body = c.Version, c.Envelope, c.Service, c.Body
	if len(r.body) == 1 {
		r.single = r.body[0]
	}
	r.env = ev.Envelope
	r.read()
	r.size = ev.Size
	r.deadline = never
	if t := r.env.Meta.TimeoutMS; t >= 0 && r.env.Meta.Present {
		const longest = int64(1<<62) / int64(time.Millisecond)
		r.deadline = b.now + time.Duration(min(t, longest))*time.Millisecond
	}
	return r
}

// recycle returns r to the pool. Nothing refers to it any more.
func (b *Broker) recycle(r *request) {
	b.wheel.stop(&r.timer)
	t := r.timer
	*r = request{timer: t}
	if len(b.free) < maxFree {
		b.free = append(b.free, r)
	}
}

const maxFree = 4096
