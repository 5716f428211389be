package zmtp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/mdpmesh/mesh/internal/curvezmq"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// secrecy encrypts what a connection carries (RFC 26, The MESSAGE Command). Each
// frame, a command's too, goes in a frame of its own.
type secrecy struct{ session *curvezmq.Session }

// encrypt adds commands and messages, encrypted.
func (s *secrecy) encrypt(o *out, commands [][]byte, batch []transport.Message) error {
	for _, c := range commands {
		if err := s.frame(o, curvezmq.Command, c); err != nil {
			return err
		}
	}
	for _, m := range batch {
		if err := s.message(o, m); err != nil {
			return err
		}
	}
	return nil
}

// message adds the frames of m, encrypted.
func (s *secrecy) message(o *out, m transport.Message) error {
	last := len(m) - 1
	for i, frame := range m {
		flags := curvezmq.More
		if i == last {
			flags = 0
		}
		if err := s.frame(o, flags, frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *secrecy) frame(o *out, flags byte, frame []byte) (err error) {
	o.scratch = wire.AppendHeader(o.scratch, 0, curvezmq.SealedSize(len(frame)))
	o.scratch, err = s.session.Seal(o.scratch, flags, frame)
	return err
}

// overhead is how much longer a frame is that is encrypted.
func (s *secrecy) overhead() int {
	if s == nil {
		return 0
	}
	return curvezmq.SealedSize(0)
}

// unseal takes the body of a frame that is encrypted.
func (r *reader) unseal(body []byte) error {
	size := curvezmq.OpenedSize(len(body)) + 1
	if size < 1 {
		return fmt.Errorf("%w: a frame that isn't encrypted", ErrProtocol)
	}
	if cap(r.plain)-len(r.plain) < size {
		r.plain = make([]byte, 0, max(size, min(r.size, plainChunk)))
	}
	flags, payload, err := r.secrecy.session.Open(body, r.plain)
	if err != nil {
		return protocolError(err)
	}
	if flags&curvezmq.Command != 0 {
		return r.plainCommand(payload)
	}
	if r.plain = r.plain[:len(r.plain)+size]; len(r.plain) == cap(r.plain) { // the payload is there
		r.plain = nil // a large frame has all of it, and the reader doesn't keep it
	}
	return r.add(slices.Clip(payload), flags&curvezmq.More != 0)
}

// plainChunk is how much memory decrypted frames are cut from at a time.
const plainChunk = 16 << 10

// curveClient is the client's half of the handshake of CURVE.
func (h *handshake) curveClient(server curve.Key, keys *curve.KeyPair, own wire.SocketType) error {
	c, err := curvezmq.NewClient(server, keys.Public, keys.Secret, rand.Reader)
	if err != nil {
		return err
	}
	hello, err := c.Hello()
	if err != nil {
		return err
	}
	if err := h.send(hello); err != nil {
		return err
	}
	welcome, err := h.body()
	if err != nil {
		return err
	}
	mine := wire.Metadata{SocketType: own}
	initiate, err := c.Welcome(welcome, mine.AppendTo(nil))
	if err != nil {
		return curveError(err)
	}
	if err := h.send(initiate); err != nil {
		return err
	}
	ready, err := h.body()
	if err != nil {
		return err
	}
	session, metadata, err := c.Ready(ready)
	if err != nil {
		return curveError(err)
	}
	h.link.encrypt(session)
	return h.meet(own, metadata)
}

// curveError returns what an error of the handshake means for who dialled.
func curveError(err error) error {
	if refused, ok := errors.AsType[*curvezmq.RefusedError](err); ok {
		reason := refused.Reason
		if reason == unknownKey {
			reason += " (the broker doesn't know this key)"
		}
		return &RefusedError{Reason: reason}
	}
	return protocolError(err)
}

// unknownKey is what ZAP says of a key that isn't allowed in (RFC 27).
const unknownKey = "400"

// ErrKey is wrapped by what a listener logs where a peer has a key that isn't
// allowed in.
var ErrKey = errors.New("zmtp: unknown key")

// curveServer is the server's half. It returns the authenticated name of the
// client. Nobody is let in by default (fail closed).
func (h *handshake) curveServer(keys *curve.KeyPair, authenticate func(curve.Key) (string, bool), own wire.SocketType) (name string, err error) {
	s, err := curvezmq.NewServer(keys.Public, keys.Secret, rand.Reader)
	if err != nil {
		return "", err
	}
	hello, err := h.body()
	if err != nil {
		return "", err
	}
	welcome, err := s.Hello(hello)
	if err != nil {
		return "", protocolError(err)
	}
	if err := h.send(welcome); err != nil {
		return "", err
	}
	initiate, err := h.body()
	if err != nil {
		return "", err
	}
	key, metadata, err := s.Initiate(initiate)
	if err != nil {
		return "", protocolError(err)
	}
	ok := false
	if authenticate != nil {
		name, ok = authenticate(key)
	}
	if !ok {
		_ = h.send(s.Refuse(unknownKey)) // it is turned away, whether or not it hears why
		return "", fmt.Errorf("%w: %s", ErrKey, key)
	}
	mine := wire.Metadata{SocketType: own}
	session, ready, err := s.Ready(mine.AppendTo(nil))
	if err != nil {
		return "", err
	}
	if err := h.send(ready); err != nil {
		return "", err
	}
	h.link.encrypt(session)
	return name, h.meet(own, metadata)
}

// encrypt makes everything that follows encrypted.
func (k *link) encrypt(session *curvezmq.Session) {
	s := &secrecy{session}
	k.secrecy, k.in.secrecy = s, s
}
