//go:build cgo && unix

package zmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// Transport carries messages by libzmq over tcp:// and ipc://. It needs no closing.
// Its methods may be called from many goroutines at once.
type Transport struct {
	cfg     Config
	cfgErr  error // why Listen and Dial fail; nil for a valid Config
	library library
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
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := parseAddress(addr, true)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mesh-") // for this user alone
	if err != nil {
		return nil, err
	}
	if at.network == "unix" {
		if at.host == wildcard {
			at.host = filepath.Join(dir, "socket")
		} else {
			err = removeStale(ctx, at.host)
		}
	}
	var opened net.Listener
	if err == nil {
		var lc net.ListenConfig
		opened, err = lc.Listen(ctx, at.network, at.String())
	}
	if err == nil {
		var l *listener
		if l, err = newListener(t, opened, dir); err == nil {
			return l, nil
		}
		_ = opened.Close() // nobody has used it
	}
	_ = os.RemoveAll(dir) // it was made a moment ago
	return nil, listenError(err)
}

// removeStale removes the socket that a listener left behind that is no more: it
// exists, and nobody accepts at it.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // what is wrong with the path, Listen says
	}
	d := net.Dialer{Timeout: time.Second}
	opened, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = opened.Close() // it only asked whether somebody is there
		return fmt.Errorf("%w: already in use", transport.ErrAddress)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return nil
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
