package mesh

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxTurn is how much work one goroutine takes through an engine before it leaves
// the rest to another, so that a caller that came upon an idle engine doesn't
// work for the others for ever.
const maxTurn = 256

// engine is a state machine that a combiner has run, with what it takes to give it a
// piece of work W. What comes of that is collected in a T while the engine is held, and
// carried out once it is free.
type engine[W, T any] interface {
	// take takes one piece of work to the engine, and returns how many pieces it is worth.
	take(now time.Time, w W, t *T) int
	// leave does what has to be done before somebody else may run the engine. Where work
	// comes just then, the same goroutine goes on, and leaves again later.
	leave(now time.Time, t *T)
	// finish does what was collected; the engine is free.
	finish(t *T)
}

// combiner lets one goroutine at a time run an engine that many goroutines have work
// for. One that finds the engine idle runs it, on its own work and on what others leave
// in the inbox meanwhile, in the order in which it came; whoever finds it running goes on
// at once. Nobody waits for the engine, no goroutine has to be woken for it, and under
// load the work comes in batches.
type combiner[W, T any] struct {
	engine engine[W, T]
	clock  clock
	turns  sync.Pool      // *T
	relays sync.WaitGroup // goroutines that took over a turn

	state atomic.Uint32 // idle, running or crowded
	spare []W           // empty, to become inbox; belongs to whoever runs the engine

	mu     sync.Mutex // guards what follows, and is held to make an engine crowded or to end that
	inbox  []W
	closed bool // nothing is handed over any more
}

// States of a combiner.
const (
	idle    = iota // nobody runs the engine
	running        // somebody does, and the inbox is empty
	crowded        // somebody does, and the inbox isn't
)

// init makes the combiner ready to run e.
func (c *combiner[W, T]) init(e engine[W, T]) {
	c.engine, c.clock = e, newClock()
	c.turns.New = func() any { return new(T) }
}

// turn returns room to collect in. The engine gives it back (turns.Put).
func (c *combiner[W, T]) turn() *T { return c.turns.Get().(*T) }

// submit has w done: by the caller, if nobody runs the engine.
func (c *combiner[W, T]) submit(w W) {
	if c.enter(w) {
		c.run(c.clock.now(), w, c.turn())
	}
}

// enter leaves work in the inbox if the engine is running, or else has the caller
// run it, beginning with this work.
func (c *combiner[W, T]) enter(w W) (run bool) {
	if c.state.CompareAndSwap(idle, running) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.state.CompareAndSwap(idle, running) {
		if c.state.Load() == crowded || c.state.CompareAndSwap(running, crowded) {
			c.inbox = append(c.inbox, w)
			return false
		}
	}
	return true // it was left just now
}

// run runs the engine, which the caller entered, on w and on what others left.
func (c *combiner[W, T]) run(now time.Time, w W, t *T) {
	c.empty(now, t, c.engine.take(now, w, t))
}

// empty runs the engine, which the caller holds, on what others left, leaves it, and
// then carries out what was collected in t. The caller has spent some of its turn.
func (c *combiner[W, T]) empty(now time.Time, t *T, spent int) {
	for {
		work, handOver := c.more(now, t, spent)
		if handOver {
			c.relays.Go(func() { c.empty(c.clock.now(), c.turn(), 0) })
		}
		if work == nil {
			break
		}
		for i := range work {
			spent += c.engine.take(now, work[i], t)
		}
		c.reuse(work)
	}
	c.engine.finish(t)
}

// more returns what is in the inbox. If there is nothing, the engine is idle from now
// on. If the turn is spent, the engine is to be handed over to another goroutine, unless
// the combiner was closed.
func (c *combiner[W, T]) more(now time.Time, t *T, spent int) (work []W, handOver bool) {
	if c.state.Load() == running {
		c.engine.leave(now, t)
		if c.state.CompareAndSwap(running, idle) {
			return nil, false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if spent >= maxTurn && !c.closed {
		c.engine.leave(now, t)
		return nil, true
	}
	work = c.inbox
	c.inbox, c.spare = c.spare, nil
	c.state.Store(running)
	return work, false
}

// close has nothing handed over any more, so that whoever ends the engine can wait for
// the goroutines to which it was: none comes after them. Whoever runs the engine calls
// it with the last work of the engine. What is left by others later is refused, which is
// soon done.
func (c *combiner[W, T]) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// reuse takes back the slice that more returned. The caller holds the engine.
func (c *combiner[W, T]) reuse(work []W) {
	clear(work)
	if cap(work) <= 4*maxTurn {
		c.spare = work[:0]
	}
}
