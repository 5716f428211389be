//go:build cgo && unix

package zmq

import (
	"net"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// peer is the listener's end of a connection.
type peer struct {
	outbox
	listener *listener
	identity transport.Identity // complete once the handshake is done
	host     string             // its IP address, for limits; empty: it has none
	id       string             // its routing id and its ZAP domain
	endpoint string             // where the ROUTER finds it
	relay    relay

	// What follows belongs to the listener's owner.
	stage    stage
	receiver transport.Receiver
	batch    []transport.Message // received, not delivered
	down     time.Time           // when the connection ended; zero: it hasn't
	final    bool                // nothing comes any more
	downAt   uint64              // how many messages the listener had received then
	blocked  bool                // libzmq takes no more at the moment
	parts    time.Time           // until when what was flushed may be sent, once this side has ended it
}

// stage is how far a peer is.
type stage uint8

const (
	greeting stage = iota // its handshake goes on
	pending               // greeted, not accepted
	accepted
	buried // gone
)

var _ transport.Peer = (*peer)(nil)

func newPeer(l *listener, opened net.Conn, id string) *peer {
	p := &peer{
		outbox: outbox{cfg: &l.transport.cfg}, listener: l, id: id, endpoint: l.endpoint(id),
		relay: relay{outer: opened},
	}
	if p.host, p.identity.Addr = sockets.Remote(opened); p.host == "" {
		p.identity.Addr = l.Addr() + "#" + id
	}
	return p
}

// Identity says who the peer is.
func (p *peer) Identity() transport.Identity { return p.identity }

// Send queues m. A peer whose queue is full is dropped.
func (p *peer) Send(m transport.Message) error {
	err := p.add(m)
	if err == transport.ErrFull { //nolint:errorlint // the sentinel itself, on the hot path
		p.end(transport.ErrSlowPeer, true, true)
		p.listener.tell(p)
		return transport.ErrSlowPeer
	}
	return err
}

// Flush has the listener's owner send what is queued.
func (p *peer) Flush() {
	if p.flush() {
		p.listener.tell(p)
	}
}

// Close has the owner end the connection.
func (p *peer) Close() error {
	p.end(transport.ErrClosed, true, false)
	p.listener.tell(p)
	return nil
}
