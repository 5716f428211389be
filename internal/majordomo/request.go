package majordomo

import (
	"hash/maphash"
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
type request struct {
	serial uint64
	linked uint64
	state  requestState

	peer     *Peer // whom the outcome is told; nil: nobody
	caller   Identity
	account  *account
	version  mdp.Version
	envelope [][]byte
	name     []byte // the frame that named the service
	service  *service
	body     [][]byte
	env      jsonrpc.Envelope
	size     int
	since    time.Duration

	deadline time.Duration // 0: it has none of its own
	timer    timer

	attempts int // how often it was handed over
	handed   time.Duration
	member   *member
	slot     uint32
	address  []byte

	relayed   int // PARTIALs
	uncredit  int // PARTIALs relayed to a plain client since credit was last given for it
	kept      [][]byte
	keptBytes int

	entry *entry

	inQueue node[request]
	queue   *callerQueue
	ofPeer  node[request]
	joining node[request]

	hash    uint64
	chain   *request // next in the index's bucket
	indexed bool
}

// rpc says that the request is JSON-RPC with an id, so that its caller can be
// told of an error.
func (r *request) rpc() bool { return r.env.Kind == jsonrpc.Request }

func (b *Broker) newRequest(p *Peer, ev *Event) *request {
	var r *request
	if n := len(b.free); n > 0 {
		r = b.free[n-1]
		b.free = b.free[:n-1]
	} else {
		r = &request{}
		r.timer.kind, r.timer.owner = timerRequest, r
	}
	b.serial++
	r.serial = b.serial
	r.peer, r.account, r.caller = p, p.account, p.id
	c := &ev.Command
	r.version, r.envelope, r.name, r.body = c.Version, c.Envelope, c.Service, c.Body
	r.env = ev.Envelope
	r.size = ev.Size
	r.since = b.now
	if t := r.env.Meta.TimeoutMS; t >= 0 && r.env.Meta.Present {
		const longest = int64(1<<62) / int64(time.Millisecond)
		r.deadline = b.now + time.Duration(min(t, longest))*time.Millisecond
	}
	p.requests.pushBack(&r.ofPeer, r)
	if r.rpc() {
		b.index.add(r)
	}
	return r
}

// free returns r to the pool. Nothing refers to it any more.
func (b *Broker) recycle(r *request) {
	b.wheel.stop(&r.timer)
	t := r.timer
	*r = request{timer: t}
	if len(b.free) < maxFree {
		b.free = append(b.free, r)
	}
}

const maxFree = 4096

// requestIndex finds the requests that wait for an outcome by connection and
// JSON-RPC id.
type requestIndex struct {
	seed    maphash.Seed // its value shows nowhere: it only spreads the chains
	buckets []*request
	n       int
}

func newRequestIndex() requestIndex {
	return requestIndex{seed: maphash.MakeSeed(), buckets: make([]*request, 64)}
}

func (x *requestIndex) hash(p *Peer, id []byte) uint64 {
	return maphash.Bytes(x.seed, id) ^ p.serial*0x9e3779b97f4a7c15
}

func (x *requestIndex) add(r *request) {
	if x.n >= 2*len(x.buckets) {
		x.grow()
	}
	r.hash = x.hash(r.peer, r.env.ID)
	at := &x.buckets[r.hash&uint64(len(x.buckets)-1)]
	r.chain, *at = *at, r
	r.indexed = true
	x.n++
}

func (x *requestIndex) grow() {
	old := x.buckets
	x.buckets = make([]*request, 8*len(old))
	for _, r := range old {
		for r != nil {
			next := r.chain
			at := &x.buckets[r.hash&uint64(len(x.buckets)-1)]
			r.chain, *at = *at, r
			r = next
		}
	}
}

func (x *requestIndex) remove(r *request) {
	if !r.indexed {
		return
	}
	at := &x.buckets[r.hash&uint64(len(x.buckets)-1)]
	for *at != r {
		at = &(*at).chain
	}
	*at = r.chain
	r.chain, r.indexed = nil, false
	x.n--
}

// find returns a request of p with that id, or nil.
func (x *requestIndex) find(p *Peer, id []byte) *request {
	h := x.hash(p, id)
	for r := x.buckets[h&uint64(len(x.buckets)-1)]; r != nil; r = r.chain {
		if r.hash == h && r.peer == p && string(r.env.ID) == string(id) {
			return r
		}
	}
	return nil
}
