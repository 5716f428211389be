package zmtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// conn is the dialler's end of a connection.
type conn struct {
	link
	started sync.WaitGroup // what the link started
	serving atomic.Bool
	over    error // why Serve found that the connection ended; belongs to Serve
}

var (
	_ transport.Conn   = (*conn)(nil)
	_ transport.Joiner = (*conn)(nil)
)

func newConn(t *Transport, opened net.Conn) (*conn, error) {
	c := &conn{}
	if err := c.link.open(t, opened, &c.started); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *conn) Send(m transport.Message) error { return c.offer(m, 1) }

// SendJoined refers to large pieces where they are. Encryption needs them in one place,
// so that they are copied there first.
func (c *conn) SendJoined(m transport.Message, n int) error {
	if n < 1 || n > len(m) {
		return fmt.Errorf("zmtp: SendJoined: %d frames of %d can't be joined", n, len(m))
	}
	if c.secrecy != nil {
		m, n = append(slices.Clip(m[:len(m)-n]), bytes.Join(m[len(m)-n:], nil)), 1
	}
	return c.offer(m, n)
}

func (c *conn) Close() error {
	c.end(transport.ErrClosed, false)
	return nil
}

// Serve reads on the caller's goroutine.
func (c *conn) Serve(ctx context.Context, receive func(batch []transport.Message)) error {
	if !c.serving.CompareAndSwap(false, true) {
		return errors.New("zmtp: Serve is already running on this connection")
	}
	defer c.serving.Store(false)
	if c.over != nil {
		return c.over
	}
	if err := ctx.Err(); err != nil {
		if c.closed.Load() {
			return c.why()
		}
		return err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = c.link.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs none
	})
	err := c.receive(receive)
	if !stop() {
		<-interrupted
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.closed.Load() {
			_ = c.link.conn.SetReadDeadline(time.Time{})
			return ctx.Err()
		}
	}
	c.end(reason(err), !c.closed.Load()) // what was flushed before Close may be on its way out
	c.over = c.why()
	c.started.Wait()
	return c.over
}
