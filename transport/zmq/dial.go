//go:build cgo && unix

package zmq

import (
	"context"
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// dial tries what the address stands for, one after the other.
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
	if _, err := sockets.ServerKey(to, t.cfg.Keys); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	all, err := endpoints(bounded, at)
	for _, e := range all {
		var c *conn
		if c, err = t.connect(bounded, e, to.ServerKey); err == nil {
			return c, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil:
		return nil, fmt.Errorf("%w: no handshake within %v", transport.ErrRefused, t.cfg.HandshakeTimeout)
	}
	return nil, err
}

// connect connects to one endpoint.
func (t *Transport) connect(ctx context.Context, to endpoint, serverKey string) (*conn, error) {
	within, err := t.library.enter()
	if err != nil {
		return nil, err
	}
	c, err := t.open(within, to, serverKey)
	if err == nil {
		if err = c.shake(ctx); err == nil {
			c.task.Go(c.run)
			return c, nil
		}
		c.close(0)
	}
	t.library.leave()
	return nil, err
}

// open begins to connect.
func (t *Transport) open(within *instance, to endpoint, serverKey string) (*conn, error) {
	dealer, err := newSocket(within.Context, zmq4.DEALER)
	if err != nil {
		return nil, err
	}
	errs := []error{dealer.configure(&t.cfg), dealer.SetIpv6(to.v6)}
	if serverKey != "" {
		errs = append(errs, dealer.SetCurveServerkey(serverKey))
	}
	err = errors.Join(errs...)
	var events *socket
	if err == nil {
		events, err = dealer.monitor(within)
	}
	if err != nil {
		dealer.close()
		return nil, err
	}
	c := newConn(t, dealer, events)
	if err := dealer.Connect(to.uri); err != nil {
		c.close(0)
		return nil, fmt.Errorf("%w: %w", transport.ErrAddress, err)
	}
	return c, nil
}

// shake waits for the end of the handshake.
func (c *conn) shake(ctx context.Context) error {
	for {
		e, ok := c.events.event()
		if !ok {
			select {
			case <-c.events.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if e.kind == zmq4.EVENT_HANDSHAKE_SUCCEEDED {
			return nil
		}
		if err := e.failure(); err != nil {
			return err
		}
	}
}
