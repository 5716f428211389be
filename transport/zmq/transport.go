//go:build cgo && unix

package zmq

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// Transport carries messages by libzmq over tcp:// and ipc://. It needs no closing.
// Its methods may be called from many goroutines at once.
type Transport struct {
	cfg      Config
	cfgErr   error // why Listen and Dial fail; nil for a valid Config
	library  library
	counters counters
}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport. A Config with a field that can't be meant is reported by
// Listen and Dial.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg.withDefaults(), cfgErr: cfg.validate()}
	t.library.cfg = &t.cfg
	return t
}

// Listen takes an address and returns once peers can dial it: they are greeted,
// and wait for Serve.
func (t *Transport) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	l, err := t.listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("zmq: listen %q: %w", addr, err)
	}
	return l, nil
}

// Dial connects to a broker and returns after the handshake. The errors that it
// returns beside ctx's wrap [transport.ErrRefused] where nobody listens or the
// connection was turned away, [transport.ErrAddress], [ErrMechanism] where only one
// side has CURVE and libzmq could tell, and [ErrProtocol] where the other side
// doesn't speak ZMTP.
func (t *Transport) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	c, err := t.dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("zmq: dial %q: %w", to.Addr, err)
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
	l, err := newListener(t, opened)
	if err != nil {
		opened.Close()
		return nil, err
	}
	return l, nil
}
