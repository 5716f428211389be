package majordomo

import (
	"hash/maphash"
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
	since    time.Duration // when it was queued last

	deadline time.Duration // never, where it has none of its own
	timer    timer

	attempts int // how often it was handed over
	handed   time.Duration
	until    time.Duration // abandoned: when its slot is taken from it
	member   *member
	methods  map[string]*MethodDoc // the member's, when it was handed over
	slot     int
	address  []byte

	relayed   int // PARTIALs
	uncredit  int // PARTIALs relayed to a plain client since credit was last given for it
	kept      [][]byte
	keptBytes int

	entry *entry // of its key: as the run, or as one that joined it

	inQueue  node[request]
	queue    *callerQueue
	inAnswer node[request] // in service.answerable
	ofPeer   node[request]
	joining  node[request]

	hash    uint64
	older   *request // in the index's bucket
	newer   *request
	indexed bool
}

// never is the deadline of a request that has none.
const never = time.Duration(math.MaxInt64)

// rpc says that the request is JSON-RPC with an id, so that its caller can be
// told of an error.
func (r *request) rpc() bool { return r.env.Kind == jsonrpc.Request }

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
	return len(r.env.Meta.Key) > 0 && r.env.Meta.Attempt > 1 && r.rpc() && r.linked == 0
}

// handedOver says whether a worker was given r, or the run that it joined.
func (r *request) handedOver() bool {
	if r.state == stateJoined {
		return r.entry.run.attempts > 0
	}
	return r.attempts > 0
}

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
	r.deadline = never
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

// requestIndex finds the requests that wait for an outcome by connection and
// JSON-RPC id. It is a hash table that grows by a bucket at a time (linear
// hashing), so that no step pays for all that is in it, and whose chains are
// linked both ways, because a client may give all its requests the same id.
type requestIndex struct {
	seed    maphash.Seed // its value shows nowhere: it only spreads the chains
	buckets []*request   // each the newest of its chain
	round   uint64       // a power of two: how many buckets this round of growth began with
	n       int
}

func newRequestIndex() requestIndex {
	const first = 64
	return requestIndex{seed: maphash.MakeSeed(), buckets: make([]*request, first), round: first}
}

func (x *requestIndex) hash(p *Peer, id []byte) uint64 {
	return maphash.Bytes(x.seed, id) ^ p.serial*0x9e3779b97f4a7c15
}

// bucket returns where the chain of a hash begins.
func (x *requestIndex) bucket(hash uint64) **request {
	i := hash & (2*x.round - 1)
	if i >= uint64(len(x.buckets)) {
		i -= x.round // not split yet
	}
	return &x.buckets[i]
}

func (x *requestIndex) add(r *request) {
	if x.n >= len(x.buckets) {
		x.grow()
	}
	r.hash = x.hash(r.peer, r.env.ID)
	at := x.bucket(r.hash)
	r.older, r.newer = *at, nil
	if r.older != nil {
		r.older.newer = r
	}
	*at = r
	r.indexed = true
	x.n++
}

// grow splits the next bucket of this round in two. Both keep their order, so
// that what find returns doesn't depend on the seed.
func (x *requestIndex) grow() {
	split := uint64(len(x.buckets)) - x.round
	r := x.buckets[split]
	x.buckets[split] = nil
	x.buckets = append(x.buckets, nil)
	var last [2]*request
	for r != nil {
		older, half := r.older, 0
		if r.hash&x.round != 0 {
			half = 1
		}
		if r.newer = last[half]; r.newer != nil {
			r.newer.older = r
		} else {
			x.buckets[split+uint64(half)*x.round] = r
		}
		r.older, last[half] = nil, r
		r = older
	}
	if uint64(len(x.buckets)) == 2*x.round {
		x.round *= 2
	}
}

func (x *requestIndex) remove(r *request) {
	if !r.indexed {
		return
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		*x.bucket(r.hash) = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	}
	r.older, r.newer, r.indexed = nil, nil, false
	x.n--
}

// find returns the newest request of p with that id, or nil.
func (x *requestIndex) find(p *Peer, id []byte) *request {
	h := x.hash(p, id)
	for r := *x.bucket(h); r != nil; r = r.older {
		if r.hash == h && r.peer == p && string(r.env.ID) == string(id) {
			return r
		}
	}
	return nil
}
