package mesh

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// crammed is a network whose connections are full for so many messages.
type crammed struct {
	transport.Transport
	refuse *atomic.Int32
}

func (f crammed) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	conn, err := f.Transport.Dial(ctx, to)
	return crammedConn{conn, f.refuse}, err
}

type crammedConn struct {
	transport.Conn
	refuse *atomic.Int32
}

func (c crammedConn) Send(m transport.Message) error {
	if c.refuse.Add(-1) >= 0 {
		return transport.ErrFull
	}
	return c.Conn.Send(m)
}

// A full connection takes neither a call nor the ping that is due in the same step: the
// call never left, whatever becomes of the connection for the ping's sake.
func TestClientLinkFullForBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := inproc.New(inproc.Config{})
		b, err := NewBroker(BrokerConfig{})
		require.NoError(t, err)
		l, err := hub.Listen(t.Context(), "inproc://b")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = b.Serve(ctx, l) }()
		wire := crammed{hub, new(atomic.Int32)}
		c, err := NewClient(ClientConfig{Transport: wire, Brokers: []transport.Endpoint{{Addr: "inproc://b"}}})
		require.NoError(t, err)
		_, err = c.Ping(t.Context())
		require.NoError(t, err)
		wire.refuse.Store(2)
		k := newCall().(*call)
		k.request.Service, k.request.Method = []byte("tea"), "tea.brew"
		c.link.start(time.Now().Add(3*time.Second), k) // the ping is due as well
		<-k.done
		require.True(t, k.failed)
		require.Zero(t, wire.refuse.Load(), "both were refused")
		require.EqualValues(t, CodeOverloaded, k.failure.Code, k.failure.Text)
		require.NoError(t, c.Close())
		cancel()
		<-done
	})
}
