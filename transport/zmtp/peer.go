package zmtp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// peer is the listener's end of a connection.
type peer struct {
	link
	listener *listener
	identity transport.Identity
	host     string                  // its IP address, for limits; empty: it has none
	admitted chan transport.Receiver // what accept returned
	taken    bool                    // Serve shows it to accept; guarded by the listener's mu
}

var _ transport.Peer = (*peer)(nil)

func newPeer(l *listener, opened net.Conn) (*peer, error) {
	p := &peer{listener: l, admitted: make(chan transport.Receiver, 1)}
	p.host, p.identity.Addr = sockets.Remote(opened)
	if err := p.link.open(l.transport, opened, &l.tasks); err != nil {
		return nil, err
	}
	return p, nil
}

// name gives the peer an address that tells it from others, if it has none.
func (p *peer) name(number uint64) {
	if p.identity.Addr == "" {
		p.identity.Addr = p.listener.Addr() + "#" + strconv.FormatUint(number, 10)
	}
}

func (p *peer) Identity() transport.Identity { return p.identity }

func (p *peer) Send(m transport.Message) error {
	err := p.offer(m, 1)
	if err == transport.ErrFull { //nolint:errorlint // the sentinel itself, on the hot path
		p.end(transport.ErrSlowPeer, true)
		return transport.ErrSlowPeer
	}
	return err
}

func (p *peer) Close() error {
	p.end(transport.ErrClosed, false)
	return nil
}

// run is the peer's goroutine.
func (p *peer) run() {
	defer p.listener.leave(p)
	if err := p.greet(); err != nil {
		p.end(err, true)
		if why := p.why(); why != transport.ErrClosed { //nolint:errorlint // the listener's own end, and no other
			p.listener.transport.counters.refused(why)
			p.listener.socket.Note("handshake failed", p.identity.Addr, why)
		}
		return
	}
	r := p.await()
	if r == nil {
		p.end(transport.ErrClosed, false)
		return
	}
	err := p.receive(r.Receive)
	p.end(reason(err), !p.closed.Load()) // what was flushed before Close may be on its way out
	why := p.why()
	p.listener.transport.counters.ended(why)
	if errors.Is(why, ErrProtocol) || errors.Is(why, ErrSilent) {
		p.listener.socket.Note("connection ended", p.identity.Addr, why)
	}
	r.Gone(why)
}

// await returns the receiver that Serve gives the peer, nil where it gives none.
func (p *peer) await() transport.Receiver {
	select {
	case r := <-p.admitted:
		return r
	case <-p.listener.done:
	}
	if !p.listener.took(p) {
		return nil
	}
	return <-p.admitted
}

// greet does the handshake and has the peer wait for Serve.
func (p *peer) greet() error {
	if err := p.conn.SetDeadline(time.Now().Add(p.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	if err := p.listener.shake(p); err != nil {
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("zmtp: no handshake within %v (Config.HandshakeTimeout)", p.cfg.HandshakeTimeout)
		case errors.Is(err, io.EOF):
			return transport.ErrPeerClosed
		}
		return err
	}
	if err := p.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return p.listener.greeted(p)
}
