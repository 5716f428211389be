package majordomo

import "hash/maphash"

// requestIndex finds the requests that wait for an outcome by connection and
// JSON-RPC id. It is a hash table that grows by a bucket at a time (linear
// hashing), so that no step pays for all that is in it. Ids that differ in their
// last digit only stand in one group, since clients mostly count their ids up:
// then the group is in the processor's caches when the next id comes and when it
// goes, however many others wait.
type requestIndex struct {
	seed    maphash.Seed // its value shows nowhere: it only spreads the chains
	buckets []*idGroup   // each the newest of its chain
	round   uint64       // a power of two: how many buckets this round of growth began with
	groups  int
	n       int // requests
	free    []*idGroup
}

// idGroup holds the requests of a connection by the last digit of their ids; an id
// that doesn't end in one is alone in its group, in the last place. A client may
// give many requests the same id: the newest stands here, and is linked to the
// older ones.
type idGroup struct {
	hash uint64
	next *idGroup // in the bucket
	live int      // places taken
	ids  [idOther + 1]*request
}

const idOther = 10

func newRequestIndex() requestIndex {
	const first = 64
	return requestIndex{seed: maphash.MakeSeed(), buckets: make([]*idGroup, first), round: first}
}

// locate returns the hash of an id's group and its place in it.
func (x *requestIndex) locate(p *Peer, id []byte) (hash uint64, slot uint8) {
	slot = idOther
	if last := len(id) - 1; last >= 0 && '0' <= id[last] && id[last] <= '9' {
		id, slot = id[:last], id[last]-'0'
	}
	hash = maphash.Bytes(x.seed, id) ^ p.serial*0x9e3779b97f4a7c15
	if slot == idOther {
		hash = ^hash
	}
	return hash, slot
}

// bucket returns where the chain of a hash begins.
func (x *requestIndex) bucket(hash uint64) **idGroup {
	i := hash & (2*x.round - 1)
	if i >= uint64(len(x.buckets)) {
		i -= x.round // not split yet
	}
	return &x.buckets[i]
}

// group returns the group of a hash, or nil.
func (x *requestIndex) group(hash uint64) *idGroup {
	g := *x.bucket(hash)
	for g != nil && g.hash != hash {
		g = g.next
	}
	return g
}

func (x *requestIndex) add(r *request) {
	hash, slot := x.locate(r.peer, r.env.ID)
	g := x.group(hash)
	if g == nil {
		g = x.newGroup(hash)
	}
	if r.older = g.ids[slot]; r.older != nil {
		r.older.newer = r
	} else {
		g.live++
	}
	g.ids[slot] = r
	r.ids, r.idSlot = g, slot
	x.n++
}

func (x *requestIndex) newGroup(hash uint64) *idGroup {
	if x.groups >= len(x.buckets) {
		x.grow()
	}
	var g *idGroup
	if n := len(x.free); n > 0 {
		g, x.free = x.free[n-1], x.free[:n-1]
	} else {
		g = new(idGroup)
	}
	at := x.bucket(hash)
	g.hash, g.next = hash, *at
	*at = g
	x.groups++
	return g
}

// grow splits the next bucket of this round in two.
func (x *requestIndex) grow() {
	split := uint64(len(x.buckets)) - x.round
	g := x.buckets[split]
	x.buckets[split] = nil
	x.buckets = append(x.buckets, nil)
	for g != nil {
		next := g.next
		at := &x.buckets[split+g.hash&x.round]
		g.next, *at = *at, g
		g = next
	}
	if uint64(len(x.buckets)) == 2*x.round {
		x.round *= 2
	}
}

func (x *requestIndex) remove(r *request) {
	g := r.ids
	if g == nil {
		return
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else if g.ids[r.idSlot] = r.older; r.older == nil {
		g.live--
	}
	if r.older != nil {
		r.older.newer = r.newer
	}
	r.older, r.newer, r.ids = nil, nil, nil
	x.n--
	if g.live == 0 {
		x.drop(g)
	}
}

func (x *requestIndex) drop(g *idGroup) {
	at := x.bucket(g.hash)
	for *at != g {
		at = &(*at).next
	}
	*at = g.next
	g.next = nil
	x.groups--
	if len(x.free) < maxFree {
		x.free = append(x.free, g)
	}
}

// find returns the newest request of p with that id, or nil.
func (x *requestIndex) find(p *Peer, id []byte) *request {
	hash, slot := x.locate(p, id)
	g := x.group(hash)
	if g == nil {
		return nil
	}
	r := g.ids[slot]
	// Two groups have the same hash once in a blue moon.
	for r != nil && (r.peer != p || string(r.env.ID) != string(id)) {
		r = r.older
	}
	return r
}
