package zmtp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// handshake is what both sides do before messages flow. It reads by the reader
// that the connection has afterwards, which keeps what came with its last bytes.
type handshake struct {
	link *link
	out  []byte
}

// maxHandshakeFrame bounds the commands of a handshake: metadata is short.
const maxHandshakeFrame = 8 << 10

// greet exchanges greetings.
func (h *handshake) greet(mechanism wire.Mechanism, asServer bool) error {
	mine := wire.Greeting{Version: wire.V31, Mechanism: mechanism, AsServer: asServer}
	if _, err := h.link.conn.Write(mine.AppendTo(nil)); err != nil {
		return err
	}
	for {
		g, complete, err := wire.ParseGreeting(h.have())
		switch {
		case err != nil:
			return protocolError(err)
		case !complete:
			if err := h.read(); err != nil {
				return err
			}
			continue
		}
		h.link.in.begin += wire.GreetingSize
		if g.Mechanism != mechanism {
			return fmt.Errorf("%w: the peer wants the mechanism %s, this side %s", ErrMechanism, g.Mechanism, mechanism)
		}
		h.link.version = g.Version
		return nil
	}
}

// have returns what was read and not taken.
func (h *handshake) have() []byte { return h.link.in.chunk[h.link.in.begin:h.link.in.end] }

// read reads what there is, or waits for it.
func (h *handshake) read() error {
	b, _ := h.link.in.buffer()
	n, err := h.link.conn.Read(b)
	h.link.in.took(n)
	if n > 0 {
		return nil
	}
	return err
}

// body reads the body of a command. It is valid until the next.
func (h *handshake) body() ([]byte, error) {
	for {
		have := h.have()
		header, n, err := wire.ParseHeader(have, maxHandshakeFrame)
		switch {
		case err != nil:
			return nil, protocolError(err)
		case n == 0 || len(have) < n+header.Size:
			if err := h.read(); err != nil {
				return nil, err
			}
		case header.Flags&wire.Command == 0:
			return nil, fmt.Errorf("%w: a message during the handshake", ErrProtocol)
		default:
			h.link.in.begin += n + header.Size
			return have[n : n+header.Size], nil
		}
	}
}

// command reads a command.
func (h *handshake) command() (name string, data []byte, err error) {
	body, err := h.body()
	if err != nil {
		return "", nil, err
	}
	nameBytes, data, err := wire.ParseCommand(body)
	switch {
	case err != nil:
		return "", nil, protocolError(err)
	case string(nameBytes) != wire.Error:
		return string(nameBytes), data, nil
	}
	reason, err := wire.ParseReason(data)
	if err != nil {
		return "", nil, protocolError(err)
	}
	return "", nil, &RefusedError{Reason: reason}
}

// send sends a command.
func (h *handshake) send(body []byte) error {
	h.out = wire.AppendHeader(h.out[:0], wire.Command, len(body))
	h.out = append(h.out, body...)
	_, err := h.link.conn.Write(h.out)
	return err
}

// refuse tells the other side why it is turned away, if it listens.
func (h *handshake) refuse(reason string) { _ = h.send(wire.AppendError(nil, reason)) }

// errUnexpected says that a command came that has no place there.
func errUnexpected(name, instead string) error {
	return fmt.Errorf("%w: %s where %s was due", ErrProtocol, name, instead)
}

// null is the handshake of the mechanism NULL (RFC 37): both say READY. Whether
// the peer's socket type will do is told to a dialler only after this side's READY,
// so that it, too, can say why not.
func (h *handshake) null(own wire.SocketType) error {
	mine := wire.Metadata{SocketType: own}
	if err := h.send(mine.AppendTo(wire.AppendCommand(nil, wire.Ready))); err != nil {
		return err
	}
	name, data, err := h.command()
	switch {
	case err != nil:
		return err
	case name != wire.Ready:
		return errUnexpected(name, wire.Ready)
	}
	return h.meet(own, data)
}

// meet looks at what the peer says of itself.
func (h *handshake) meet(own wire.SocketType, data []byte) error {
	m, err := wire.ParseMetadata(data)
	if err != nil {
		return protocolError(err)
	}
	if err := own.Accepts(m.SocketType); err != nil {
		h.refuse(err.Error())
		return protocolError(err)
	}
	return nil
}

// ErrMechanism is wrapped by the error of Dial, and by what a listener logs, where
// the two sides want different mechanisms: one has CURVE and the other hasn't.
var ErrMechanism = errors.New("zmtp: mechanisms differ")

// RefusedError is the error of Dial where the other side said why it refused the
// connection. It wraps [transport.ErrRefused].
type RefusedError struct {
	// Reason is what it said, with everything replaced that isn't printable ASCII.
	Reason string
}

// Error returns the reason.
func (e *RefusedError) Error() string { return "zmtp: the peer refused the connection: " + e.Reason }

// Unwrap returns transport.ErrRefused.
func (e *RefusedError) Unwrap() error { return transport.ErrRefused }

// handshakeError says what an error during a handshake means for who dialled.
func handshakeError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: the other side closed the connection during the handshake; does it speak ZMTP 3 with the same mechanism?",
			transport.ErrRefused)
	}
	return err
}
