package mesh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// operator is what operators use: a client, or the broker itself.
type operator interface {
	Pause(ctx context.Context, service string) error
	Resume(ctx context.Context, service string) error
	DrainWorker(ctx context.Context, instance string) error
	DisconnectWorker(ctx context.Context, instance string) error
	CancelRequest(ctx context.Context, request uint64) error
	Release(ctx context.Context, request uint64) (uint64, error)
	Drop(ctx context.Context, request uint64) error
}

var _ operator = (*mesh.Broker)(nil)

// operatorClient is a client as an operator.
type operatorClient struct{ c *mesh.Client }

func (o operatorClient) Pause(ctx context.Context, service string) error {
	return o.c.Pause(ctx, service)
}

func (o operatorClient) Resume(ctx context.Context, service string) error {
	return o.c.Resume(ctx, service)
}

func (o operatorClient) DrainWorker(ctx context.Context, instance string) error {
	return o.c.DrainWorker(ctx, instance)
}

func (o operatorClient) DisconnectWorker(ctx context.Context, instance string) error {
	return o.c.DisconnectWorker(ctx, instance)
}

func (o operatorClient) CancelRequest(ctx context.Context, request uint64) error {
	return o.c.CancelRequest(ctx, request)
}

func (o operatorClient) Release(ctx context.Context, request uint64) (uint64, error) {
	return o.c.Release(ctx, request)
}

func (o operatorClient) Drop(ctx context.Context, request uint64) error {
	return o.c.Drop(ctx, request)
}

// operatorAll are the methods for operators, by what events call them.
var operatorAll = map[string]func(context.Context, operator) error{
	"pause":      func(ctx context.Context, o operator) error { return o.Pause(ctx, "gate") },
	"resume":     func(ctx context.Context, o operator) error { return o.Resume(ctx, "gate") },
	"drain":      func(ctx context.Context, o operator) error { return o.DrainWorker(ctx, "one") },
	"disconnect": func(ctx context.Context, o operator) error { return o.DisconnectWorker(ctx, "one") },
	"cancel":     func(ctx context.Context, o operator) error { return o.CancelRequest(ctx, 1) },
	"release":    func(ctx context.Context, o operator) error { return callLast(o.Release(ctx, 1)) },
	"drop":       func(ctx context.Context, o operator) error { return o.Drop(ctx, 1) },
}

// operatorRun runs a test with a client as the operator, and with the broker itself.
func operatorRun(t *testing.T, test func(t *testing.T, h *hub, by operator)) {
	t.Helper()
	hubRun(t, "client", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		test(t, h, operatorClient{h.clientAs("olga")})
	})
	hubRun(t, "broker", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		test(t, h, h.broker)
	})
}

// operated returns what the last event of an operator says, with who that was.
func (h *hub) operated(by operator) mesh.Event {
	h.t.Helper()
	synctest.Wait()
	all := h.events.list(mesh.EventOperated)
	require.NotEmpty(h.t, all)
	ev := all[len(all)-1]
	if _, client := by.(operatorClient); client {
		require.Equal(h.t, "olga", ev.By)
		require.NotEmpty(h.t, ev.ByAddr)
	} else {
		require.Empty(h.t, ev.By+ev.ByAddr)
	}
	require.False(h.t, ev.Time.IsZero())
	ev.By, ev.ByAddr, ev.Time = "", "", time.Time{}
	return ev
}

func TestOperatePause(t *testing.T) {
	t.Parallel()
	operatorRun(t, func(t *testing.T, h *hub, by operator) {
		require.ErrorIs(t, by.Pause(t.Context(), "echo"), mesh.ErrNoService)
		require.Equal(t, mesh.Event{
			Kind: mesh.EventOperated, Operation: "pause", Service: "echo", Code: mesh.CodeNoService, Reason: `no such service: "echo"`,
		}, h.operated(by))
		h.worker(mesh.WorkerConfig{}, hubEcho())
		require.NoError(t, by.Pause(t.Context(), "echo"))
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "pause", Service: "echo"}, h.operated(by))
		out := hubCall(t.Context(), h.client(), "echo.say", `[1]`)
		synctest.Wait()
		require.Empty(t, out)
		s := h.snapshot()
		require.True(t, s.Services[0].Paused)
		require.Len(t, s.Requests, 1)
		require.Equal(t, "queued", s.Requests[0].State)
		require.NoError(t, by.Resume(t.Context(), "echo"))
		require.Equal(t, `[1]`, (<-out).result)
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "resume", Service: "echo"}, h.operated(by))
	})
}

func TestOperateDrainWorker(t *testing.T) {
	t.Parallel()
	operatorRun(t, func(t *testing.T, h *hub, by operator) {
		require.ErrorIs(t, by.DrainWorker(t.Context(), "one"), mesh.ErrNotFound)
		require.Equal(t, mesh.CodeNotFound, h.operated(by).Code)
		gate := hubGated("gate", "w")
		w := h.worker(mesh.WorkerConfig{Instance: "one", Capacity: 4}, gate.service)
		running := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"running"}`)
		<-gate.inside
		require.NoError(t, by.DrainWorker(t.Context(), "one"))
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "drain", Instance: "one"}, h.operated(by))
		queued := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"queued"}`)
		synctest.Wait()
		status := h.snapshot().Workers[0]
		require.True(t, status.Draining)
		require.Equal(t, 4, status.Capacity)
		require.Equal(t, 1, status.Running)
		close(gate.open)
		require.Equal(t, `"w:running"`, (<-running).result)
		require.Empty(t, queued)
		<-time.After(time.Minute / 4)
		require.Zero(t, h.snapshot().Workers[0].Running)

		// It may be stopped now; who takes its place is no longer drained.
		require.NoError(t, w.Shutdown(t.Context()))
		h.worker(mesh.WorkerConfig{Instance: "one"}, gate.service)
		require.Equal(t, `"w:queued"`, (<-queued).result)
	})
}

func TestOperateDisconnectWorker(t *testing.T) {
	t.Parallel()
	operatorRun(t, func(t *testing.T, h *hub, by operator) {
		require.ErrorIs(t, by.DisconnectWorker(t.Context(), "one"), mesh.ErrNotFound)
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{Instance: "one"}, gate.service)
		running := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"running"}`)
		<-gate.inside
		require.NoError(t, by.DrainWorker(t.Context(), "one"))
		require.NoError(t, by.DisconnectWorker(t.Context(), "one"))
		require.ErrorIs(t, (<-running).err, mesh.ErrWorkerLost)
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "disconnect", Instance: "one"}, h.operated(by))

		// It comes back, and is drained no longer.
		close(gate.open)
		require.Equal(t, `"w:again"`, (<-hubCall(t.Context(), h.client(), "gate.pass", `{"who":"again"}`)).result)
	})
}

func TestOperateCancelRequest(t *testing.T) {
	t.Parallel()
	operatorRun(t, func(t *testing.T, h *hub, by operator) {
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{Instance: "one", Capacity: 1, Transport: h.net.As("kitchen")}, gate.service)
		running := hubCall(t.Context(), h.clientAs("ada"), "gate.pass", `{"who":"running"}`)
		<-gate.inside
		queued := hubCall(t.Context(), h.clientAs("ada"), "gate.pass", `{"who":"queued"}`)
		<-time.After(time.Second)
		all := h.snapshot().Requests
		require.Len(t, all, 2)
		require.NotEmpty(t, all[0].CallerAddr)
		require.NotEmpty(t, all[0].WorkerAddr)
		all[0].CallerAddr, all[0].WorkerAddr, all[1].CallerAddr = "", "", ""
		require.Equal(t, []mesh.RequestStatus{
			{Request: 1, State: "running", Service: "gate", Method: "gate.pass", Caller: "ada", Worker: "one", Attempts: 1, Age: time.Second},
			{Request: 2, State: "queued", Service: "gate", Method: "gate.pass", Caller: "ada", Age: time.Second},
		}, all)

		require.NoError(t, by.CancelRequest(t.Context(), 2))
		err := (<-queued).err
		require.ErrorIs(t, err, mesh.ErrCancelled)
		require.ErrorContains(t, err, "cancelled by an operator")
		require.False(t, callError(t, err).HandedOver)
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "cancel", Request: 2}, h.operated(by))

		require.NoError(t, by.CancelRequest(t.Context(), 1))
		err = (<-running).err
		require.ErrorIs(t, err, mesh.ErrCancelled)
		require.True(t, callError(t, err).HandedOver)
		synctest.Wait()
		require.Zero(t, h.snapshot().Abandoned, "its handler was told, and has returned")

		for _, gone := range []uint64{0, 1, 2, 99} {
			require.ErrorIs(t, by.CancelRequest(t.Context(), gone), mesh.ErrNotFound)
		}
	})
}

func TestOperateQuarantine(t *testing.T) {
	t.Parallel()
	operatorRun(t, func(t *testing.T, h *hub, by operator) {
		gate := hubGated("gate", "w", mesh.Idempotent(), mesh.Attempts(1))
		for range 2 {
			lost := h.worker(mesh.WorkerConfig{Capacity: 1}, gate.service)
			out := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"bad"}`)
			<-gate.inside
			_ = lost.Shutdown(hubOver())
			require.ErrorIs(t, (<-out).err, mesh.ErrQuarantined)
		}
		<-time.After(time.Minute)
		_, err := by.Release(t.Context(), 1)
		require.ErrorIs(t, err, mesh.ErrNoWorker)
		require.Len(t, h.snapshot().Quarantine, 2, "it stays")

		h.worker(mesh.WorkerConfig{}, gate.service)
		run, err := by.Release(t.Context(), 1)
		require.NoError(t, err)
		require.EqualValues(t, 3, run)
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "release", Request: 1}, h.operated(by))
		require.Equal(t, "bad", <-gate.inside)
		require.NoError(t, by.CancelRequest(t.Context(), run), "nobody waits for it, but it can be cancelled")

		require.NoError(t, by.Drop(t.Context(), 2))
		require.Equal(t, mesh.Event{Kind: mesh.EventOperated, Operation: "drop", Request: 2}, h.operated(by))
		require.Empty(t, h.snapshot().Quarantine)
		require.ErrorIs(t, by.Drop(t.Context(), 2), mesh.ErrNotFound)
		require.ErrorIs(t, callLast(by.Release(t.Context(), 2)), mesh.ErrNotFound)
	})
}

// Who lacks the right is refused, and observers hear of it.
func TestOperateNotPermitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := authStart(t, newAuthRules("kitchen register gate", "web see", "web call gate"), "gate")
		web := operatorClient{h.clientAs("web")}
		for name, ask := range operatorAll {
			err := ask(t.Context(), web)
			require.ErrorIs(t, err, mesh.ErrNotPermitted, name)
			require.False(t, callError(t, err).Local, "the broker says so")
			synctest.Wait()
			all := h.events.list(mesh.EventOperated)
			last := all[len(all)-1]
			require.Equal(t, "web", last.By)
			require.Equal(t, name, last.Operation)
			require.Equal(t, mesh.CodeNotPermitted, last.Code)
			require.Equal(t, "not permitted: mmi."+name, last.Reason)
		}
		require.Len(t, h.snapshot().Workers, 1)
	})
}

// What might have been carried out isn't asked again, and not of another broker.
func TestOperateOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		asked := 0
		callPlay(t, network, func(r *callRequest) {
			asked++
			r.refuse(mesh.CodeDraining, `{"handed_over":false}`)
		})
		c := operatorClient{callDial(t, mesh.ClientConfig{Transport: network})}
		for name, ask := range operatorAll {
			asked = 0
			require.ErrorIs(t, ask(t.Context(), c), mesh.ErrDraining, name)
			require.Equal(t, 1, asked, name)
		}
	})
}

func TestOperateContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		client := operatorClient{h.client()}
		for name, ask := range operatorAll {
			require.ErrorIs(t, ask(hubOver(), h.broker), context.Canceled, name)
			require.ErrorIs(t, ask(hubOver(), client), mesh.ErrCancelled, name)
		}
		require.Empty(t, h.events.list(mesh.EventOperated))
	})
}

// A broker can be asked at any time of its life.
func TestOperateBeforeAndAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := hubBroker(t, mesh.BrokerConfig{})
		require.ErrorIs(t, b.Pause(t.Context(), "echo"), mesh.ErrNoService)
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Instance: "one"}, hubEcho())
		require.NoError(t, h.broker.Shutdown(t.Context()))
		require.ErrorIs(t, h.broker.DrainWorker(t.Context(), "one"), mesh.ErrNotFound)
	})
}
