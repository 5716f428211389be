package mesh

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// stage is where a broker's state machine, the core, is run by whoever has work
// for it (see combiner). Replies are queued at their peers while the core is
// held; they are written, like everything that may take time, after it was left.
type stage struct {
	logger  *slog.Logger
	drained chan struct{}
	full    bool // bodies are read to their end, as rights may go by method

	work combiner[*turn, turn]

	// What follows belongs to whoever runs the core.
	core  *majordomo.Broker
	came  time.Time // when a batch from another process came last
	armed time.Time // when timer fires; zero: it doesn't
	timer *time.Timer
	ended bool

	watchers watchers

	mu     sync.Mutex // guards peers
	peers  map[*brokerPeer]struct{}
	remote atomic.Int64  // of these, those in other processes
	alone  chan struct{} // holds a token when the last of those has gone
}

// turn is a piece of work, and what comes of it.
type turn struct {
	events []majordomo.Event
	do     func(*majordomo.Broker)

	// Collected while the core is held, carried out after it was left.
	touched []*brokerPeer
	after   []majordomo.Action
	watched bool // there are events for the watchers
}

func newStage(core *majordomo.Broker, logger *slog.Logger, observe func([]Event), drained chan struct{}) *stage {
	s := &stage{core: core, logger: logger, drained: drained, alone: make(chan struct{}, 1), peers: make(map[*brokerPeer]struct{})}
	s.work.init(s)
	s.watchers.observe = observe
	s.watchers.told.L = &s.watchers.mu
	s.timer = time.AfterFunc(time.Hour, s.wake)
	s.timer.Stop()
	return s
}

// brokerPeer is one connection: the receiver of what it brings.
type brokerPeer struct {
	stage   *stage
	link    transport.Peer
	core    *majordomo.Peer
	touched bool // has messages queued that this turn must flush; belongs to whoever runs the core
	remote  bool
}

var _ transport.Receiver = (*brokerPeer)(nil)

func (s *stage) accept(link transport.Peer) transport.Receiver {
	id := link.Identity()
	p := &brokerPeer{stage: s, link: link, remote: !id.Local}
	p.core = majordomo.NewPeer(majordomo.Identity{Name: id.Name, Addr: id.Addr, Local: id.Local}, p)
	s.mu.Lock()
	s.peers[p] = struct{}{}
	s.mu.Unlock()
	if p.remote {
		s.remote.Add(1)
	}
	return p
}

// Receive takes a batch of messages to the core. What needs nothing of the
// broker's state, parsing, is done before.
func (p *brokerPeer) Receive(batch []transport.Message) {
	t := p.stage.work.turn()
	if cap(t.events) < len(batch) {
		t.events = make([]majordomo.Event, len(batch))
	}
	t.events = t.events[:len(batch)]
	for i, m := range batch {
		t.events[i].Received(p.core, m, p.stage.full)
	}
	s := p.stage
	if !s.work.enter(t) {
		return
	}
	if p.remote && s.remote.Load() > 2 && s.hurried() {
		// What other connections bring, that are ready to be read, goes into the
		// inbox first: replies to one peer then leave in one write. A client and a
		// worker alone have nothing to share, nor has a call at a quiet moment, for
		// which somebody else would be woken.
		runtime.Gosched()
	}
	s.run(t)
}

// hurried says whether batches come in quick succession. Whoever runs the core asks.
func (s *stage) hurried() bool {
	now := s.work.clock.now()
	quick := now.Sub(s.came) < quickly
	s.came = now
	return quick
}

// quickly is less than the time between two batches of a broker that has little to do.
const quickly = 50 * time.Microsecond

func (p *brokerPeer) Gone(reason error) {
	p.stage.mu.Lock()
	delete(p.stage.peers, p)
	p.stage.mu.Unlock()
	if p.remote && p.stage.remote.Add(-1) == 0 {
		select {
		case p.stage.alone <- struct{}{}:
		default:
		}
	}
	p.stage.event(majordomo.Event{Kind: majordomo.Gone, Peer: p.core, Err: reason})
}

func (s *stage) event(ev majordomo.Event) {
	t := s.work.turn()
	t.events = append(t.events[:0], ev)
	s.submit(t)
}

func (s *stage) wake() { s.event(majordomo.Event{Kind: majordomo.Wake}) }

func (s *stage) drain(deadline time.Time) {
	s.event(majordomo.Event{Kind: majordomo.Drain, Deadline: deadline})
}

// farewell is how long a broker that has nothing left to do goes on to answer that it is
// draining. Clients in other processes that hear it leave; a call that is on its way when
// the connection ends would be lost, and its caller couldn't know whether it ran.
const farewell = 250 * time.Millisecond

// part waits until nobody in another process is connected any more, for farewell at most
// or until the broker has ended.
func (s *stage) part(ctx context.Context, ended <-chan struct{}) {
	late := time.NewTimer(farewell)
	defer late.Stop()
	for s.remote.Load() > 0 {
		select {
		case <-s.alone:
		case <-late.C:
			return
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// do has f called with the core, which is brought to the present time before, and
// waits for it.
func (s *stage) do(ctx context.Context, f func(*majordomo.Broker)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.submit(&turn{events: []majordomo.Event{{Kind: majordomo.Wake}}, do: func(core *majordomo.Broker) {
		f(core)
		close(done)
	}})
	<-done // soon: nothing that the core does waits
	return nil
}

// begin puts a core whose time begins now in the place of the one that no peer
// has talked to.
func (s *stage) begin(core *majordomo.Broker) {
	_ = s.do(context.Background(), func(*majordomo.Broker) {
		s.core = core
		core.SetObserve(s.watched())
	})
}

// end stops the timer, and returns when everybody was told everything. Nothing
// comes from peers any more.
func (s *stage) end() {
	_ = s.do(context.Background(), func(core *majordomo.Broker) {
		s.ended = true
		s.work.close()
		s.timer.Stop()
		core.SetObserve(false)
	})
	s.work.relays.Wait()
	s.watchers.close()
}

// submit has t done: by the caller, if nobody runs the core.
func (s *stage) submit(t *turn) {
	if s.work.enter(t) {
		s.run(t)
	}
}

// run runs the core, which the caller holds, beginning with t, in which is collected
// what comes of all that is done.
func (s *stage) run(t *turn) { s.work.run(s.work.clock.now(), t, t) }

// take takes one turn through the core; what comes of it is collected in into.
func (s *stage) take(now time.Time, t, into *turn) int {
	for i := range t.events {
		if t.events[i].Kind == majordomo.Wake {
			s.armed = time.Time{} // now may be a little before the time at which the timer fired
		}
		actions := s.core.Step(now, &t.events[i])
		for j := range actions {
			a := &actions[j]
			if a.Kind != majordomo.Send {
				into.after = append(into.after, *a)
				continue
			}
			p := a.Peer.Data.(*brokerPeer)
			if p.link.Send(a.Message) == nil && !p.touched { // a link that failed says so by Gone
				p.touched = true
				into.touched = append(into.touched, p)
			}
		}
		if observed := s.core.Observed(); len(observed) > 0 {
			s.watchers.collect(observed)
			into.watched = true
		}
	}
	if t.do != nil {
		t.do(s.core)
	}
	spent := len(t.events)
	if t != into {
		s.recycle(t)
	}
	return spent
}

// leave does what has to be done before somebody else may run the core.
func (s *stage) leave(now time.Time, t *turn) {
	for _, p := range t.touched {
		p.touched = false
	}
	if s.ended {
		return
	}
	next := s.core.NextWake()
	if next.IsZero() || !s.armed.IsZero() && !next.Before(s.armed) {
		return
	}
	s.armed = next
	s.timer.Reset(max(next.Sub(now), 0))
}

// finish writes and tells what a turn left behind; the core is free.
func (s *stage) finish(t *turn) {
	for _, p := range t.touched {
		p.link.Flush()
	}
	for i := range t.after {
		a := &t.after[i]
		switch a.Kind {
		case majordomo.Close:
			p := a.Peer.Data.(*brokerPeer)
			p.link.Flush()     // what another turn sent may not have left yet
			_ = p.link.Close() // Gone follows, if the other side didn't end it first
		case majordomo.Note:
			id := a.Peer.Identity()
			s.logger.Warn(a.Text, "peer", id.Addr, "name", id.Name, "error", a.Err)
		case majordomo.Drained:
			s.flushAll()
			close(s.drained)
		}
	}
	if t.watched || s.watchers.left.Load() {
		s.watchers.tell()
		if len(t.events) > 0 && t.events[0].Kind == majordomo.Message {
			s.watchers.hold()
		}
	}
	s.recycle(t)
}

// flushAll writes what other turns have sent and not flushed yet.
func (s *stage) flushAll() {
	s.mu.Lock()
	peers := slices.Collect(maps.Keys(s.peers))
	s.mu.Unlock()
	for _, p := range peers {
		p.link.Flush()
	}
}

func (s *stage) recycle(t *turn) {
	const keep = 1024
	if cap(t.events) > keep || cap(t.touched) > keep {
		return
	}
	clear(t.events)
	clear(t.touched)
	clear(t.after)
	t.events, t.touched, t.after, t.do, t.watched = t.events[:0], t.touched[:0], t.after[:0], nil, false
	s.work.turns.Put(t)
}
