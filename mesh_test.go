package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func TestMeshStartFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg      mesh.Config
		services []*mesh.Service
		ctx      func() context.Context
		says     string
	}{
		"a bad broker": {
			cfg:  mesh.Config{Broker: mesh.BrokerConfig{Heartbeat: mesh.Heartbeat{Liveness: -1}}},
			says: "BrokerConfig.Heartbeat",
		},
		"a bad client": {
			cfg:  mesh.Config{Client: mesh.ClientConfig{MaxOpaque: -1}},
			says: "ClientConfig.MaxOpaque",
		},
		"a bad worker": {
			cfg: mesh.Config{Worker: mesh.WorkerConfig{Capacity: -1}}, services: []*mesh.Service{hubEcho()},
			says: "WorkerConfig.Capacity",
		},
		"two services of one name": {services: []*mesh.Service{hubEcho(), hubEcho()}, says: `two services named "echo"`},
		"an address that is none":  {cfg: mesh.Config{Listen: []string{"tcp://127.0.0.1:1"}}, says: "tcp://127.0.0.1:1"},
		"an address twice":         {cfg: mesh.Config{Listen: []string{"inproc://a", "inproc://a"}}, says: "inproc://a"},
		"a context that is over":   {services: []*mesh.Service{hubEcho()}, ctx: hubOver, says: context.Canceled.Error()},
	} {
		hubRun(t, name, func(t *testing.T) {
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx()
			}
			net := inproc.New(inproc.Config{})
			test.cfg.Transport = net
			m, err := mesh.Start(ctx, test.cfg, test.services...)
			require.ErrorContains(t, err, test.says)
			require.Nil(t, m)
			synctest.Wait()
			for _, addr := range []string{"inproc://mesh", "inproc://a"} {
				hubFree(t, net, addr)
			}
		})
	}
}

func TestMeshStartWhereTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		first := callStart(t, mesh.Config{Transport: net}, hubEcho())
		_, err := mesh.Start(t.Context(), mesh.Config{Transport: net, Listen: []string{"inproc://free", "inproc://mesh"}}, hubEcho())
		require.ErrorIs(t, err, transport.ErrAddress)
		hubFree(t, net, "inproc://free")
		require.NoError(t, callLast(first.Client().CallRaw(t.Context(), "echo.say", nil)), "the first goes on")
	})
}

func TestMeshListensAtSeveralAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		m := callStart(t, mesh.Config{Transport: net, Listen: []string{"inproc://a", "inproc://b"}}, hubEcho())
		require.Equal(t, transport.Endpoint{Addr: "inproc://a"}, m.Endpoint())
		for _, addr := range []string{"inproc://a", "inproc://b"} {
			c := callDial(t, mesh.ClientConfig{Transport: net, Brokers: []transport.Endpoint{{Addr: addr}}})
			require.NoError(t, callLast(c.CallRaw(t.Context(), "echo.say", nil)))
		}
	})
}

// meshSpy is a transport that counts how it is used.
type meshSpy struct {
	transport.Transport
	listened, dialed atomic.Int32
}

func (s *meshSpy) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	s.listened.Add(1)
	return s.Transport.Listen(ctx, addr)
}

func (s *meshSpy) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	s.dialed.Add(1)
	return s.Transport.Dial(ctx, to)
}

func TestMeshUsesItsTransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spy := &meshSpy{Transport: inproc.New(inproc.Config{})}
		m := callStart(t, mesh.Config{Transport: spy}, hubEcho())
		require.NoError(t, callLast(m.Client().CallRaw(t.Context(), "echo.say", nil)))
		require.NoError(t, callLast(callClient(t, m, mesh.ClientConfig{}).CallRaw(t.Context(), "echo.say", nil)))
		require.EqualValues(t, 1, spy.listened.Load())
		require.EqualValues(t, 3, spy.dialed.Load(), "a worker and two clients")
	})
}

func TestMeshLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, own := new(hubLog), new(hubLog)
		m, err := mesh.Start(t.Context(), mesh.Config{Logger: all.logger(), Worker: mesh.WorkerConfig{Logger: own.logger()}}, hubEcho())
		require.NoError(t, err)
		require.NoError(t, m.Stop(t.Context()))
		require.Contains(t, own.String(), "joined a broker")
		require.NotContains(t, all.String(), "joined a broker", "the worker has a log of its own")
	})
}

func TestMeshAddWorker(t *testing.T) {
	t.Parallel()
	hubRun(t, "takes part", func(t *testing.T) {
		m := callStart(t, mesh.Config{})
		_, err := m.Client().CallRaw(t.Context(), "echo.say", nil, mesh.Timeout(time.Second))
		require.Error(t, err)
		_, err = m.AddWorker(t.Context(), mesh.WorkerConfig{Instance: "late"}, hubEcho())
		require.NoError(t, err)
		require.NoError(t, callLast(m.Client().CallRaw(t.Context(), "echo.say", nil)))
	})
	hubRun(t, "stops by itself", func(t *testing.T) {
		m := callStart(t, mesh.Config{})
		w, err := m.AddWorker(t.Context(), mesh.WorkerConfig{}, hubEcho())
		require.NoError(t, err)
		require.NoError(t, w.Shutdown(t.Context()))
		s, err := m.Broker().Snapshot(t.Context())
		require.NoError(t, err)
		require.Empty(t, s.Workers)
	})
	hubRun(t, "with a bad config", func(t *testing.T) {
		m := callStart(t, mesh.Config{})
		_, err := m.AddWorker(t.Context(), mesh.WorkerConfig{})
		require.ErrorContains(t, err, "no services")
	})
	hubRun(t, "whose context ends first", func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		m := callStart(t, mesh.Config{Transport: net})
		require.NoError(t, m.Broker().Shutdown(t.Context()))
		_, err := m.AddWorker(hubWithin(t, time.Second), mesh.WorkerConfig{}, hubEcho())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	hubRun(t, "after Stop", func(t *testing.T) {
		m := callStart(t, mesh.Config{})
		require.NoError(t, m.Stop(t.Context()))
		_, err := m.AddWorker(t.Context(), mesh.WorkerConfig{}, hubEcho())
		require.ErrorIs(t, err, mesh.ErrClosed)
	})
	hubRun(t, "during Stop", func(t *testing.T) {
		m := callStart(t, mesh.Config{})
		require.NoError(t, m.Broker().Shutdown(t.Context())) // so that no worker gets ready
		added := make(chan error, 1)
		go func() { added <- callLast(m.AddWorker(context.Background(), mesh.WorkerConfig{}, hubEcho())) }()
		synctest.Wait()
		require.NoError(t, m.Stop(t.Context()))
		require.ErrorIs(t, <-added, mesh.ErrClosed, "it doesn't wait for what can't come")
	})
}

// A mesh that is stopped while callers keep it busy answers each call once, and no
// handler that began is cut.
func TestMeshStopLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 20
		var began, ended atomic.Int64
		tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
			began.Add(1)
			select {
			case <-time.After(7 * time.Millisecond):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			ended.Add(1)
			return params, nil
		})
		m := callStart(t, mesh.Config{Worker: mesh.WorkerConfig{Capacity: 5}, Client: mesh.ClientConfig{Retry: mesh.Retry{Attempts: 1}}}, tea)
		_, err := m.AddWorker(t.Context(), mesh.WorkerConfig{Capacity: 5}, tea)
		require.NoError(t, err)
		var replied, refused atomic.Int64
		bad := make(chan error, callers)
		var g sync.WaitGroup
		for i := range callers {
			g.Go(func() {
				for n := 0; ; n++ {
					want := fmt.Sprintf(`[%d,%d]`, i, n)
					got, err := m.Client().CallRaw(t.Context(), "tea.brew", json.RawMessage(want))
					var e *mesh.Error
					switch {
					case err == nil && string(got) == want:
						replied.Add(1)
						continue
					case errors.As(err, &e) && !e.HandedOver:
						refused.Add(1)
					default:
						bad <- fmt.Errorf("got %s: %w", got, err)
					}
					return
				}
			})
		}
		<-time.After(time.Second) // the callers are in full swing
		require.NoError(t, m.Stop(t.Context()))
		g.Wait()
		close(bad)
		for err := range bad {
			require.NoError(t, err)
		}
		require.Greater(t, replied.Load(), int64(1000))
		require.Equal(t, int64(callers), refused.Load())
		require.Equal(t, began.Load(), ended.Load())
		require.Equal(t, replied.Load(), ended.Load(), "what a handler did is what a caller heard")
	})
}

func TestMeshStopAgain(t *testing.T) {
	t.Parallel()
	hubRun(t, "afterwards", func(t *testing.T) {
		m := callStart(t, mesh.Config{}, hubEcho())
		require.NoError(t, m.Stop(t.Context()))
		require.NoError(t, m.Stop(t.Context()))
		require.NoError(t, m.Stop(hubOver()), "it is done, whatever the context says")
		require.ErrorIs(t, callLast(m.Client().CallRaw(t.Context(), "echo.say", nil)), mesh.ErrClosed)
	})
	hubRun(t, "meanwhile", func(t *testing.T) {
		gate := hubGated("gate", "a")
		m := callStart(t, mesh.Config{}, gate.service)
		call := hubCall(t.Context(), m.Client(), "gate.pass", `{"who":"ada"}`)
		<-gate.inside
		stopped := make(chan error, 3)
		for range 3 {
			go func() { stopped <- m.Stop(context.Background()) }()
		}
		synctest.Wait()
		require.Empty(t, stopped, "none returns before the handler has")
		require.ErrorIs(t, m.Stop(hubWithin(t, time.Millisecond)), context.DeadlineExceeded)
		for range 3 {
			require.NoError(t, <-stopped, "the impatient one has cut what they waited for")
		}
		require.Error(t, (<-call).err)
	})
	hubRun(t, "meanwhile, patiently", func(t *testing.T) {
		gate := hubGated("gate", "a")
		m := callStart(t, mesh.Config{}, gate.service)
		call := hubCall(t.Context(), m.Client(), "gate.pass", `{"who":"ada"}`)
		<-gate.inside
		stopped := make(chan error, 3)
		for range 3 {
			go func() { stopped <- m.Stop(context.Background()) }()
		}
		synctest.Wait()
		require.Empty(t, stopped)
		close(gate.open)
		for range 3 {
			require.NoError(t, <-stopped)
		}
		require.Equal(t, hubOutcome{result: `"a:ada"`}, <-call)
	})
	hubRun(t, "at once after Start", func(t *testing.T) {
		for range 50 {
			m, err := mesh.Start(t.Context(), mesh.Config{})
			require.NoError(t, err)
			require.NoError(t, m.Stop(t.Context()), "the broker may not have begun to serve")
		}
	})
}

// A handler that takes no notice of its context doesn't hold Stop up for longer
// than Stop's own context.
func TestMeshStopWithAStubbornHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inside, leave := make(chan struct{}), make(chan struct{})
		cause := make(chan error, 1)
		stubborn := mesh.NewService("stubborn").HandleRaw("stay", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			close(inside)
			<-leave
			cause <- context.Cause(ctx)
			return nil, nil
		})
		m, err := mesh.Start(t.Context(), mesh.Config{}, stubborn)
		require.NoError(t, err)
		call := hubCall(t.Context(), m.Client(), "stubborn.stay", `{}`)
		<-inside
		start := time.Now()
		require.ErrorIs(t, m.Stop(hubWithin(t, time.Second)), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		outcome := <-call
		require.Error(t, outcome.err, "the caller isn't left waiting")
		require.True(t, callError(t, outcome.err).HandedOver)
		require.ErrorIs(t, m.Stop(hubWithin(t, time.Second)), context.DeadlineExceeded, "it hasn't stopped yet")
		close(leave)
		require.ErrorIs(t, <-cause, mesh.ErrClosed)
		require.NoError(t, m.Stop(t.Context()))
		require.NoError(t, m.Stop(hubOver()))
	})
}

// A worker that its broker refuses is said to be, at once.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := mesh.Start(t.Context(), mesh.Config{Broker: mesh.BrokerConfig{Authorizer: refuseAll{}}}, hubEcho())
		require.ErrorContains(t, err, "the worker didn't register")
		require.ErrorContains(t, err, "not permitted to register this service")
		require.Zero(t, time.Since(start))
	})
}

type refuseAll struct{}

func (refuseAll) Allow(transport.Identity, mesh.Right, []byte, []byte) bool { return false }
func (refuseAll) Partly(transport.Identity, mesh.Right) bool                { return false }
func (refuseAll) ByMethod([]byte) bool                                      { return false }

// However many stop a mesh that has just started, it stops once.
func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	for range 200 {
		m, err := mesh.Start(t.Context(), mesh.Config{})
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { require.NoError(t, m.Stop(t.Context())) })
		}
		all.Wait()
	}
}
