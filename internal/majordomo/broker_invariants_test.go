package majordomo

import (
	"fmt"
	"time"
)

// brokerAudit collects what is found wrong with a broker's books.
type brokerAudit struct {
	b      *Broker
	faults []string
	// live holds every request that the broker knows, with where it was found.
	live map[*request]string
	// joined counts those that joined a run, by service.
	joined map[*service]load
	// accounts sums up what waits, by account.
	accounts map[*account]load
	running  map[*service]int
}

// invariants compares every counter, index, list and timer of b with what a scan
// of everything finds. It must hold after each step.
func (b *Broker) invariants() error {
	a := &brokerAudit{
		b: b, live: make(map[*request]string), joined: make(map[*service]load),
		accounts: make(map[*account]load), running: make(map[*service]int),
	}
	a.window()
	a.workers()
	a.services()
	a.requests()
	a.peers()
	a.totals()
	a.timers()
	if len(a.faults) > 0 {
		return fmt.Errorf("invariants broken: %q", a.faults)
	}
	return nil
}

func (a *brokerAudit) checkf(ok bool, format string, args ...any) {
	if !ok {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

func (a *brokerAudit) meet(r *request, where string) {
	before, twice := a.live[r]
	a.checkf(!twice, "request %d is %s and %s", r.serial, before, where)
	a.live[r] = where
}

func (a *brokerAudit) waits(r *request) {
	l := a.accounts[r.account]
	l.add(r)
	a.accounts[r.account] = l
}

// each calls visit for the members of l, and checks its links.
func brokerEach[T any](a *brokerAudit, what string, l *list[T], visit func(*T)) {
	n := 0
	var prev *node[T]
	for nd := l.head; nd != nil; nd = nd.next {
		a.checkf(nd.in == l && nd.prev == prev, "%s: links broken at %d", what, n)
		visit(nd.of)
		prev = nd
		n++
	}
	a.checkf(l.tail == prev && l.n == n, "%s: says %d, has %d", what, l.n, n)
}

// brokerEachOf is brokerEach for a roll.
func brokerEachOf[T any](a *brokerAudit, what string, l *roll[T], at func(*T) *place[T], visit func(*T)) {
	n := 0
	var prev *block[T]
	for b := l.head; b != nil; b = b.next {
		a.checkf(b.in == l && b.prev == prev, "%s: blocks broken at %d", what, n)
		live := 0
		for i, of := range b.members {
			if of == nil {
				continue
			}
			p := at(of)
			a.checkf(p.block == b && int(p.at) == i && i >= int(b.first) && i < int(b.end), "%s: member in the wrong place", what)
			visit(of)
			live++
		}
		a.checkf(live > 0 && live == int(b.live), "%s: block of %d says %d", what, live, b.live)
		prev = b
		n += live
	}
	a.checkf(l.tail == prev && l.n == n, "%s: says %d, has %d", what, l.n, n)
	a.checkf(l.free == nil || l.free.members == [rollBlock]*T{} && l.free.live == 0, "%s: the free block isn't clean", what)
}

func (a *brokerAudit) window() {
	w := &a.b.window
	var bytes int64
	for key, e := range w.entries {
		a.checkf(e.key == key, "window: entry under another key")
		a.checkf(e.isDone.linked() == (e.run == nil), "window: %q done and running", key)
		if e.run != nil {
			a.checkf(e.run.entry == e, "window: the run of %q doesn't know it", key)
			a.checkf(e.run.state == stateQueued || e.run.state == stateRunning || e.run.state == stateAbandoned,
				"window: the run of %q is in state %d", key, e.run.state)
			a.checkf(!e.void, "window: the run of %q is void", key)
		} else {
			bytes += e.size()
			a.checkf(e.joined.n == 0, "window: %q is done, but %d wait", key, e.joined.n)
		}
		a.checkf(e.joined.n <= maxJoined, "window: %d joined %q", e.joined.n, key)
		brokerEach(a, "joined", &e.joined, func(r *request) {
			a.meet(r, "joined")
			a.checkf(r.state == stateJoined && r.entry == e, "request %d joined, in state %d", r.serial, r.state)
			a.checkf(r.timer.pending() == (r.deadline != never), "joined request %d: timer", r.serial)
			l := a.joined[r.service]
			l.add(r)
			a.joined[r.service] = l
			a.waits(r)
		})
	}
	done := 0
	last := time.Duration(0)
	brokerEach(a, "window.done", &w.done, func(e *entry) {
		done++
		a.checkf(w.entries[e.key] == e, "window: done entry %q isn't listed", e.key)
		a.checkf(e.at >= last, "window: done entries out of order")
		last = e.at
	})
	a.checkf(w.bytes == bytes, "window: says %d bytes, has %d", w.bytes, bytes)
	a.checkf(w.bytes <= a.b.cfg.WindowBytes, "window: %d bytes", w.bytes)
	a.checkf(len(w.entries) <= a.b.cfg.WindowEntries, "window: %d entries", len(w.entries))
	a.checkf(done == 0 || w.timer.pending(), "window: no timer")
}

func (a *brokerAudit) workers() {
	b := a.b
	abandoned, running, ready := 0, 0, 0
	for nd := b.peers.head; nd != nil; nd = nd.next {
		p := nd.of
		w := p.worker
		if w == nil {
			continue
		}
		a.checkf(w.peer == p, "worker of another peer")
		if w.ready {
			ready++
		}
		a.checkf(p.beat.pending(), "worker without a timer")
		used := 0
		seen := make(map[int]bool)
		for i := range w.slots {
			r := w.slots[i].request
			if r == nil {
				continue
			}
			used++
			seen[i] = true
			a.meet(r, "in a slot")
			a.checkf(r.member.worker == w && r.slot == i, "request %d in the wrong slot", r.serial)
			a.checkf(r.timer.pending(), "request %d in a slot without a timer", r.serial)
			switch r.state {
			case stateRunning:
				running++
				a.running[r.service]++
				a.checkf(b.services[r.service.name] == r.service, "request %d runs at a forgotten service", r.serial)
			case stateAbandoned:
				abandoned++
				a.checkf(r.peer == nil && !(r.ids != nil), "abandoned request %d is in its caller's books", r.serial)
			default:
				a.checkf(false, "request %d in a slot in state %d", r.serial, r.state)
			}
		}
		a.checkf(w.used == used, "worker uses %d slots, says %d", used, w.used)
		a.checkf(len(w.unused)+used == len(w.slots), "worker has %d slots, %d used, %d unused", len(w.slots), used, len(w.unused))
		a.checkf(len(w.slots) <= b.cfg.MaxCapacity, "worker has %d slots", len(w.slots))
		for _, i := range w.unused {
			a.checkf(!seen[i], "slot %d is used and unused, or unused twice", i)
			seen[i] = true
		}
		for _, m := range w.members {
			a.checkf(m.worker == w && m.inAll.in == &m.service.workers, "member isn't listed")
			if w.free() {
				a.checkf(m.inIdle.linked() && m.inIdle.block.in == &m.service.idle, "free worker isn't listed as idle")
			}
		}
	}
	a.checkf(b.abandoned == abandoned, "%d abandoned, says %d", abandoned, b.abandoned)
	a.checkf(b.running == running, "%d running, says %d", running, b.running)
	a.checkf(b.counts.Workers == ready, "%d workers, says %d", ready, b.counts.Workers)
}

func (a *brokerAudit) services() {
	b := a.b
	queued, unknown := 0, 0
	a.checkf(b.all.n == len(b.services), "%d services listed, %d mapped", b.all.n, len(b.services))
	a.checkf(len(b.services) <= b.cfg.MaxServices, "%d services", len(b.services))
	brokerEach(a, "services", &b.all, func(s *service) {
		a.checkf(b.services[s.name] == s, "service %q isn't mapped", s.name)
		waits := a.joined[s]
		n, answerable := 0, 0
		visit := func(r *request) {
			a.meet(r, "queued")
			n++
			a.checkf(r.service == s && r.state == stateQueued, "request %d queued in state %d", r.serial, r.state)
			a.checkf(r.timer.pending(), "queued request %d without a timer", r.serial)
			a.checkf(r.member == nil, "queued request %d has a worker", r.serial)
			a.checkf((r.inAnswer.linked() && r.inAnswer.block.in == &s.answerable) == r.rpc(), "queued request %d: answerable", r.serial)
			if r.rpc() {
				answerable++
			}
			waits.add(r)
			a.waits(r)
		}
		brokerEach(a, "front", &s.front, visit)
		a.checkf(s.active.n == len(s.queues), "%d queues active, %d mapped", s.active.n, len(s.queues))
		brokerEach(a, "active", &s.active, func(q *callerQueue) {
			a.checkf(s.queues[q.account] == q, "queue of another account")
			a.checkf(q.requests.n > 0, "empty queue")
			serial := uint64(0)
			brokerEachOf(a, "queue", &q.requests, func(r *request) *place[request] { return &r.inQueue }, func(r *request) {
				a.checkf(r.account == q.account && r.queue == q, "request %d in another's queue", r.serial)
				a.checkf(r.serial > serial || r.entry != nil, "queue out of order")
				serial = r.serial
				visit(r)
			})
		})
		brokerEachOf(a, "answerable", &s.answerable, func(r *request) *place[request] { return &r.inAnswer }, func(*request) {})
		a.checkf(s.answerable.n == answerable, "%d answerable, says %d", answerable, s.answerable.n)
		a.checkf(s.queued == n, "%d queued at %q, says %d", n, s.name, s.queued)
		a.checkf(s.waits == waits, "%v wait at %q, says %v", waits, s.name, s.waits)
		a.checkf(s.running == a.running[s], "%d running at %q, says %d", a.running[s], s.name, s.running)
		queued += n
		free := false
		brokerEach(a, "workers", &s.workers, func(m *member) {
			w := m.worker
			a.checkf(m.service == s && w.peer.worker == w && w.peer.known.linked(), "worker of %q is gone", s.name)
			free = free || w.free()
		})
		brokerEachOf(a, "idle", &s.idle, func(m *member) *place[member] { return &m.inIdle }, func(m *member) { a.checkf(m.inAll.in == &s.workers, "idle member isn't listed") })
		if n > 0 && free && !s.paused {
			a.checkf(s.sweep.pending() && s.sweep.when <= tick(b.now), "%d queued at %q with a free worker", n, s.name)
		}
		if answerable > 0 && (s.workers.n == 0 || b.draining) {
			a.checkf(s.sweep.pending(), "nobody will tell those who wait at %q", s.name)
		}
		needed := s.waits.requests > 0 || s.running > 0 || s.workers.n > 0 || s.paused
		a.checkf(s.isVacant.linked() != needed, "service %q: needed %v, vacant %v", s.name, needed, s.isVacant.linked())
		if n > 0 && !s.known {
			unknown++
		}
	})
	brokerEach(a, "vacant", &b.vacant, func(*service) {})
	a.checkf(b.vacant.n == 0 || b.memory.pending(), "vacant services without a timer")
	a.checkf(b.queued == queued, "%d queued, says %d", queued, b.queued)
	a.checkf(b.unknown == unknown, "%d unknown services, says %d", unknown, b.unknown)
	for s := range a.joined {
		a.checkf(b.services[s.name] == s, "joined requests at the forgotten service %q", s.name)
	}
}

func (a *brokerAudit) requests() {
	b := a.b
	indexed := 0
	for r, where := range a.live {
		a.checkf((r.rpc() && r.peer != nil) == (r.ids != nil), "%s request %d: indexed %v", where, r.serial, (r.ids != nil))
		if r.ids != nil {
			indexed++
			found := b.index.find(r.peer, r.env.ID)
			a.checkf(found != nil && found.serial >= r.serial && string(found.env.ID) == string(r.env.ID), "request %d isn't found", r.serial)
		}
		if r.peer != nil {
			a.checkf(r.ofPeer.linked() && r.ofPeer.block.in == &r.peer.requests, "request %d isn't in its caller's list", r.serial)
		} else if r.state != stateAbandoned {
			a.checkf(r.ofPeer.linked() && r.ofPeer.block.in == &b.ownerless, "request %d is in nobody's list", r.serial)
		}
		if r.state != stateAbandoned && (r.peer == nil || !r.peer.closed) {
			a.checkf(b.unsettled(r.serial) == r, "request %d isn't found by its serial number", r.serial)
		}
		if e := r.entry; e != nil && r.state != stateJoined {
			a.checkf(e.run == r && b.window.entries[e.key] == e, "request %d isn't the run of its key", r.serial)
		}
	}
	brokerEachOf(a, "ownerless", &b.ownerless, func(r *request) *place[request] { return &r.ofPeer }, func(r *request) {
		a.checkf(r.peer == nil && a.live[r] != "", "request %d isn't ownerless, or isn't there", r.serial)
	})
	a.checkf(b.index.n == indexed, "%d indexed, says %d", indexed, b.index.n)
	for _, r := range b.free {
		where, live := a.live[r]
		a.checkf(!live, "free request is %s", where)
		a.checkf(r.state == stateNone && r.body == nil && r.peer == nil && r.entry == nil && !(r.ids != nil) &&
			!r.inQueue.linked() && !r.inFront.linked() && !r.inAnswer.linked() && !r.ofPeer.linked() && !r.joining.linked() && !r.timer.pending(), "free request isn't clean")
	}
}

func (a *brokerAudit) peers() {
	b := a.b
	accounts := make(map[*account]int)
	brokerEach(a, "peers", &b.peers, func(p *Peer) {
		a.checkf(!p.closed, "closed peer is known")
		accounts[p.account]++
		brokerEachOf(a, "requests of a peer", &p.requests, func(r *request) *place[request] { return &r.ofPeer }, func(r *request) {
			a.checkf(r.peer == p && a.live[r] != "", "peer waits for request %d, which isn't there", r.serial)
		})
		a.checkf(!p.held || p.beat.pending(), "client held to liveness without a timer")
	})
	for acc, n := range accounts {
		a.checkf(acc.peers == n, "account %q has %d peers, says %d", acc.name, n, acc.peers)
		a.checkf(acc.waits == a.accounts[acc], "%v of account %q wait, says %v", a.accounts[acc], acc.name, acc.waits)
		a.checkf(acc.name == "" || b.accounts[acc.name] == acc, "account %q isn't mapped", acc.name)
	}
	for name, acc := range b.accounts {
		a.checkf(accounts[acc] > 0, "account %q has no peer", name)
	}
}

func (a *brokerAudit) totals() {
	b := a.b
	var waits load
	for _, l := range a.accounts {
		waits.requests += l.requests
		waits.bytes += l.bytes
	}
	a.checkf(b.waits == waits, "%v wait, says %v", waits, b.waits)
	a.checkf(b.quarantine.all.n == len(b.quarantine.bySerial), "quarantine: lists differ")
	var bytes int64
	brokerEach(a, "quarantine", &b.quarantine.all, func(q *quarantined) { bytes += int64(q.request.size) })
	a.checkf(b.quarantine.bytes == bytes && bytes <= b.cfg.QuarantineBytes, "quarantine: says %d bytes, has %d", b.quarantine.bytes, bytes)
	a.checkf(b.quarantine.all.n <= b.cfg.MaxQuarantined, "quarantine: %d requests", b.quarantine.all.n)
	c := &b.counts
	settled := c.Replied + c.Failed + c.TimedOut + c.Cancelled + c.Quarantined
	unsettled := uint64(waits.requests + b.running)
	a.checkf(c.Received == settled+unsettled, "received %d, settled %d, unsettled %d", c.Received, settled, unsettled)
}

// timers checks that only what lives has one.
func (a *brokerAudit) timers() {
	b := a.b
	w := &b.wheel
	n := 0
	earliest := int64(-1)
	visit := func(t *timer) {
		n++
		if earliest < 0 || t.when < earliest {
			earliest = t.when
		}
		switch t.kind {
		case timerRequest:
			r := t.owner.(*request)
			a.checkf(a.live[r] != "", "timer armed for a recycled request")
		case timerPeer:
			p := t.owner.(*Peer)
			a.checkf(p.known.linked() || p.closed && p.requests.n > 0, "timer armed for a forgotten peer")
		case timerSweep:
			s := t.owner.(*service)
			a.checkf(b.services[s.name] == s, "timer armed for a forgotten service")
		}
	}
	for level := range w.slots {
		for slot := range w.slots[level] {
			l := &w.slots[level][slot]
			brokerEachOf(a, "wheel", l, func(t *timer) *place[timer] { return &t.place }, visit)
			a.checkf(w.occupied[level]&(1<<slot) != 0 == (l.n > 0), "wheel: occupied bit of %d/%d", level, slot)
		}
	}
	brokerEachOf(a, "wheel.due", &w.due, func(t *timer) *place[timer] { return &t.place }, visit)
	a.checkf(w.n == n, "wheel says %d, has %d", w.n, n)
	at, ok := w.wake()
	a.checkf(ok == (n > 0), "wheel wakes %v with %d timers", ok, n)
	if ok {
		a.checkf(at <= time.Duration(max(earliest, w.elapsed))*time.Millisecond, "wheel wakes late: %v for tick %d", at, earliest)
	}
}

// brokerLeftovers returns what is left in a broker that should be empty: all its
// peers are gone and everything has had its time. Services that are paused stay,
// and so does the quarantine.
func (b *Broker) brokerLeftovers() error {
	paused := 0
	for _, s := range b.services {
		if s.paused {
			paused++
		}
	}
	for _, left := range []struct {
		what string
		n    int
	}{
		{"peers", b.peers.n},
		{"accounts", len(b.accounts)},
		{"services", len(b.services) - paused},
		{"vacant services", b.vacant.n},
		{"queued", b.queued},
		{"waiting", b.waits.requests},
		{"waiting bytes", int(b.waits.bytes)},
		{"running", b.running},
		{"ownerless", b.ownerless.n},
		{"abandoned", b.abandoned},
		{"unknown services", b.unknown},
		{"indexed", b.index.n},
		{"keys", len(b.window.entries)},
		{"kept bytes", int(b.window.bytes)},
		{"timers", b.wheel.n},
		{"workers", b.counts.Workers},
	} {
		if left.n != 0 {
			return fmt.Errorf("%d %s left", left.n, left.what)
		}
	}
	return nil
}
