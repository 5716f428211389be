package zmtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// Transport speaks ZMTP over tcp:// and ipc://. It needs no closing. Its methods
// may be called from many goroutines at once.
type Transport struct {
	cfg    Config
	cfgErr error // why Listen and Dial fail; nil for a valid Config
	pool   sync.Pool
	counters
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
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := parseAddress(addr, true)
	if err != nil {
		return nil, err
	}
	var dir string // made for a wildcard
	if at.network == "unix" {
		if at.host == wildcard {
			if dir, err = os.MkdirTemp("", "mesh-"); err != nil {
				return nil, err
			}
			at.host = filepath.Join(dir, "socket")
		} else if err := removeStale(ctx, at.host); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	opened, err := lc.Listen(ctx, at.network, at.host)
	if err != nil {
		if dir != "" {
			_ = os.RemoveAll(dir) // it was made a moment ago
		}
		return nil, listenError(err)
	}
	return newListener(t, opened, dir), nil
}

// removeStale removes the socket that a listener left behind that is no more: it
// exists, and nobody accepts at it.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // what is wrong with the path, Listen says
	}
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // it only asked whether somebody is there
		return fmt.Errorf("%w: already in use", transport.ErrAddress)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return os.Remove(path)
}

// listenError returns what is wrong where an address can't be listened at.
func listenError(err error) error {
	var dns *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: already in use", transport.ErrAddress)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES), errors.Is(err, os.ErrNotExist),
		errors.Is(err, syscall.ENOTDIR), errors.As(err, &dns), errors.As(err, &addr):
		return fmt.Errorf("%w: %w", transport.ErrAddress, err)
	}
	return err
}

func (t *Transport) dial(ctx context.Context, to transport.Endpoint) (*conn, error) {
	if t.cfgErr != nil {
		return nil, t.cfgErr
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := parseAddress(to.Addr, false)
	if err != nil {
		return nil, err
	}
	mechanism, server, err := t.cfg.mechanism(to)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	opened, err := d.DialContext(bounded, at.network, at.host)
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
	err = t.shakeDialled(c, mechanism, server)
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

// shakeDialled does the handshake of a connection that this side made.
func (t *Transport) shakeDialled(c *conn, mechanism wire.Mechanism, server curve.Key) error {
	h := handshake{link: &c.link}
	if err := h.greet(mechanism, false); err != nil {
		return err
	}
	if mechanism == wire.Curve {
		return h.curveClient(server, t.cfg.Keys, wire.DEALER)
	}
	return h.null(wire.DEALER)
}

// dialError returns what is wrong where nobody could be reached.
func dialError(ctx context.Context, err error) error {
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: nobody listens", transport.ErrRefused)
	case errors.As(err, &dns):
		return fmt.Errorf("%w: %w", transport.ErrRefused, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no answer in time", transport.ErrRefused)
	}
	return fmt.Errorf("%w: %w", transport.ErrRefused, err)
}
