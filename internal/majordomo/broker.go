package majordomo

import (
	"time"

	"github.com/mdpmesh/mesh/internal/mdp"
)

const (
	// sliceLength bounds what one step does of work that grows with what is
	// queued: timers that fired, requests handed over or answered.
	sliceLength = 256
	// messageTimers is how many timers may fire in a step that isn't a Wake.
	messageTimers = 16
)

type timerKind uint8

const (
	timerRequest timerKind = iota
	timerPeer
	timerSweep
	timerMemory
	timerWindow
	timerDrain
)

// Broker is a Majordomo broker as a state machine. Its methods must not be
// called at the same time.
type Broker struct {
	cfg   Config
	start time.Time
	now   time.Duration // since start; it never goes back
	wheel wheel

	actions  []Action
	observed []Observation
	arena    arena

	peers      list[Peer]
	accounts   map[string]*account
	services   map[string]*service
	all        list[service] // the same, oldest first
	ownerless  roll[request] // queued or running, and nobody waits for the outcome
	vacant     list[service]
	memory     timer
	index      requestIndex
	window     window
	quarantine quarantine

	serial     uint64
	peerSerial uint64
	queued     int
	waits      load // what is queued or joined
	running    int  // handed over and not settled
	abandoned  int
	unknown    int // services that never had a worker and have something queued
	budget     int // what is left of the step's sliceLength

	draining  bool
	drainOver bool // its deadline has passed
	drained   bool
	drainEnd  time.Duration
	drain     timer
	// lenient is until when nobody is dropped for silence, as the broker itself
	// stood still.
	lenient time.Duration

	pongs      [2]written // the answers to mmi.ping, see pong
	free       []*request
	freeQueues []*callerQueue
	single     [1][]byte // for the body of one frame that is being sent

	counts Counts
}

// NewBroker returns a broker that starts now.
func NewBroker(cfg Config, now time.Time) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		cfg:      cfg,
		start:    now,
		accounts: make(map[string]*account),
		services: make(map[string]*service),
		index:    newRequestIndex(),
	}
	b.window.entries = make(map[string]*entry)
	b.quarantine.bySerial = make(map[uint64]*quarantined)
	b.memory.kind = timerMemory
	b.window.timer.kind = timerWindow
	b.drain.kind = timerDrain
	return b, nil
}

// Step makes the broker take ev at the time now, and returns what has to be done.
// The actions are valid until the next call; the messages in them stay.
func (b *Broker) Step(now time.Time, ev *Event) []Action {
	if t := now.Sub(b.start); t > b.now {
		b.now = t
	}
	b.actions = b.actions[:0]
	b.observed = b.observed[:0]
	b.budget = sliceLength
	timers := messageTimers
	switch ev.Kind {
	case Message:
		b.message(ev)
	case Gone:
		b.gone(ev.Peer, ev.Err)
	case Wake:
		timers = sliceLength
	case Drain:
		b.beginDrain(ev.Deadline)
	case Operate:
		b.operated(Identity{Local: true}, ev.Operation)
	}
	b.fire(timers)
	if b.draining && !b.drained {
		b.checkDrained()
	}
	return b.actions
}

// Observed returns what the last step has to tell; it is valid until the next.
func (b *Broker) Observed() []Observation { return b.observed }

// NextWake returns when a Wake is due, zero for never. It may be early.
func (b *Broker) NextWake() time.Time {
	at, ok := b.wheel.wake()
	if !ok {
		return time.Time{}
	}
	return b.start.Add(at)
}

// spend takes one piece of work from what the step may still do, or reports that
// the rest has to wait for another step.
func (b *Broker) spend() bool {
	if b.budget == 0 {
		return false
	}
	b.budget--
	return true
}

// soon arms t for the next step, which is due at once.
func (b *Broker) soon(t *timer) { b.wheel.set(t, b.now.Truncate(time.Millisecond)) }

// fire lets at most n timers fire; those left over are due at once.
func (b *Broker) fire(n int) {
	for ; n > 0 && b.spend(); n-- {
		t := b.wheel.pop(b.now)
		if t == nil {
			return
		}
		switch t.kind {
		case timerRequest:
			b.requestFired(t.owner.(*request))
		case timerPeer:
			b.peerFired(t.owner.(*Peer))
		case timerSweep:
			b.sweepFired(t.owner.(*service))
		case timerMemory:
			b.memoryFired()
		case timerWindow:
			b.windowFired()
		case timerDrain:
			b.drainFired()
		}
	}
}

// message takes what a peer sent.
func (b *Broker) message(ev *Event) {
	p := ev.Peer
	if p.closed {
		return
	}
	if ev.Err != nil {
		b.counts.Invalid++
		b.note(p, "invalid message dropped", ev.Err)
		return
	}
	if !p.known.linked() {
		b.meet(p)
	}
	p.heard = b.now
	switch c := &ev.Command; c.Kind {
	case mdp.ClientRequest:
		if mdp.Reserved(c.Service) {
			b.mmi(p, ev)
		} else {
			b.request(p, ev)
		}
	case mdp.Ready:
		b.ready(p, c)
	case mdp.WorkerPartial:
		b.partial(p, ev)
	case mdp.WorkerFinal:
		b.final(p, ev)
	case mdp.Heartbeat:
		b.heartbeat(p, c)
	case mdp.Disconnect:
		b.disconnect(p)
	}
}

// meet takes p into the broker's books.
func (b *Broker) meet(p *Peer) {
	b.peerSerial++
	p.serial = b.peerSerial
	p.since, p.sent = b.now, b.now
	p.beat.kind, p.beat.owner = timerPeer, p
	p.account = b.accounts[p.id.Name]
	if p.account == nil || p.id.Name == "" {
		p.account = &account{name: p.id.Name, frame: []byte(p.id.Name)}
		if p.id.Name != "" {
			b.accounts[p.id.Name] = p.account
		}
	}
	p.account.peers++
	b.peers.pushBack(&p.known, p)
}

// gone deals with everything that p leaves behind.
func (b *Broker) gone(p *Peer, reason error) {
	p.closed = true
	if !p.known.linked() {
		return
	}
	if p.worker != nil {
		why := "connection lost"
		if reason != nil {
			why = reason.Error()
		}
		b.lose(p.worker, why, false)
	}
	b.wheel.stop(&p.beat)
	p.known.unlink()
	p.account.peers--
	if p.account.peers == 0 && p.account.name != "" {
		delete(b.accounts, p.account.name)
	}
	b.forsakeAll(p)
}

// forsakeAll deals with the requests of a peer that is gone, or with as many as
// the step may.
func (b *Broker) forsakeAll(p *Peer) {
	for r := p.requests.front(); r != nil; r = p.requests.front() {
		if !b.spend() {
			b.soon(&p.beat)
			return
		}
		b.forsake(r)
	}
}

// peerFired sends the heartbeat that is due and drops a peer that was silent for
// too long (RFC 7 "Heartbeating").
func (b *Broker) peerFired(p *Peer) {
	if p.closed {
		b.forsakeAll(p)
		return
	}
	w := p.worker
	if w == nil && !p.held {
		return
	}
	if b.now >= p.beat.due()+b.cfg.HeartbeatInterval {
		// The process was stopped, or the machine slept. What peers sent meanwhile
		// may wait to be read.
		b.lenient = b.now + b.cfg.HeartbeatInterval
	}
	limit := b.cfg.expiry()
	if w != nil {
		limit = b.patience(w)
	}
	end := max(p.heard+limit, b.lenient)
	if b.now >= end {
		if w != nil {
			b.lose(w, "heartbeats lost", true)
		}
		// Nobody is there to hang up, and the kernel may take a quarter of an hour to
		// notice.
		b.act(Action{Kind: Close, Peer: p, Text: "heartbeats lost"})
		b.gone(p, errSilent)
		return
	}
	next := end
	switch {
	case w == nil:
		next = b.lookBefore(end)
	case w.ready:
		if b.now-p.sent >= b.cfg.HeartbeatInterval {
			b.send(p, &mdp.Command{Version: w.version, Kind: mdp.Heartbeat})
		}
		next = min(next, p.sent+b.cfg.HeartbeatInterval)
	}
	b.wheel.set(&p.beat, next)
}

// lookBefore returns when to look at a client that is silent for too long at end: some
// time before that, together with others, so that many idle clients don't wake the
// broker one by one; or at end, if that would be now.
func (b *Broker) lookBefore(end time.Duration) time.Duration {
	if at := end.Truncate(b.cfg.HeartbeatInterval / looks); at > b.now {
		return at
	}
	return end
}

// looks is how many times in an interval the broker looks whether clients are there.
const looks = 8

// beginDrain starts the end of the broker's service (docs/protocol.md
// "Stopping").
func (b *Broker) beginDrain(until time.Time) {
	if b.draining {
		return
	}
	b.draining = true
	b.sweepAll()
	if !until.IsZero() {
		b.drainEnd = max(until.Sub(b.start), b.now)
		b.wheel.set(&b.drain, b.drainEnd)
	}
}

// sweepAll has every queue looked at soon.
func (b *Broker) sweepAll() {
	for nd := b.all.head; nd != nil; nd = nd.next {
		if s := nd.of; s.queued > 0 {
			b.soon(&s.sweep)
		}
	}
}

// drainFired gives up the opaque requests that no worker came for.
func (b *Broker) drainFired() {
	if b.now < b.drainEnd {
		b.wheel.set(&b.drain, b.drainEnd)
		return
	}
	b.drainOver = true
	b.sweepAll()
}

// checkDrained ends the drain once every reply that somebody waits for was
// relayed.
func (b *Broker) checkDrained() {
	if b.waits.requests > 0 || b.running > 0 {
		return
	}
	b.drained = true
	b.wheel.stop(&b.drain)
	for nd := b.peers.head; nd != nil; nd = nd.next {
		if w := nd.of.worker; w != nil {
			b.lose(w, "broker drained", true)
		}
	}
	b.act(Action{Kind: Drained})
}

func (b *Broker) act(a Action) { b.actions = append(b.actions, a) }

// note has the log told of what p did wrong, at most once a second for a peer.
func (b *Broker) note(p *Peer, text string, err error) {
	p.invalid++
	if p.invalid > 1 && b.now < p.noteAfter {
		return
	}
	p.noteAfter = b.now + time.Second
	b.act(Action{Kind: Note, Peer: p, Text: text, Err: err})
}

// send has the command sent to p, if p is there to take it.
func (b *Broker) send(p *Peer, c *mdp.Command) {
	if p.closed {
		return
	}
	p.sent = b.now
	b.act(Action{Kind: Send, Peer: p, Message: c.AppendTo(b.arena.frames(c.Len()))})
}

func (b *Broker) allowed(p *Peer, right Right, service []byte) bool {
	if a := b.cfg.Authorizer; a != nil {
		return a.Allow(p.id, right, service, nil)
	}
	return right != MayOperate || p.id.Local || b.cfg.Operate
}

// allowedPartly says whether p, which doesn't have the right over all services, may
// have it over some.
func (b *Broker) allowedPartly(p *Peer, right Right) bool {
	a := b.cfg.Authorizer
	return a != nil && a.Partly(p.id, right)
}
