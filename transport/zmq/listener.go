//go:build cgo && unix

package zmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// listener accepts connections and hands them to its owner, which has a ROUTER
// that speaks with them.
type listener struct {
	transport *Transport
	net       net.Listener
	addr      string
	dir       string // for the sockets between relays and libzmq
	owner     owner

	wake  chan struct{}  // holds one item where the owner is to look
	done  chan struct{}  // closed with the listener
	tasks sync.WaitGroup // the accepting goroutine, the owner and the relays

	mu        sync.Mutex     // guards what follows
	hosts     map[string]int // connections by IP address
	total     int            // connections
	opened    []*peer        // accepted by the kernel, unknown to the owner
	told      []*peer        // the owner is to look at them
	admit     func(transport.Peer) transport.Receiver
	served    bool
	closed    bool
	buried    bool // the owner has ended
	noteAfter time.Time
}

var _ transport.Listener = (*listener)(nil)

func newListener(t *Transport, opened net.Listener, dir string) (*listener, error) {
	l := &listener{
		transport: t, net: opened, dir: dir, wake: make(chan struct{}, 1), done: make(chan struct{}),
		hosts: make(map[string]int),
	}
	switch at := opened.Addr(); at.Network() {
	case "unix":
		l.addr = schemeIPC + at.String()
	default:
		l.addr = schemeTCP + at.String()
	}
	if err := l.owner.open(l); err != nil {
		return nil, err
	}
	l.tasks.Go(l.owner.run)
	l.tasks.Go(l.accept)
	return l, nil
}

// Addr returns the resolved address.
func (l *listener) Addr() string { return l.addr }

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
	_ = l.net.Close() // the address is free, whatever else it says
	close(l.done)
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
func (l *listener) endpoint(id string) string { return schemeIPC + filepath.Join(l.dir, id) }

// accept takes connections until the listener is closed.
func (l *listener) accept() {
	const first, longest = 5 * time.Millisecond, time.Second
	wait := first
	for {
		opened, err := l.net.Accept()
		if err == nil {
			wait = first
			l.take(opened)
			continue
		}
		select {
		case <-l.done:
			return
		default:
		}
		// Mostly the process has too many files open, which passes.
		l.note("connection not accepted", "", err)
		select {
		case <-l.done:
			return
		case <-time.After(wait):
			wait = min(2*wait, longest)
		}
	}
}

// take begins with a new connection, if there is room for it.
func (l *listener) take(opened net.Conn) {
	id := strconv.FormatUint(l.owner.within.number.Add(1), 10)
	p := newPeer(l, opened, id)
	waiting, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(l.dir, id), Net: "unix"})
	if err == nil {
		p.relay.waiting = waiting
		err = l.enter(p)
	}
	if err != nil {
		p.relay.abort()
		l.note("connection closed", p.identity.Addr, err)
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
	cfg := &l.transport.cfg
	switch {
	case l.buried || l.closed:
		return transport.ErrClosed
	case l.total >= cfg.MaxConnections:
		return fmt.Errorf("%w: %d connections (Config.MaxConnections)", errLimit, l.total)
	case p.host != "" && l.hosts[p.host] >= cfg.MaxConnectionsPerHost:
		return fmt.Errorf("%w: %d connections of one host (Config.MaxConnectionsPerHost)", errLimit, l.hosts[p.host])
	}
	l.total++
	if p.host != "" {
		l.hosts[p.host]++
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
	l.total--
	if p.host != "" {
		if l.hosts[p.host]--; l.hosts[p.host] == 0 {
			delete(l.hosts, p.host)
		}
	}
}

// note has the log told of a connection that failed, at most once a second.
func (l *listener) note(text, addr string, err error) {
	l.mu.Lock()
	now := time.Now()
	quiet := now.Before(l.noteAfter)
	if !quiet {
		l.noteAfter = now.Add(time.Second)
	}
	l.mu.Unlock()
	if !quiet {
		l.transport.cfg.Logger.Warn(text, "listener", l.addr, "peer", addr, "error", err)
	}
}
