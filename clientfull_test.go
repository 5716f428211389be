package mesh_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// fullTransport is a transport whose connections are full for so many messages.
type fullTransport struct {
	transport.Transport
	refuse atomic.Int32
}

func (f *fullTransport) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	conn, err := f.Transport.Dial(ctx, to)
	return fullConn{conn, f}, err
}

type fullConn struct {
	transport.Conn
	of *fullTransport
}

func (c fullConn) Send(m transport.Message) error {
	if c.of.refuse.Add(-1) >= 0 {
		return transport.ErrFull
	}
	return c.Conn.Send(m)
}

// A broker that can't be told what it has to know is told by the end of the
// connection.
func TestClientThatCantTellItsBroker(t *testing.T) {
	t.Parallel()
	hubRun(t, "of a cancel", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		causes := make(chan error, 1)
		begun := make(chan struct{}, 1)
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			begun <- struct{}{}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, ctx.Err()
		}))
		wire := &fullTransport{Transport: h.net}
		c := h.clientOf(mesh.ClientConfig{Transport: wire, Timeout: -1})
		ctx, cancel := context.WithCancel(t.Context())
		outcome := hubCall(ctx, c, "tea.brew", "null")
		<-begun
		wire.refuse.Store(1)
		cancel()
		require.ErrorIs(t, (<-outcome).err, mesh.ErrCancelled)
		synctest.Wait()
		require.Len(t, causes, 1, "the handler was told")
		require.Contains(t, h.log.String(), "a message of the client's own")
		_, err := c.Ping(t.Context())
		require.NoError(t, err, "it is connected again")
	})
	hubRun(t, "of a credit", func(t *testing.T) {
		var s streamCounter
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, s.service())
		wire := &fullTransport{Transport: h.net}
		c := h.clientOf(mesh.ClientConfig{Transport: wire})
		var failed error
		for v, err := range streamNumbers.Call(t.Context(), c, streamCount{}) {
			if v == 10 {
				wire.refuse.Store(1)
			}
			failed = err
		}
		require.ErrorIs(t, failed, mesh.ErrBrokerLost)
		require.ErrorIs(t, failed, transport.ErrFull)
		require.Error(t, <-s.ended)
	})
}
