package inproc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mdpmesh/mesh/transport"
)

// maxRunning bounds how many receivers of one listener run on the goroutines of
// those that flush. Each may be nested in another, where one receiver's flush
// makes the other end flush on another connection, so this bounds the depth of
// the stack. What is above it runs on the goroutine in Serve.
const maxRunning = 64

var _ transport.Listener = (*listener)(nil)

type listener struct {
	net  *Network
	name string

	running atomic.Int32  // receivers that run on goroutines of those that flush
	wake    chan struct{} // asks Serve to look at todo and closed

	mu      sync.Mutex         // guards the fields below
	links   map[*link]struct{} // pending, or accepted and Gone not yet called
	todo    []*link            // to be accepted, received from or told Gone by Serve
	pending int                // links that wait for accept
	served  bool               // Serve was called
	closed  bool
}

func newListener(n *Network, name string) *listener {
	return &listener{
		net:   n,
		name:  name,
		wake:  make(chan struct{}, 1),
		links: make(map[*link]struct{}),
	}
}

func (l *listener) Addr() string { return scheme + l.name }

func (l *listener) Serve(ctx context.Context, accept func(transport.Peer) transport.Receiver) error {
	if err := l.begin(); err != nil {
		return err
	}
	why, done := transport.ErrClosed, ctx.Done()
	for {
		select {
		case <-l.wake:
		case <-done:
			why, done = ctx.Err(), nil
			l.end()
		}
		for _, k := range l.takeTodo() {
			l.attend(k, accept)
		}
		if l.over() {
			return why
		}
	}
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
		return errors.New("inproc: Serve was called before on this listener")
	case l.closed:
		return transport.ErrClosed
	}
	l.served = true
	return nil
}

// end frees the address and ends every connection.
func (l *listener) end() {
	l.net.free(l)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	links := make([]*link, 0, len(l.links))
	for k := range l.links {
		links = append(links, k)
	}
	if !l.served { // no receiver was ever made, so nobody is told
		clear(l.links)
		l.todo = nil
	}
	l.mu.Unlock()
	for _, k := range links {
		k.end(byPeer)
	}
	l.rouse()
}

// over reports whether the listener is closed and every receiver had its Gone.
func (l *listener) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && len(l.links) == 0
}

// add takes a dialled connection in, to be accepted by Serve.
func (l *listener) add(k *link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%w: nobody listens", transport.ErrRefused)
	}
	if l.pending >= l.net.cfg.MaxPending {
		return fmt.Errorf("%w: %d connections wait to be accepted", transport.ErrRefused, l.pending)
	}
	l.pending++
	k.pending, k.noticed = true, true
	l.links[k] = struct{}{}
	l.todo = append(l.todo, k)
	l.rouse()
	return nil
}

// notice makes Serve look at k.
func (l *listener) notice(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.links[k]; !ok || k.noticed {
		return
	}
	k.noticed = true
	l.todo = append(l.todo, k)
	l.rouse()
}

// rouse wakes Serve.
func (l *listener) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// takeTodo returns the connections that want attention, in the order in which
// they asked.
func (l *listener) takeTodo() []*link {
	l.mu.Lock()
	defer l.mu.Unlock()
	todo := l.todo
	l.todo = nil
	for _, k := range todo {
		k.noticed = false
	}
	return todo
}

// attend accepts k if need be and runs its receiver. It is called by Serve only.
func (l *listener) attend(k *link, accept func(transport.Peer) transport.Receiver) {
	if l.admit(k) {
		r := accept((*peer)(k))
		if r == nil {
			k.end(byPeer)
			l.remove(k)
			return
		}
		k.up.open(r.Receive, func() {
			r.Gone(k.peerReason)
			l.remove(k)
		})
	}
	if k.up.run(false) {
		l.notice(k)
	}
}

// admit reports whether k is to be accepted now.
func (l *listener) admit(k *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !k.pending {
		return false
	}
	k.pending = false
	l.pending--
	if l.closed {
		delete(l.links, k)
		return false
	}
	return true
}

// remove forgets a connection that has ended.
func (l *listener) remove(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, k)
	if l.closed {
		l.rouse()
	}
}

// flush runs the receiver of k on the caller's goroutine if it may.
func (l *listener) flush(k *link) {
	if l.running.Add(1) > maxRunning {
		l.running.Add(-1)
		k.up.flush()
		l.notice(k)
		return
	}
	more := k.up.run(true)
	l.running.Add(-1)
	if more {
		l.notice(k)
	}
}
