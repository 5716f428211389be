package inproc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/mdpmesh/mesh/transport"
)

var (
	_ transport.Conn = (*conn)(nil)
	_ transport.Peer = (*peer)(nil)
)

// link is one connection: two pipes that end together.
type link struct {
	listener *listener
	identity transport.Identity
	up       pipe // from the dialler to the listener
	down     pipe // from the listener to the dialler

	once  sync.Once     // guards the end
	ended chan struct{} // closed once the link has ended
	// Why it ended, for either side. Set before ended is closed and the pipes
	// end, read after.
	connReason, peerReason error

	serving atomic.Bool   // the dialler's Serve is running
	wake    chan struct{} // asks the dialler's Serve to run down
	noticed bool          // in the listener's to-do list; guarded by its mu
	pending bool          // not accepted yet; guarded by the listener's mu
}

func newLink(cfg *Config, l *listener, identity transport.Identity) *link {
	return &link{
		listener: l,
		identity: identity,
		up:       pipe{cfg: cfg},
		down:     pipe{cfg: cfg},
		ended:    make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
}

// endedBy says which side ends a link and what becomes of messages under way.
type endedBy struct {
	connReason, peerReason error
	keepUp, keepDown       bool // what was flushed is still received
}

var (
	byConn = endedBy{transport.ErrClosed, transport.ErrPeerClosed, true, false}
	byPeer = endedBy{transport.ErrPeerClosed, transport.ErrClosed, false, true}
	// A peer that was too slow for what it got isn't given it later either, so
	// that its session sees at once that it has to dial anew.
	bySlowness = endedBy{transport.ErrSlowPeer, transport.ErrSlowPeer, false, false}
)

// end ends both directions, for the first reason that is given. It runs no
// receiver: the caller may hold locks. The listener's Serve calls Gone, unless
// a goroutine that is running the receiver is there first.
func (k *link) end(why endedBy) {
	k.once.Do(func() {
		k.connReason, k.peerReason = why.connReason, why.peerReason
		k.up.end(why.connReason, why.keepUp)
		k.down.end(why.peerReason, why.keepDown)
		close(k.ended)
		k.listener.notice(k)
	})
}

// conn is the dialler's end of a link.
type conn link

func (c *conn) Send(m transport.Message) error { return c.up.send(m) }

func (c *conn) Flush() { c.listener.flush((*link)(c)) }

func (c *conn) Close() error {
	(*link)(c).end(byConn)
	return nil
}

// Serve waits; what it waits for is received on the goroutines that flush.
func (c *conn) Serve(ctx context.Context, receive func(batch []transport.Message)) error {
	if !c.serving.CompareAndSwap(false, true) {
		return errors.New("inproc: Serve is already running on this connection")
	}
	defer c.serving.Store(false)
	if ctx.Err() != nil {
		return c.interrupted(ctx)
	}
	c.down.open(receive, nil)
	for {
		if c.down.run(false) {
			c.rouse()
		}
		select {
		case <-c.wake:
		case <-c.ended:
			c.down.finish()
			return c.connReason
		case <-ctx.Done():
			c.down.detach()
			return c.interrupted(ctx)
		}
	}
}

// interrupted returns why Serve stops now that ctx has ended: a connection that
// ended and has nothing left to give comes first.
func (c *conn) interrupted(ctx context.Context) error {
	select {
	case <-c.ended:
		if c.down.empty() {
			return c.connReason
		}
	default:
	}
	return ctx.Err()
}

// rouse makes Serve, or the next Serve, run the receiver.
func (c *conn) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// peer is the listener's end of a link.
type peer link

func (p *peer) Identity() transport.Identity { return p.identity }

func (p *peer) Send(m transport.Message) error {
	err := p.down.send(m)
	if err == transport.ErrFull { //nolint:errorlint // the sentinel itself, on the hot path
		(*link)(p).end(bySlowness)
		return transport.ErrSlowPeer
	}
	return err
}

func (p *peer) Flush() {
	if p.down.run(true) {
		(*conn)(p).rouse()
	}
}

func (p *peer) Close() error {
	(*link)(p).end(byPeer)
	return nil
}
