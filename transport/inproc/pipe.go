package inproc

import (
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

const (
	// maxTurn is how many messages a goroutine hands over before it leaves the
	// rest to another: whoever flushes wants to go on with its own work.
	maxTurn = 256
	// maxSpare is the largest batch slice, in messages, that is kept for reuse.
	maxSpare = 1024
)

// pipe is one direction of a connection: a bounded queue and the receiver at
// its end, which one goroutine at a time runs.
type pipe struct {
	cfg *Config

	mu           sync.Mutex // guards the fields below; never held while a receiver runs
	queue        []transport.Message
	bytes        int                             // the cost of queue
	flushed      int                             // how many messages of queue may be received
	flushedBytes int                             // their cost
	spare        []transport.Message             // empty, to become queue
	receive      func(batch []transport.Message) // nil: nobody reads
	gone         func()                          // called once, after the last receive; may be nil
	running      bool                            // a goroutine is in run
	stopped      chan struct{}                   // if set, run closes it when it leaves
	err          error                           // why the pipe ended; nil while it lives
}

// send queues m. It returns ErrFull for a queue that can't take m.
func (p *pipe) send(m transport.Message) error {
	cost, err := p.cfg.cost(m)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if !p.takes(cost) {
		return transport.ErrFull
	}
	p.queue = append(p.queue, m)
	p.bytes += cost
	return nil
}

// ahead is how many times its bounds a queue may hold of which nothing waits for the
// receiver. Much may be sent before anybody flushes, and then it isn't the receiver that
// is slow.
const ahead = 2

// takes reports whether there is room for a message that costs so much. The caller
// holds mu.
func (p *pipe) takes(cost int) bool {
	n, times := len(p.queue), 1
	if p.flushed == 0 {
		times = ahead
	}
	return n == 0 || n < times*p.cfg.MaxQueuedMessages && p.bytes+cost <= times*p.cfg.MaxQueuedBytes
}

// flush lets the receiver have what was queued.
func (p *pipe) flush() {
	p.mu.Lock()
	p.flushed, p.flushedBytes = len(p.queue), p.bytes
	p.mu.Unlock()
}

// run hands what was flushed to the receiver unless another goroutine is doing
// that, which then picks it up. It reports whether it left something for a
// later run because its turn was over.
func (p *pipe) run(flush bool) (more bool) {
	p.mu.Lock()
	if flush {
		p.flushed, p.flushedBytes = len(p.queue), p.bytes
	}
	if p.running {
		p.mu.Unlock()
		return false
	}
	p.running = true
	for turn := 0; p.flushed > 0 && p.receive != nil; {
		if turn >= maxTurn {
			more = true
			break
		}
		batch, receive := p.take(), p.receive
		p.mu.Unlock()
		turn += len(batch)
		receive(batch)
		clear(batch) // the receiver may have kept the messages; the batch doesn't
		p.mu.Lock()
		if cap(batch) <= maxSpare && p.err == nil {
			p.spare = batch[:0]
		}
	}
	if gone := p.gone; gone != nil && p.err != nil && p.flushed == 0 {
		p.gone, p.receive = nil, nil
		p.mu.Unlock()
		gone()
		p.mu.Lock()
	}
	p.running = false
	if p.stopped != nil {
		close(p.stopped)
		p.stopped = nil
	}
	p.mu.Unlock()
	return more
}

// take cuts what was flushed off the queue. The caller holds mu and is in run.
func (p *pipe) take() []transport.Message {
	batch, rest, queue := p.queue[:p.flushed], p.queue[p.flushed:], p.spare
	queue = append(queue, rest...)
	clear(rest)
	p.queue, p.spare = queue, nil
	p.bytes -= p.flushedBytes
	p.flushed, p.flushedBytes = 0, 0
	return batch
}

// open sets who reads. What was flushed before waits for the next run.
func (p *pipe) open(receive func(batch []transport.Message), gone func()) {
	p.mu.Lock()
	p.receive, p.gone = receive, gone
	p.mu.Unlock()
}

// end makes send fail with err and drops what wasn't flushed, or everything if
// keep is false. The next run calls gone.
func (p *pipe) end(err error, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.spare = nil
	if !keep {
		p.queue = nil
		p.flushed, p.flushedBytes = 0, 0
		p.bytes = 0
		return
	}
	clear(p.queue[p.flushed:])
	p.queue, p.bytes = p.queue[:p.flushed], p.flushedBytes
}

// detach takes the receiver away and returns once it isn't running any more.
// What it didn't receive stays queued.
func (p *pipe) detach() {
	p.mu.Lock()
	p.receive = nil
	p.awaitIdle()
	p.mu.Unlock()
}

// finish hands over the rest of a pipe that ended, takes the receiver away and
// returns once it isn't running any more.
func (p *pipe) finish() {
	p.mu.Lock()
	for {
		p.awaitIdle()
		if p.flushed == 0 {
			break
		}
		p.mu.Unlock()
		p.run(false)
		p.mu.Lock()
	}
	p.receive = nil
	p.mu.Unlock()
}

// awaitIdle waits until no goroutine is in run. The caller holds mu and is the
// only one that waits.
func (p *pipe) awaitIdle() {
	for p.running {
		stopped := make(chan struct{})
		p.stopped = stopped
		p.mu.Unlock()
		<-stopped
		p.mu.Lock()
	}
}

// empty reports whether nothing is left to receive.
func (p *pipe) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flushed == 0
}
