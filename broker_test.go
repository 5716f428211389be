package mesh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func hubBroker(t *testing.T, cfg mesh.BrokerConfig) *mesh.Broker {
	t.Helper()
	b, err := mesh.NewBroker(cfg)
	require.NoError(t, err)
	return b
}

// hubFree requires that nobody listens at the address any more.
func hubFree(t *testing.T, net *inproc.Network, addr string) {
	t.Helper()
	_, err := net.Dial(context.Background(), transport.Endpoint{Addr: addr})
	require.ErrorIs(t, err, transport.ErrRefused)
}

func TestBrokerServeIsRefused(t *testing.T) {
	t.Parallel()
	hubRun(t, "without listeners", func(t *testing.T) {
		b := hubBroker(t, mesh.BrokerConfig{})
		require.EqualError(t, b.Serve(t.Context()), "mesh: Broker.Serve: no listeners")
		require.NoError(t, b.Shutdown(t.Context()))
	})
	hubRun(t, "twice", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		second := h.listen("inproc://second")
		require.ErrorIs(t, h.broker.Serve(t.Context(), second), mesh.ErrClosed)
		hubFree(t, h.net, "inproc://second")
		result, err := h.client().CallRaw(t.Context(), "echo.say", []byte(`[1]`))
		require.NoError(t, err, "the first Serve goes on")
		require.JSONEq(t, `[1]`, string(result))
	})
	hubRun(t, "after Shutdown", func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		b := hubBroker(t, mesh.BrokerConfig{})
		require.NoError(t, b.Shutdown(t.Context()))
		l, err := net.Listen(t.Context(), hubAddr)
		require.NoError(t, err)
		require.ErrorIs(t, b.Serve(t.Context(), l), mesh.ErrClosed)
		hubFree(t, net, hubAddr)
	})
	hubRun(t, "after it ended", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		synctest.Wait()
		require.NoError(t, h.broker.Shutdown(t.Context()))
		require.NoError(t, <-h.served)
		require.ErrorIs(t, h.broker.Serve(t.Context(), h.listen(hubAddr)), mesh.ErrClosed)
		hubFree(t, h.net, hubAddr)
	})
}

func TestBrokerServesSeveralListeners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog)}
		b := hubBroker(t, mesh.BrokerConfig{})
		served := make(chan error, 1)
		go func() {
			served <- b.Serve(context.Background(), h.listen("inproc://a"), h.listen("inproc://b"), h.listen("inproc://c"))
		}()
		h.worker(mesh.WorkerConfig{Brokers: []transport.Endpoint{{Addr: "inproc://a"}}}, hubEcho())
		for _, addr := range []string{"inproc://a", "inproc://b", "inproc://c"} {
			c := h.clientOf(mesh.ClientConfig{Brokers: []transport.Endpoint{{Addr: addr}}})
			result, err := c.CallRaw(t.Context(), "echo.say", []byte(`{"at":"`+addr+`"}`))
			require.NoError(t, err)
			require.JSONEq(t, `{"at":"`+addr+`"}`, string(result))
		}
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, <-served)
		for _, addr := range []string{"inproc://a", "inproc://b", "inproc://c"} {
			hubFree(t, h.net, addr)
		}
	})
}

// However a broker ends, its listeners and connections are closed, and Serve and
// Shutdown say why.
func TestBrokerEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		parked           bool // a worker has a request and never replies
		end              func(t *testing.T, b *mesh.Broker, cancel context.CancelFunc) error
		served, shutdown error
	}{
		{name: "by its context", served: context.Canceled, end: func(_ *testing.T, _ *mesh.Broker, cancel context.CancelFunc) error {
			cancel()
			return nil
		}},
		{name: "by its context's deadline", served: context.DeadlineExceeded, end: func(*testing.T, *mesh.Broker, context.CancelFunc) error {
			return nil
		}},
		{name: "by Shutdown", end: func(t *testing.T, b *mesh.Broker, _ context.CancelFunc) error {
			return b.Shutdown(t.Context())
		}},
		{
			name: "by Shutdown whose context ends first", parked: true, shutdown: context.DeadlineExceeded,
			end: func(t *testing.T, b *mesh.Broker, _ context.CancelFunc) error {
				return b.Shutdown(hubWithin(t, time.Second))
			},
		},
		{
			name: "by its context during Shutdown", parked: true, served: context.Canceled, shutdown: context.Canceled,
			end: func(t *testing.T, b *mesh.Broker, cancel context.CancelFunc) error {
				time.AfterFunc(time.Second, cancel)
				return b.Shutdown(t.Context())
			},
		},
	} {
		hubRun(t, c.name, func(t *testing.T) {
			h := &hub{t: t, net: inproc.New(inproc.Config{}), broker: hubBroker(t, mesh.BrokerConfig{}), log: new(hubLog), served: make(chan error, 1)}
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			l := h.listen(hubAddr)
			go func() { h.served <- h.broker.Serve(ctx, l) }()
			synctest.Wait()
			peer := h.peer()
			if c.parked {
				peer.works("parked")
				h.peer().asks("parked", `{"jsonrpc":"2.0","id":1,"method":"parked.stay"}`)
				peer.handed()
			}
			require.Equal(t, c.shutdown, c.end(t, h.broker, cancel))
			require.Equal(t, c.served, <-h.served)
			require.ErrorIs(t, <-peer.gone, transport.ErrPeerClosed)
			hubFree(t, h.net, hubAddr)
			require.NoError(t, h.broker.Shutdown(hubOver()), "it is over")
			s := h.snapshot()
			require.Empty(t, s.Workers)
			require.Empty(t, s.Clients)
		})
	}
}
