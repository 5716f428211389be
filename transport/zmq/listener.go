//go:build cgo && unix

package zmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// listener accepts connections and hands them to its owner, which has a ROUTER
// that speaks with them.
type listener struct {
	transport *Transport
	socket    *sockets.Listener
	dir       string // for the sockets between relays and libzmq, for this user alone
	owner     owner

	wake  chan struct{}  // holds one item where the owner is to look
	done  chan struct{}  // closed with the listener
	tasks sync.WaitGroup // the accepting goroutine, the owner and the relays

	mu     sync.Mutex // guards what follows
	census sockets.Census
	opened []*peer // accepted by the kernel, unknown to the owner
	told   []*peer // the owner is to look at them
	admit  func(transport.Peer) transport.Receiver
	served bool
	closed bool
	buried bool // the owner has ended
}

var _ transport.Listener = (*listener)(nil)

func newListener(t *Transport, opened *sockets.Listener) (*listener, error) {
	dir, err := os.MkdirTemp("", "mesh-")
	if err != nil {
		return nil, err
	}
	l := &listener{
		transport: t, socket: opened, dir: dir, wake: make(chan struct{}, 1), done: make(chan struct{}),
		census: sockets.NewCensus(t.cfg.MaxConnections, t.cfg.MaxConnectionsPerHost),
	}
	if err := l.owner.open(l); err != nil {
		_ = os.RemoveAll(dir) // it was made a moment ago
		return nil, err
	}
	l.tasks.Go(l.owner.run)
	l.tasks.Go(func() { opened.Accept(l.done, l.take) })
	return l, nil
}

// Addr returns the resolved address.
func (l *listener) Addr() string { return l.socket.Addr }

// Serve has the owner call accept, and waits.
func (l *listener) Serve(ctx context.Context, accept func(transport.Peer) transport.Receiver) error {
	if err := l.begin(accept); err != nil {
		return err
	}
	why := transport.ErrClosed
	select {
	case <-ctx.Done():
		why = ctx.Err()
	case <-l.done:
	}
	l.end()
	l.tasks.Wait()
	return why
}

// Close has the owner end every connection.
func (l *listener) Close() error {
	l.end()
	return nil
}

// begin claims the one Serve that a listener has.
func (l *listener) begin(accept func(transport.Peer) transport.Receiver) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.served:
		return errors.New("zmq: Serve was called before on this listener")
	case l.closed:
		return transport.ErrClosed
	}
	l.served = true
	l.admit = accept
	signal(l.wake)
	return nil
}

// end frees the address and has the owner end.
func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	l.socket.Close()
	signal(l.wake)
}

// tell has the owner look at a peer.
func (l *listener) tell(p *peer) {
	l.mu.Lock()
	l.told = append(l.told, p)
	l.mu.Unlock()
	signal(l.wake)
}

// endpoint is where libzmq finds the relay of the peer with the id.
func (l *listener) endpoint(id string) string { return sockets.IPC + filepath.Join(l.dir, id) }

// take begins with a new connection, if there is room for it.
func (l *listener) take(opened net.Conn) {
	l.transport.counters.Accepted.Add(1)
	id := strconv.FormatUint(l.owner.within.number.Add(1), 10)
	p := newPeer(l, opened, id)
	waiting, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(l.dir, id), Net: "unix"})
	if err == nil {
		p.relay.waiting = waiting
		err = l.enter(p)
	}
	if err != nil {
		p.relay.abort()
		l.transport.counters.refused(err)
		l.socket.Note("connection closed", p.identity.Addr, err)
		return
	}
	l.tasks.Go(func() {
		defer l.leave(p)
		p.relay.run(waiting, l.transport.cfg.HandshakeTimeout)
	})
}

// enter counts a connection and hands it to the owner.
func (l *listener) enter(p *peer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buried || l.closed {
		return transport.ErrClosed
	}
	if err := l.census.Enter(p.host); err != nil {
		return fmt.Errorf("%w: %w", errLimit, err)
	}
	l.opened = append(l.opened, p)
	signal(l.wake)
	return nil
}

var (
	errLimit   = errors.New("zmq: too many connections")
	errCrowded = errors.New("zmq: too many handshakes at a time (Config.MaxHandshakes)")
)

// leave forgets a connection that has ended.
func (l *listener) leave(p *peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.census.Leave(p.host)
}
