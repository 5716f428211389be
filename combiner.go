package mesh

import "sync"

// maxTurn is how much work one goroutine takes through an engine before it leaves
// the rest to another, so that a caller that came upon an idle engine doesn't
// work for the others for ever.
const maxTurn = 256

// combiner lets one goroutine at a time run an engine: a state machine that many
// goroutines have work for. One that finds the engine idle runs it, on its own
// work and on what others leave in the inbox meanwhile, in the order in which it
// came; whoever finds it running goes on at once. Nobody waits for the engine,
// no goroutine has to be woken for it, and under load the work comes in batches.
type combiner[T any] struct {
	mu      sync.Mutex // guards what follows; never held while the engine runs
	inbox   []T
	spare   []T // empty, to become inbox
	running bool
	closed  bool // nothing is handed over any more
}

// enter leaves work in the inbox if the engine is running, or else has the caller
// run it, beginning with this work.
func (c *combiner[T]) enter(work T) (run bool) {
	c.mu.Lock()
	if c.running {
		c.inbox = append(c.inbox, work)
		c.mu.Unlock()
		return false
	}
	c.running = true
	c.mu.Unlock()
	return true
}

// more returns what is in the inbox, to whoever runs the engine. If there is
// nothing, the engine is idle from now on. If the caller has spent its turn on
// what it did so far, it must see to it that another goroutine calls more
// (handOver), unless the combiner was closed. leave is called before anybody else may
// run the engine.
func (c *combiner[T]) more(spent int, leave func()) (work []T, handOver bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.inbox) == 0:
		leave()
		c.running = false
		return nil, false
	case spent >= maxTurn && !c.closed:
		leave()
		return nil, true
	}
	work = c.inbox
	c.inbox, c.spare = c.spare, nil
	return work, false
}

// close has nothing handed over any more, so that whoever ends the engine can wait for
// the goroutines to which it was: none comes after them. Whoever runs the engine calls
// it with the last work of the engine. What is left by others later is refused, which is
// soon done.
func (c *combiner[T]) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// reuse takes back the slice that more returned.
func (c *combiner[T]) reuse(work []T) {
	clear(work)
	c.mu.Lock()
	if cap(work) <= 4*maxTurn {
		c.spare = work[:0]
	}
	c.mu.Unlock()
}
