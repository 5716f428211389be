package faulty

import (
	"context"
	"errors"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

var _ transport.Conn = (*conn)(nil)

// conn is the dialler's end of a link.
type conn struct {
	t     *Transport
	inner transport.Conn
	name  string // of the dialler
	label string // name and number
	addr  string // that was dialled
	up    up
	down  down

	severed bool // the listener crashed unnoticed; guarded by t.mu

	ended  chan struct{} // closed once err is set
	mu     sync.Mutex    // guards the fields below
	err    error         // why the link ended for the dialler
	killed bool          // the listener was; the link below was closed from this side
	cancel func()        // ends the last Serve below; nil before the first
}

func (c *conn) dialler() end { return end{c.label, c.name} }

func (c *conn) listener() end { return end{c.addr, c.addr} }

// Send draws what happens to m. A message that meets a fault is taken all the
// same: what the transport below says to one that was held back is in the trace
// only.
func (c *conn) Send(m transport.Message) error { return c.up.send(m) }

func (c *conn) Flush() { c.up.flushAll() }

// Close ends the connection for this side. The other side hears of it after
// what was flushed, and not through a partition.
func (c *conn) Close() error {
	if c.end(transport.ErrClosed) {
		c.t.trace(Event{Kind: Closed, From: c.label, To: c.addr, Err: transport.ErrClosed})
		c.down.abandon()
		c.up.finish(transport.ErrClosed)
	}
	return nil
}

func (c *conn) Serve(ctx context.Context, receive func(batch []transport.Message)) error {
	below, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.begin(cancel); err != nil {
		return err
	}
	c.down.open(receive)
	defer c.down.detach()
	if ctx.Err() == nil {
		c.down.run()
	}
	err := c.inner.Serve(below, c.down.take)
	select {
	case <-c.ended:
		return c.reason()
	default:
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return c.awaitEnd(ctx, err)
}

// begin keeps how to end the Serve below. It returns why the link has ended.
func (c *conn) begin(cancel func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return c.err
}

// awaitEnd returns once the dialler may know that the link below has ended: after
// what is still under way, and not through a partition.
func (c *conn) awaitEnd(ctx context.Context, reason error) error {
	c.mu.Lock()
	if c.killed {
		reason = transport.ErrPeerClosed
	}
	c.mu.Unlock()
	for !c.down.drained() {
		select {
		case <-c.down.changed:
		case <-c.ended:
			return c.reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.endFromBelow(reason)
	return c.reason()
}

// endFromBelow ends the link because the one below has ended.
func (c *conn) endFromBelow(reason error) {
	if c.end(reason) {
		c.t.trace(Event{Kind: Closed, From: c.addr, To: c.label, Err: reason})
		c.up.abandon(reason)
		c.release()
	}
}

// overflow ends a link that holds too much.
func (c *conn) overflow() {
	c.t.trace(Event{Kind: Closed, From: c.addr, To: c.label, Err: transport.ErrSlowPeer})
	c.vanish(transport.ErrSlowPeer)
}

// vanish ends the link for the dialler, who is told the reason. The other side
// hears of it, but not through a partition.
func (c *conn) vanish(reason error) {
	if c.end(reason) {
		c.down.abandon()
		c.up.vanish(reason)
	}
}

// crash ends the link for the dialler, and nobody else hears of it.
func (c *conn) crash() {
	if c.end(ErrCrashed) {
		c.down.abandon()
		c.up.abandon(ErrCrashed)
	}
}

// lose ends the link because the listener was killed. The dialler hears of it,
// but not through a partition.
func (c *conn) lose() {
	c.mu.Lock()
	c.killed = true
	c.mu.Unlock()
	c.down.abandon()
	_ = c.inner.Close()
	if !c.down.parted() {
		c.endFromBelow(transport.ErrPeerClosed)
	}
}

// run goes on with what may be able to now.
func (c *conn) run() {
	c.up.run()
	c.down.run()
}

// end sets why the link ended for the dialler and makes Serve return. It reports
// whether it was the first to do so.
func (c *conn) end(reason error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.err = reason
	close(c.ended)
	if c.cancel != nil {
		c.cancel()
	}
	return true
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// release closes the link below.
func (c *conn) release() {
	_ = c.inner.Close()
	c.t.forget(c)
}
