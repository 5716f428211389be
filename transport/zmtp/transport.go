package zmtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// Transport speaks ZMTP over tcp:// and ipc://. It needs no closing. Its methods
// may be called from many goroutines at once.
type Transport struct {
	cfg      Config
	cfgErr   error // why Listen and Dial fail; nil for a valid Config
	pool     sync.Pool
	counters counters
}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport. A Config with a negative field is reported by Listen
// and Dial.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg.withDefaults(), cfgErr: cfg.validate()}
	t.pool.New = func() any { return new(out) }
	return t
}

// Listen takes an address and returns once peers can dial it: they are greeted,
// and wait for Serve.
func (t *Transport) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	l, err := t.listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("zmtp: listen %q: %w", addr, err)
	}
	return l, nil
}

// Dial connects to a broker and returns after the handshake. The errors that it
// returns beside ctx's wrap [transport.ErrRefused] where nobody listens or the
// connection was turned away (a [*RefusedError] says why), [transport.ErrAddress],
// [ErrMechanism] where only one side has CURVE, and [ErrProtocol] where the other
// side doesn't speak ZMTP.
func (t *Transport) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	c, err := t.dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("zmtp: dial %q: %w", to.Addr, err)
	}
	return c, nil
}

func (t *Transport) listen(ctx context.Context, addr string) (*listener, error) {
	if t.cfgErr != nil {
		return nil, t.cfgErr
	}
	opened, err := sockets.Listen(ctx, addr, t.cfg.Logger)
	if err != nil {
		return nil, err
	}
	return newListener(t, opened), nil
}

func (t *Transport) dial(ctx context.Context, to transport.Endpoint) (*conn, error) {
	if t.cfgErr != nil {
		return nil, t.cfgErr
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := sockets.Parse(to.Addr, false)
	if err != nil {
		return nil, err
	}
	server, err := sockets.ServerKey(to, t.cfg.Keys)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	opened, err := d.DialContext(bounded, at.Network, at.String())
	if err != nil {
		return nil, dialError(ctx, err)
	}
	c, err := newConn(t, opened)
	if err != nil {
		_ = opened.Close() // nobody has used it
		return nil, err
	}
	// A context that ends makes the handshake's reads and writes fail.
	stop := context.AfterFunc(bounded, func() { _ = opened.SetDeadline(time.Unix(1, 0)) })
	err = t.shakeDialled(c, server)
	if !stop() && err == nil {
		err = bounded.Err() // its deadline stands now, or soon will
	}
	if err != nil {
		_ = opened.Close() // the handshake's error says why
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case bounded.Err() != nil:
			return nil, fmt.Errorf("no handshake within %v: %w", t.cfg.HandshakeTimeout, transport.ErrRefused)
		}
		return nil, handshakeError(err)
	}
	return c, nil
}

// shakeDialled does the handshake of a connection that this side made; with CURVE
// if the server has a key.
func (t *Transport) shakeDialled(c *conn, server *curve.Key) error {
	h := handshake{link: &c.link}
	if server == nil {
		if err := h.greet(wire.Null, false); err != nil {
			return err
		}
		return h.null(wire.DEALER)
	}
	if err := h.greet(wire.Curve, false); err != nil {
		return err
	}
	return h.curveClient(*server, t.cfg.Keys, wire.DEALER)
}

// dialError returns what is wrong where nobody could be reached.
func dialError(ctx context.Context, err error) error {
	var dns *net.DNSError
	deadline, bounded := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded && !time.Now().Before(deadline): // its timer is late, as the machine is busy
		return context.DeadlineExceeded
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: nobody listens", transport.ErrRefused)
	case errors.As(err, &dns):
		return fmt.Errorf("%w: %w", transport.ErrRefused, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no answer in time", transport.ErrRefused)
	}
	return fmt.Errorf("%w: %w", transport.ErrRefused, err)
}
