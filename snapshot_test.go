package mesh_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func TestSnapshotOfAnIdleBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{ID: "hub"})
		<-time.After(time.Minute)
		s := h.snapshot()
		require.Len(t, s.Incarnation, 16)
		s.Incarnation = ""
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, &mesh.Snapshot{
			Broker: "hub", Version: mesh.Version, Host: host, PID: os.Getpid(), Addrs: []string{hubAddr}, Uptime: time.Minute,
		}, s)
	})
}

// Two runs of one broker's config are told apart.
func TestSnapshotIncarnation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := hubStart(t, mesh.BrokerConfig{ID: "hub"}), hubStart(t, mesh.BrokerConfig{ID: "hub"})
		require.NotEqual(t, a.snapshot().Incarnation, b.snapshot().Incarnation)
	})
}

func TestSnapshotOfABusyBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{Instance: "one", Capacity: 2, Transport: h.net.As("worker")}, gate.service, hubEcho())
		<-time.After(time.Second)
		plain := h.peer()
		plain.works("plain")
		caller := h.peerOver(h.net.As("ada"))
		var bytes int64
		for i := range 5 { // two run, three wait
			request := observeRequest(i, "gate", "pass", "")
			caller.sendFrames(request)
			if i >= 2 {
				bytes += int64(request.Size())
			}
		}
		<-time.After(time.Second)

		s := h.snapshot()
		require.Equal(t, 3, s.Queued)
		require.Equal(t, bytes, s.QueuedBytes)
		require.Equal(t, 2, s.Running)
		require.Zero(t, s.Abandoned)
		require.Zero(t, s.Keyed)
		require.False(t, s.Draining)
		require.Equal(t, mesh.Counts{Received: 5}, s.Counts)
		require.Equal(t, []mesh.ServiceStatus{
			{Name: "echo", Workers: 1}, {Name: "gate", Workers: 1, Queued: 3, Running: 2}, {Name: "plain", Workers: 1},
		}, s.Services, "by name")
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Len(t, s.Workers, 2)
		require.Equal(t, 2*time.Second, s.Workers[0].Since)
		require.NotEmpty(t, s.Workers[0].Addr)
		s.Workers[0].Addr, s.Workers[1].Addr = "", ""
		require.Equal(t, []mesh.WorkerStatus{
			{
				Instance: "one", Name: "worker", Host: host, PID: os.Getpid(), Version: mesh.Version, Protocol: "MDP/0.2",
				Services: []string{"gate", "echo"}, Capacity: 2, Running: 2, Since: 2 * time.Second, Silent: s.Workers[0].Silent,
			},
			{Protocol: "MDP/0.2", Services: []string{"plain"}, Capacity: 1, Since: time.Second, Silent: time.Second},
		}, s.Workers, "the longest connected first")
		require.Len(t, s.Clients, 1)
		require.NotEmpty(t, s.Clients[0].Addr)
		s.Clients[0].Addr = ""
		require.Equal(t, []mesh.ClientStatus{{Name: "ada", Waiting: 5, Since: time.Second, Silent: time.Second}}, s.Clients)

		close(gate.open)
		synctest.Wait()
		s = h.snapshot()
		require.Zero(t, s.Queued)
		require.Zero(t, s.QueuedBytes)
		require.Zero(t, s.Running)
		require.Equal(t, mesh.Counts{Received: 5, Replied: 5}, s.Counts)
		require.Equal(t, mesh.ServiceStatus{Name: "gate", Workers: 1, Finished: 5}, s.Services[1])
		require.Zero(t, s.Workers[0].Running)
		require.Zero(t, s.Clients[0].Waiting)
		require.NoError(t, caller.conn.Close())
		synctest.Wait()
		require.Empty(t, h.snapshot().Clients)
	})
}

// A request that ended while its worker has it is abandoned until the worker says so.
func TestSnapshotAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		w, p := h.peer(), h.peer()
		w.works("plain")
		p.sendFrames(observeRequest(1, "plain", "do", `,"meta":{"timeout_ms":1000}`))
		address := w.handed().Address
		<-time.After(2 * time.Second)
		s := h.snapshot()
		require.Equal(t, 1, s.Abandoned)
		require.Zero(t, s.Running)
		require.Equal(t, 1, s.Workers[0].Running, "it has it still")
		require.Equal(t, mesh.Counts{Received: 1, TimedOut: 1}, s.Counts)
		w.replies(mdp.WorkerFinal, address, "late")
		s = h.snapshot()
		require.Zero(t, s.Abandoned)
		require.Zero(t, s.Workers[0].Running)
		require.Equal(t, mesh.Counts{Received: 1, TimedOut: 1, Late: 1}, s.Counts)
	})
}

func TestSnapshotKeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Limits: mesh.Limits{KeyedAge: time.Minute}})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		p := h.peer()
		for i := range 3 {
			p.sendFrames(observeRequest(i, "echo", "say", `,"meta":{"key":"k"}`))
		}
		p.sendFrames(observeRequest(4, "echo", "say", `,"meta":{"key":"another"}`))
		s := h.snapshot()
		require.Equal(t, 2, s.Keyed)
		require.Equal(t, mesh.Counts{Received: 4, Replied: 4, Repeats: 2}, s.Counts)
		require.EqualValues(t, 2, s.Services[0].Finished)
		<-time.After(2 * time.Minute)
		require.Zero(t, h.snapshot().Keyed)
	})
}

func TestSnapshotQuarantine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Service: mesh.ServiceLimits{Idempotent: true, Attempts: 2}})
		p := h.peerOver(h.net.As("ada"))
		p.sendFrames(observeRequest(1, "plain", "do", ""))
		p.asks("plain", "opaque")
		for range 4 {
			w := h.peer()
			w.works("plain")
			w.handed()
			require.NoError(t, w.conn.Close())
			synctest.Wait()
		}
		<-time.After(time.Minute)
		s := h.snapshot()
		require.Equal(t, []mesh.QuarantinedStatus{
			{Request: 1, Service: "plain", Method: "plain.do", Caller: "ada", Attempts: 2, Age: time.Minute},
			{Request: 2, Service: "plain", Caller: "ada", Attempts: 2, Age: time.Minute},
		}, s.Quarantine, "oldest first")
		require.Equal(t, mesh.Counts{Received: 2, Quarantined: 2, Requeued: 2}, s.Counts)
	})
}

// Every way in which a request ends, and every fault of a peer, is counted.
func TestSnapshotCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Service: mesh.ServiceLimits{Queued: 1}})
		var want mesh.Counts
		check := func(what string) {
			t.Helper()
			synctest.Wait()
			require.Equal(t, want, h.snapshot().Counts, what)
		}
		w, p := h.peer(), h.peer()
		w.works("plain")

		p.sendFrames(transport.Message{[]byte("nonsense")})
		want.Invalid++
		check("invalid")

		h.peer().send(mdp.Command{Version: mdp.V02, Kind: mdp.Heartbeat})
		want.Unexpected++
		check("unexpected")

		p.sendFrames(observeRequest(1, "plain", "do", ""))
		first := w.handed().Address
		w.replies(mdp.WorkerFinal, first, `{"jsonrpc":"2.0","id":1,"result":true}`)
		want.Received++
		want.Replied++
		check("replied")

		w.replies(mdp.WorkerFinal, first, `{"jsonrpc":"2.0","id":1,"result":true}`)
		want.Strays++
		check("stray")

		p.sendFrames(observeRequest(2, "plain", "do", ""))
		w.replies(mdp.WorkerFinal, w.handed().Address, `{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"no"}}`)
		want.Received++
		want.Failed++
		check("failed")

		p.sendFrames(observeRequest(3, "plain", "do", ""))
		last := w.handed().Address
		p.sendFrames(observeRequest(4, "plain", "do", `,"meta":{"timeout_ms":1000}`))
		p.sendFrames(observeRequest(5, "plain", "do", ""))
		want.Received += 3
		want.Failed++
		want.Overloaded++
		check("overloaded")

		<-time.After(2 * time.Second)
		want.TimedOut++
		check("timed out")

		require.NoError(t, p.conn.Close())
		want.Cancelled++
		check("cancelled")

		w.replies(mdp.WorkerFinal, last, `{"jsonrpc":"2.0","id":3,"result":true}`)
		want.Late++
		check("late")
		require.EqualValues(t, 3, h.snapshot().Services[0].Finished)
		require.EqualValues(t, 1, h.snapshot().Services[0].Failed)
	})
}

func TestSnapshotPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		operator, p := h.peer(), h.peer()
		pause := transport.Message{[]byte("MDPC02"), {1}, []byte("mmi.pause"), []byte(`{"jsonrpc":"2.0","id":1,"method":"mmi.pause","params":{"service":"echo"}}`)}
		operator.sendFrames(pause)
		operator.final()
		p.sendFrames(observeRequest(1, "echo", "say", ""))
		require.Equal(t, []mesh.ServiceStatus{{Name: "echo", Workers: 1, Queued: 1, Paused: true}}, h.snapshot().Services)
	})
}

func TestSnapshotContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		s, err := h.broker.Snapshot(hubOver())
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, s)
	})
}

// A broker can be asked at any time of its life.
func TestSnapshotBeforeAndAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog), broker: hubBroker(t, mesh.BrokerConfig{ID: "hub"})}
		require.Equal(t, "hub", h.snapshot().Broker)
		<-time.After(time.Hour)
		served := make(chan error, 1)
		go func() { served <- h.broker.Serve(context.Background(), h.listen(hubAddr)) }()
		synctest.Wait()
		require.Zero(t, h.snapshot().Uptime, "it counts from Serve")
		h.worker(mesh.WorkerConfig{}, hubEcho())
		require.NoError(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)))
		require.NoError(t, h.broker.Shutdown(t.Context()))
		require.NoError(t, <-served)
		s := h.snapshot()
		require.True(t, s.Draining)
		require.Equal(t, mesh.Counts{Received: 1, Replied: 1}, s.Counts)
		require.Empty(t, s.Workers)
		require.Empty(t, s.Clients)
		require.Equal(t, []mesh.ServiceStatus{{Name: "echo", Finished: 1}}, s.Services)
	})
}
