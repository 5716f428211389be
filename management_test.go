package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// managementAll are the management requests, by name.
var managementAll = map[string]func(context.Context, *mesh.Client) error{
	"ping":     func(ctx context.Context, c *mesh.Client) error { return callLast(c.Ping(ctx)) },
	"services": func(ctx context.Context, c *mesh.Client) error { return callLast(c.Services(ctx)) },
	"describe": func(ctx context.Context, c *mesh.Client) error { return callLast(c.Describe(ctx, "tea")) },
	"status":   func(ctx context.Context, c *mesh.Client) error { return callLast(c.Status(ctx)) },
}

func TestClientPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		beat := mesh.Heartbeat{Interval: 1500 * time.Millisecond, Liveness: 4}
		h := hubStart(t, mesh.BrokerConfig{ID: "hub", Heartbeat: beat})
		c := h.client()
		pong, err := c.Ping(t.Context())
		require.NoError(t, err)
		incarnation := h.snapshot().Incarnation
		require.Equal(t, &mesh.BrokerInfo{ID: "hub", Incarnation: incarnation, Version: mesh.Version, Heartbeat: beat}, pong)
		require.Zero(t, h.snapshot().Counts.Received, "it is no request to a service")
	})
}

// managementService is a service with everything that a contract can have.
func managementService() *mesh.Service {
	return mesh.NewService("tea", mesh.Doc("All about tea.")).
		HandleRaw("brew", callEcho, mesh.Doc("Brews one cup."), mesh.Idempotent(), mesh.Attempts(2),
			mesh.Params(json.RawMessage(`{"type":"object"}`)), mesh.Result(json.RawMessage(`{"type":"string"}`))).
		HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
			return func(func(json.RawMessage, error) bool) {}
		}).
		HandleRaw("any", callEcho)
}

// managementTea is what the client is told of it.
func managementTea(workers int) mesh.ServiceInfo {
	return mesh.ServiceInfo{Name: "tea", Doc: "All about tea.", Workers: workers, Methods: []mesh.MethodInfo{
		{
			Name: "brew", Doc: "Brews one cup.", Idempotent: true, Attempts: 2,
			Params: json.RawMessage(`{"type":"object"}`), Result: json.RawMessage(`{"type":"string"}`),
		},
		{Name: "pour", Stream: true},
		{Name: "any"},
	}}
}

func TestClientServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		c := h.client()
		all, err := c.Services(t.Context())
		require.NoError(t, err)
		require.Empty(t, all)
		require.NotNil(t, all, "as JSON it is a list, too")

		first := h.worker(mesh.WorkerConfig{}, managementService())
		h.worker(mesh.WorkerConfig{}, managementService())
		h.peer().works("plain")
		all, err = c.Services(t.Context())
		require.NoError(t, err)
		require.Equal(t, []mesh.ServiceInfo{{Name: "plain", Workers: 1}, managementTea(2)}, all)

		require.NoError(t, first.Shutdown(t.Context()))
		all, err = c.Services(t.Context())
		require.NoError(t, err)
		require.Equal(t, []mesh.ServiceInfo{{Name: "plain", Workers: 1}, managementTea(1)}, all)
	})
}

func TestClientDescribe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		w := h.worker(mesh.WorkerConfig{}, managementService(), hubEcho())
		c := h.client()
		tea, err := c.Describe(t.Context(), "tea")
		require.NoError(t, err)
		require.Equal(t, managementTea(1), *tea)

		_, err = c.Describe(t.Context(), "coffee")
		require.ErrorIs(t, err, mesh.ErrNoService)
		require.EqualError(t, err, `mesh: no such service: no worker serves "coffee"`)
		require.False(t, callError(t, err).HandedOver)
		for _, bad := range []string{"", "mmi.services", "a\nb"} {
			_, err = c.Describe(t.Context(), bad)
			require.ErrorIs(t, err, mesh.ErrNoService, "%q", bad)
			require.True(t, callError(t, err).Local)
		}

		require.NoError(t, w.Shutdown(t.Context()))
		_, err = c.Describe(t.Context(), "tea")
		require.ErrorIs(t, err, mesh.ErrNoService, "it is known, and has no worker")
	})
}

func TestClientStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{ID: "hub"})
		c := h.client()
		status := func() *mesh.Snapshot {
			t.Helper()
			got, err := c.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, h.snapshot(), got)
			return got
		}
		require.Equal(t, "hub", status().Broker)

		gate := hubGated("gate", "w", mesh.Idempotent(), mesh.Attempts(1))
		lost := h.worker(mesh.WorkerConfig{Instance: "one", Capacity: 1, Transport: h.net.As("worker")}, gate.service)
		h.peer().works("plain")
		out := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"me"}`)
		<-gate.inside
		hubCall(t.Context(), h.clientAs("ada"), "gate.pass", `{"who":"you"}`, mesh.Key("k"))
		<-time.After(time.Second) // what it has been connected for isn't zero
		busy := status()
		require.Equal(t, 1, busy.Running)
		require.Equal(t, 1, busy.Queued)
		require.Len(t, busy.Workers, 2)
		require.Len(t, busy.Clients, 3)

		_ = lost.Shutdown(hubOver())
		require.ErrorIs(t, (<-out).err, mesh.ErrQuarantined)
		synctest.Wait() // the broker has heard that the connection ended, too
		require.Len(t, status().Quarantine, 1)
	})
}

func TestManagementNotPermitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rules := newAuthRules("kitchen register tea", "guest see", "web call tea")
		h := authStart(t, rules, "tea")
		guest, web := h.clientAs("guest"), h.clientAs("web")
		for name, ask := range managementAll {
			require.NoError(t, ask(t.Context(), guest), name)
			err := ask(t.Context(), web)
			if name == "ping" {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, mesh.ErrNotPermitted, name)
			require.False(t, callError(t, err).Local, "the broker says so")
			require.False(t, callError(t, err).HandedOver)
		}
		rules.set()
		require.ErrorIs(t, callLast(guest.Status(t.Context())), mesh.ErrNotPermitted)
	})
}

// managementPlain listens as a broker that speaks MDP/0.2 and has no mmi.ping.
func managementPlain(t *testing.T, network *inproc.Network) {
	t.Helper()
	l, err := network.Listen(t.Context(), callAddr)
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver { return managementPeer{t, p} }) // it ends by Close
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-ended
	})
}

type managementPeer struct {
	t    *testing.T
	peer transport.Peer
}

func (p managementPeer) Receive(batch []transport.Message) {
	for _, m := range batch {
		c, err := mdp.ParseBroker(m)
		if err != nil || string(c.Service) != mdp.MMIPing {
			p.t.Errorf("a plain broker got %q, %v", m, err)
			continue
		}
		r := callRequest{peer: p.peer, Command: c}
		r.send(mdp.ClientFinal, mdp.StatusBody(mdp.StatusNotImplemented))
	}
}

func (managementPeer) Gone(error) {}

// A broker that speaks plain Majordomo would take JSON-RPC for the name of a service,
// or never answer.
func TestManagementOfAPlainBroker(t *testing.T) {
	t.Parallel()
	for name, speak := range map[string]mesh.Speak{"found out": mesh.SpeakMesh, "0.2": mesh.SpeakMDP02, "0.1": mesh.SpeakMDP01} {
		hubRun(t, name, func(t *testing.T) {
			network := inproc.New(inproc.Config{})
			managementPlain(t, network)
			c := callDial(t, mesh.ClientConfig{Transport: network, Speak: speak})
			start := time.Now()
			for name, ask := range managementAll {
				err := ask(t.Context(), c)
				require.ErrorIs(t, err, mesh.ErrNoMethod, name)
				require.ErrorContains(t, err, "the broker speaks plain MDP", name)
				require.True(t, callError(t, err).Local)
				require.False(t, callError(t, err).HandedOver)
			}
			require.Zero(t, time.Since(start), "at once")
		})
	}
}

// What brokers say is JSON, whatever the codec of the client is.
func TestManagementWithACodec(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, managementService())
		codec := &codecLoud{fail: errors.New("not for brokers")}
		c := h.clientOf(mesh.ClientConfig{Codec: codec})
		for name, ask := range managementAll {
			require.NoError(t, ask(t.Context(), c), name)
		}
		tea, err := c.Describe(t.Context(), "tea")
		require.NoError(t, err)
		require.Equal(t, "Brews one cup.", tea.Methods[0].Doc)
		require.Zero(t, codec.marshals.Load()+codec.unmarshals.Load())
	})
}

func TestManagementAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := hubStart(t, mesh.BrokerConfig{}).client()
		require.NoError(t, callLast(c.Ping(t.Context())))
		require.NoError(t, c.Close())
		for name, ask := range managementAll {
			require.ErrorIs(t, ask(t.Context(), c), mesh.ErrClosed, name)
		}
	})
}

// Calls that wait for a broker end with their time, or with their context.
func TestManagementWithoutABroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := callDial(t, mesh.ClientConfig{Transport: inproc.New(inproc.Config{})})
		start := time.Now()
		_, err := c.Ping(t.Context(), mesh.Timeout(time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.ErrorIs(t, err, transport.ErrRefused, "it says why")
		require.Equal(t, time.Second, time.Since(start))
		for name, ask := range managementAll {
			require.ErrorIs(t, ask(hubOver(), c), mesh.ErrCancelled, name)
		}
	})
}

// To interceptors they are calls like others, so that names in logs and metrics have
// the same form: the service "mmi" and a method.
func TestManagementSeenByInterceptors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			service, method, params string
			client, notify, stream  bool
		}
		var last seen
		var result string
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, managementService(), hubEcho())
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				last = seen{in.Service, in.Method, string(in.Params), in.Client, in.Notify, in.Part != nil}
				raw, err := next(ctx, in)
				result = string(raw)
				return raw, err
			}
		}}})
		for name, ask := range managementAll {
			require.NoError(t, ask(t.Context(), c))
			want := seen{service: "mmi", method: name, client: true}
			if name == "describe" {
				want.method, want.params = "services", `{"service":"tea"}`
			}
			require.Equal(t, want, last, name)
			require.True(t, json.Valid([]byte(result)))
		}

		other := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{interceptParams(`{"service":"echo"}`)}})
		info, err := other.Describe(t.Context(), "tea")
		require.NoError(t, err)
		require.Equal(t, "echo", info.Name, "what an interceptor puts in place is what is asked")
	})
}

// A broker's answer that makes no sense is an error, and no panic.
func TestManagementOfABadBroker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve func(*callRequest)
		want  error
	}{
		"another shape": {func(r *callRequest) { r.result(`7`) }, mesh.ErrInternal},
		"another error": {func(r *callRequest) { r.refuse(mesh.CodeInvalidRequest, "") }, &mesh.Error{Code: mesh.CodeInvalidRequest}},
		"no such":       {func(r *callRequest) { r.refuse(mesh.CodeNoMethod, "") }, mesh.ErrNoMethod},
	} {
		hubRun(t, name, func(t *testing.T) {
			network := inproc.New(inproc.Config{})
			callPlay(t, network, c.serve)
			client := callDial(t, mesh.ClientConfig{Transport: network})
			for name, ask := range managementAll {
				if name != "ping" { // which the broker answers
					require.ErrorIs(t, ask(t.Context(), client), c.want, name)
				}
			}
		})
	}
	hubRun(t, "null", func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		callPlay(t, network, func(r *callRequest) { r.result(`null`) })
		_, err := callDial(t, mesh.ClientConfig{Transport: network}).Describe(t.Context(), "tea")
		require.ErrorIs(t, err, mesh.ErrNoService)
	})
}
