//go:build cgo && unix

package zmq

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/mdpmesh/mesh/transport"
)

// conn is the dialler's end of a connection.
type conn struct {
	outbox
	transport *Transport
	wake      chan struct{} // holds one item where the owner is to look
	done      chan struct{} // closed by the owner, at its end
	task      sync.WaitGroup
	serving   atomic.Bool
	reading   atomic.Pointer[reading]

	// What follows belongs to the owner, and to Serve once done is closed.
	dealer  *socket
	events  *socket
	down    time.Time // when the connection ended; zero: it hasn't
	final   bool      // nothing comes any more
	blocked bool      // libzmq takes no more at the moment
	parts   time.Time // until when what was flushed may be sent, once this side has ended it
	batch   []transport.Message
	rest    []transport.Message // what had come when the connection ended
	broken  bool                // the broker broke the rules: what comes after that isn't received
	ending  error               // why Serve found that the connection ended
}

var _ transport.Conn = (*conn)(nil)

func newConn(t *Transport, dealer, events *socket) *conn {
	return &conn{
		outbox: outbox{cfg: &t.cfg}, transport: t, wake: make(chan struct{}, 1), done: make(chan struct{}),
		dealer: dealer, events: events,
	}
}

// Send queues m for the broker.
func (c *conn) Send(m transport.Message) error { return c.add(m) }

// Flush has the owner send what is queued.
func (c *conn) Flush() {
	if c.flush() {
		signal(c.wake)
	}
}

// Close has the owner end the connection.
func (c *conn) Close() error {
	c.end(transport.ErrClosed, true, false)
	signal(c.wake)
	return nil
}

// reading is one Serve.
type reading struct {
	receive func([]transport.Message)

	mu      sync.Mutex // held while receive runs; guards stopped
	stopped bool
}

// stop returns once receive isn't running any more.
func (r *reading) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// Serve has the owner read, and call receive.
func (c *conn) Serve(ctx context.Context, receive func(batch []transport.Message)) error {
	if !c.serving.CompareAndSwap(false, true) {
		return errors.New("zmq: Serve is already running on this connection")
	}
	defer c.serving.Store(false)
	if c.ending != nil {
		return c.ending
	}
	if err := ctx.Err(); err != nil {
		if ended, _ := c.over(); ended {
			return c.why()
		}
		return err
	}
	r := &reading{receive: receive}
	c.reading.Store(r)
	signal(c.wake)
	select {
	case <-c.done:
		c.task.Wait()
	case <-ctx.Done():
		c.reading.Store(nil)
		r.stop()
		return ctx.Err()
	}
	if ended, _ := c.over(); !ended && len(c.rest) > 0 {
		receive(c.rest)
		c.rest = nil
	}
	c.ending = c.why()
	return c.ending
}

// run is the owner: it alone touches the sockets.
func (c *conn) run() {
	defer c.transport.library.leave()
	defer close(c.done)
	for {
		c.observe()
		received := c.receive()
		more := c.write()
		if c.parted() {
			c.close(linger)
			return
		}
		if !c.down.IsZero() && (c.final || time.Since(c.down) > grace) {
			c.drain()
			c.close(0)
			return
		}
		if !received && !more {
			c.park()
		}
	}
}

// parted reports whether this side has ended the connection, and what was flushed is
// sent, or took too long.
func (c *conn) parted() bool {
	if ended, _ := c.over(); !ended {
		return false
	}
	if c.parts.IsZero() {
		c.parts = time.Now().Add(farewell)
	}
	return !c.left() || time.Now().After(c.parts)
}

// park waits until there is something to do.
func (c *conn) park() {
	// What libzmq was asked last must be its state: its signal comes once.
	state, err := c.dealer.GetEvents()
	if err != nil || state&zmq4.POLLIN != 0 && c.reading.Load() != nil || state&zmq4.POLLOUT != 0 && c.blocked {
		return
	}
	var timer <-chan time.Time
	if !c.down.IsZero() || !c.parts.IsZero() {
		timer = time.After(tick)
	}
	select {
	case <-c.dealer.ready:
	case <-c.events.ready:
	case <-c.wake:
	case <-timer:
	}
}

// observe looks at what became of the connection.
func (c *conn) observe() {
	for {
		e, ok := c.events.event()
		if !ok {
			return
		}
		if err := e.forged(); err != nil {
			c.failed(err)
		}
		if !e.ended() {
			continue
		}
		if c.down.IsZero() {
			c.down = time.Now()
			c.end(transport.ErrPeerClosed, false, true)
		}
		c.final = c.final || e.final()
	}
}

// receive gives what has come to the Serve that there is, and reports whether
// there was something.
func (c *conn) receive() bool {
	r := c.reading.Load()
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	batch := c.batch[:0]
	for t := (turn{}); !t.over(); {
		m, _, err := c.dealer.receive(c.cfg, false)
		if err != nil {
			c.failed(err)
			break
		}
		t.add(m)
		batch = append(batch, m)
	}
	if ended, _ := c.over(); !ended && len(batch) > 0 {
		r.receive(batch)
	}
	clear(batch)
	c.batch = batch
	return len(batch) > 0
}

// failed is told why nothing was received, or is any more.
func (c *conn) failed(err error) {
	if is(err, syscall.EAGAIN) || is(err, syscall.EINTR) || !c.down.IsZero() {
		return
	}
	c.down, c.final, c.broken = time.Now(), true, true
	c.end(err, false, true)
}

// drain takes what has come over a connection that has ended, for a Serve to come.
// libzmq holds no more than it does for any other.
func (c *conn) drain() {
	for !c.broken {
		m, _, err := c.dealer.receive(c.cfg, false)
		if err != nil {
			return
		}
		c.rest = append(c.rest, m)
	}
}

// write sends what was flushed, and reports whether there is more that may be
// sent.
func (c *conn) write() bool {
	c.look()
	c.blocked = false
	for range maxBatch {
		m := c.next()
		if m == nil {
			return false
		}
		if err := c.dealer.send("", m); err != nil {
			c.fallBehind()
			c.blocked = true
			return false
		}
		c.sent()
	}
	return true
}

// close closes the sockets. What was sent is written for as long as lingers.
func (c *conn) close(lingers time.Duration) { c.dealer.closeMonitored(c.events, lingers) }
