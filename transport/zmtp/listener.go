package zmtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// listener accepts connections, greets them, and keeps them until Serve takes
// them. Each has one goroutine, from its first byte to its last.
type listener struct {
	transport *Transport
	socket    *sockets.Listener

	wake  chan struct{}  // asks Serve to look at pending
	done  chan struct{}  // closed with the listener
	tasks sync.WaitGroup // the accepting goroutine and those of connections

	mu       sync.Mutex // guards what follows
	census   sockets.Census
	greeting map[*peer]struct{}
	pending  []*peer            // greeted, not accepted
	peers    map[*peer]struct{} // greeted
	oldest   greetingQueue
	served   bool
	closed   bool
	number   uint64
}

var _ transport.Listener = (*listener)(nil)

func newListener(t *Transport, opened *sockets.Listener) *listener {
	l := &listener{
		transport: t, socket: opened, wake: make(chan struct{}, 1), done: make(chan struct{}),
		census:   sockets.NewCensus(t.cfg.MaxConnections, t.cfg.MaxConnectionsPerHost),
		greeting: make(map[*peer]struct{}), peers: make(map[*peer]struct{}),
	}
	l.tasks.Go(func() { opened.Accept(l.done, l.take) })
	return l
}

func (l *listener) Addr() string { return l.socket.Addr }

func (l *listener) Serve(ctx context.Context, accept func(transport.Peer) transport.Receiver) error {
	if err := l.begin(); err != nil {
		return err
	}
	why := transport.ErrClosed
	for serving := true; serving; {
		for _, p := range l.takePending() {
			l.admit(p, accept)
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			why, serving = ctx.Err(), false
		case <-l.done:
			serving = false
		}
	}
	l.end()
	l.tasks.Wait()
	return why
}

func (l *listener) Close() error {
	l.end()
	return nil
}

// begin claims the one Serve that a listener has.
func (l *listener) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.served:
		return errors.New("zmtp: Serve was called before on this listener")
	case l.closed:
		return transport.ErrClosed
	}
	l.served = true
	return nil
}

// end frees the address and ends every connection.
func (l *listener) end() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.done)
	var all []*peer
	for p := range l.greeting {
		all = append(all, p)
	}
	for p := range l.peers {
		all = append(all, p)
	}
	l.mu.Unlock()
	l.socket.Close()
	for _, p := range all {
		p.end(transport.ErrClosed, false)
	}
}

// take begins with a new connection, if there is room for it.
func (l *listener) take(opened net.Conn) {
	l.transport.counters.Accepted.Add(1)
	p, err := newPeer(l, opened)
	if err == nil {
		err = l.enter(p)
	}
	if err != nil {
		_ = opened.Close() // nobody has used it
		l.transport.counters.refused(err)
		l.socket.Note("connection closed", opened.RemoteAddr().String(), err)
		return
	}
	l.tasks.Go(p.run)
}

// enter counts a connection whose handshake begins.
func (l *listener) enter(p *peer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return transport.ErrClosed
	}
	if err := l.census.Enter(p.host); err != nil {
		return fmt.Errorf("%w: %w", errLimit, err)
	}
	l.number++
	p.name(l.number)
	l.greeting[p] = struct{}{}
	l.oldest = append(l.oldest, p)
	for len(l.greeting) > l.transport.cfg.MaxHandshakes {
		l.oldest.give(l.greeting).end(errCrowded, true)
	}
	return nil
}

// greetingQueue lists those whose handshake goes on, and some for which it has
// ended, oldest first.
type greetingQueue []*peer

// give takes out the oldest whose handshake goes on.
func (q *greetingQueue) give(greeting map[*peer]struct{}) *peer {
	for {
		p := (*q)[0]
		(*q)[0] = nil
		*q = (*q)[1:]
		if _, ok := greeting[p]; ok {
			delete(greeting, p)
			return p
		}
	}
}

var (
	errLimit   = errors.New("zmtp: too many connections")
	errCrowded = errors.New("zmtp: too many handshakes at a time (Config.MaxHandshakes)")
)

// greeted has a peer wait for Serve.
func (l *listener) greeted(p *peer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shaken(p)
	switch {
	case l.closed:
		return transport.ErrClosed
	case len(l.pending) >= l.transport.cfg.MaxPending:
		return fmt.Errorf("%w: %d wait for Serve (Config.MaxPending)", errLimit, len(l.pending))
	}
	l.transport.counters.Greeted.Add(1)
	l.peers[p] = struct{}{}
	l.pending = append(l.pending, p)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// shaken is told that a handshake has ended. The caller holds mu.
func (l *listener) shaken(p *peer) {
	delete(l.greeting, p)
	if len(l.oldest) > 2*len(l.greeting) {
		l.oldest = slices.DeleteFunc(l.oldest, func(p *peer) bool {
			_, ok := l.greeting[p]
			return !ok
		})
	}
}

func (l *listener) takePending() []*peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	pending := l.pending
	l.pending = nil
	for _, p := range pending {
		p.taken = true
	}
	return pending
}

// took reports whether Serve has taken the peer.
func (l *listener) took(p *peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.taken
}

// admit shows a peer to whoever serves.
func (l *listener) admit(p *peer, accept func(transport.Peer) transport.Receiver) {
	r := accept(p)
	if r == nil {
		p.end(transport.ErrClosed, false)
	}
	p.admitted <- r
}

// leave forgets a connection that has ended.
func (l *listener) leave(p *peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shaken(p)
	delete(l.peers, p)
	l.census.Leave(p.host)
}

// shake does the handshake of a connection that was accepted.
func (l *listener) shake(p *peer) error {
	h, cfg := handshake{link: &p.link}, &l.transport.cfg
	if cfg.Keys == nil {
		if err := h.greet(wire.Null, false); err != nil {
			return err
		}
		return h.null(wire.ROUTER)
	}
	err := h.greet(wire.Curve, true)
	if err == nil {
		p.identity.Name, err = h.curveServer(cfg.Keys, cfg.Authenticate, wire.ROUTER)
	}
	return err
}
