//go:build cgo && unix

package zmq

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/mdpmesh/mesh/transport"
)

// event is what libzmq's monitor says of one connection.
type event struct {
	kind     zmq4.Event
	endpoint string
	value    int
}

// watched are the events that a monitor is asked for.
const watched = zmq4.EVENT_CLOSED | zmq4.EVENT_DISCONNECTED | zmq4.EVENT_CONNECT_RETRIED |
	zmq4.EVENT_HANDSHAKE_SUCCEEDED | zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL |
	zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq4.EVENT_HANDSHAKE_FAILED_AUTH

// monitor returns a socket that says what becomes of s's connections. It belongs
// to the owner of s.
func (s *socket) monitor(within *instance) (*socket, error) {
	name := fmt.Sprintf("inproc://mesh.monitor.%d", within.number.Add(1))
	if err := s.Monitor(name, watched); err != nil {
		return nil, err
	}
	m, err := newSocket(within.Context, zmq4.PAIR)
	if err != nil {
		_ = s.Monitor("", 0) // as in closeMonitored
		return nil, err
	}
	// Without a bound, as libzmq's I/O thread would wait for whoever reads too
	// slowly.
	if err := errors.Join(m.SetRcvhwm(0), m.Connect(name)); err != nil {
		_ = s.Monitor("", 0) // as in closeMonitored
		m.close()
		return nil, err
	}
	return m, nil
}

// closeMonitored closes the socket and its monitor. What was sent is still written
// for as long as lingers.
func (s *socket) closeMonitored(events *socket, lingers time.Duration) {
	// The monitor first: libzmq's I/O thread would wait for ever with an event for
	// which there is no reader. These fail only for what isn't a socket.
	_ = errors.Join(s.SetLinger(lingers), s.Monitor("", 0))
	events.close()
	s.close()
}

// event returns the next event of a monitor; ok says whether there is one.
func (s *socket) event() (e event, ok bool) {
	kind, endpoint, value, err := s.RecvEvent(zmq4.DONTWAIT)
	return event{kind, endpoint, value}, err == nil
}

// ended reports whether the event says that a connection has ended, or that there
// will be none.
func (e event) ended() bool {
	return e.kind&(zmq4.EVENT_CLOSED|zmq4.EVENT_DISCONNECTED|zmq4.EVENT_CONNECT_RETRIED) != 0
}

// final reports whether nothing comes any more over a connection that has ended.
// libzmq says that it has ended just before it shows the last that came, and only
// then starts the time until it would connect again.
func (e event) final() bool { return e.kind == zmq4.EVENT_CONNECT_RETRIED }

// What libzmq says of a handshake that broke the protocol (ZMQ_PROTOCOL_ERROR_*);
// zmq4 doesn't name it.
const (
	mechanismMismatch = 0x11000002
	zapErrors         = 0x20000000 // and above
)

// forged returns what an event means for a connection whose handshake is done; nil if
// it isn't about what came. With CURVE libzmq says so of messages, too, that aren't
// what the other side sealed, and doesn't always end the connection.
func (e event) forged() error {
	if e.kind != zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL {
		return nil
	}
	return fmt.Errorf("%w: CURVE (%#x)", ErrProtocol, e.value)
}

// errKey says that the handler didn't let a key in.
var errKey = fmt.Errorf("%w: the broker doesn't let this key in", transport.ErrRefused)

// failure returns what an event means for a handshake; nil if it goes on.
func (e event) failure() error {
	switch e.kind {
	case zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
		return fmt.Errorf("%w (%d)", errKey, e.value)
	case zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL:
		switch {
		case e.value == mechanismMismatch:
			return ErrMechanism
		case e.value >= zapErrors:
			return fmt.Errorf("%w: authentication failed (%#x)", transport.ErrRefused, e.value)
		}
		return fmt.Errorf("%w: handshake (%#x)", ErrProtocol, e.value)
	case zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		return fmt.Errorf("%w: the connection ended during the handshake", transport.ErrRefused)
	}
	if e.ended() {
		return fmt.Errorf("%w: nobody listens", transport.ErrRefused)
	}
	return nil
}
