package mesh_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

const drainSecond = "inproc://second"

// drainBrokers lists a broker and one more to move on to.
func drainBrokers() []transport.Endpoint {
	return []transport.Endpoint{hubEndpoint(), {Addr: drainSecond}}
}

// second starts another broker on the hub's network.
func (h *hub) second() *mesh.Broker {
	h.t.Helper()
	b := hubBroker(h.t, mesh.BrokerConfig{Logger: h.log.logger()})
	l := h.listen(drainSecond)
	go func() { _ = b.Serve(context.Background(), l) }()
	h.t.Cleanup(func() { _ = b.Shutdown(hubOver()) })
	return b
}

// drain begins to shut the broker down.
func (h *hub) drain(ctx context.Context) <-chan error {
	h.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- h.broker.Shutdown(ctx) }()
	synctest.Wait()
	require.True(h.t, h.snapshot().Draining)
	return ended
}

func TestDrainEndsWhatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{Capacity: 2}, gate.service)
		c := h.client()
		var running, queued []<-chan hubOutcome
		for i := range 5 {
			call := hubCall(t.Context(), c, "gate.pass", fmt.Sprintf(`{"who":"%d"}`, i))
			synctest.Wait()
			if i < 2 {
				running = append(running, call)
			} else {
				queued = append(queued, call)
			}
		}
		ended := h.drain(t.Context())
		for _, call := range queued {
			outcome := <-call
			require.ErrorIs(t, outcome.err, mesh.ErrDraining)
			require.False(t, callError(t, outcome.err).HandedOver)
			require.False(t, callError(t, outcome.err).Local)
		}
		p := h.peer()
		p.sendFrames(observeRequest(1, "gate", "pass", ""))
		require.Equal(t, mesh.CodeDraining, p.refused(), "new requests, too")
		// However long it takes, and though nothing else is sent.
		<-time.After(time.Minute / 10)
		for _, call := range running {
			require.Empty(t, call)
		}
		require.Empty(t, ended)
		require.Equal(t, 2, h.snapshot().Running)
		close(gate.open)
		for i, call := range running {
			require.Equal(t, hubOutcome{result: fmt.Sprintf(`"w:%d"`, i)}, <-call)
		}
		require.NoError(t, <-ended)
		require.NoError(t, <-h.served)
		hubFree(t, h.net, hubAddr)
	})
}

func TestDrainOfAnIdleBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		start := time.Now()
		require.NoError(t, h.broker.Shutdown(t.Context()))
		require.Zero(t, time.Since(start))
	})
}

// A client that knows another broker doesn't notice that the one that it used ends.
func TestDrainMovesClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.second()
		here, there := hubGated("gate", "here"), hubGated("gate", "there")
		close(there.open)
		h.worker(mesh.WorkerConfig{Capacity: 1}, here.service)
		h.worker(mesh.WorkerConfig{Brokers: drainBrokers()[1:]}, there.service)
		find := newSeeker(drainBrokers()[:1]...)
		c := h.clientOf(mesh.ClientConfig{Discovery: find})
		running := hubCall(t.Context(), c, "gate.pass", `{"who":"running"}`)
		<-here.inside
		queued := hubCall(t.Context(), c, "gate.pass", `{"who":"queued"}`)
		synctest.Wait()
		require.Equal(t, 1, h.snapshot().Queued)
		find.found <- drainBrokers()
		ended := h.drain(t.Context())
		require.Equal(t, hubOutcome{result: `"there:queued"`}, <-queued)
		require.Equal(t, hubOutcome{result: `"there:new"`}, <-hubCall(t.Context(), c, "gate.pass", `{"who":"new"}`))
		require.Empty(t, ended)
		close(here.open)
		require.Equal(t, hubOutcome{result: `"here:running"`}, <-running, "the reply comes over the old connection")
		require.NoError(t, <-ended)
	})
}

// Workers are told to leave, and serve the other broker on.
func TestDrainMovesWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		b := h.second()
		joined := b.Subscribe(0)
		w := h.worker(mesh.WorkerConfig{Instance: "mover", Brokers: drainBrokers()}, hubEcho())
		require.Equal(t, "mover", (<-joined.Events()).Instance)
		synctest.Wait()
		require.Len(t, h.snapshot().Workers, 1)
		plain := h.peer()
		plain.works("plain")
		require.NoError(t, h.broker.Shutdown(t.Context()))
		left := h.events.list(mesh.EventWorkerLeft)
		require.Len(t, left, 2)
		for _, ev := range left {
			require.Equal(t, "broker drained", ev.Reason)
		}
		bye, err := mdp.ParseWorker(plain.next())
		require.NoError(t, err)
		require.Equal(t, mdp.Disconnect, bye.Kind)
		c := h.clientOf(mesh.ClientConfig{Brokers: drainBrokers()[1:]})
		require.NoError(t, callLast(c.CallRaw(t.Context(), "echo.say", nil)))
		require.NoError(t, w.Shutdown(t.Context()))
	})
}

// A draining broker takes no workers that register, and says so; plain ones may
// serve what is queued.
func TestDrainRefusesWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{}, gate.service)
		running := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"running"}`)
		<-gate.inside
		ended := h.drain(t.Context())
		late := h.workerOf(mesh.WorkerConfig{}, hubEcho())
		<-time.After(time.Second)
		select {
		case <-late.Ready():
			require.Fail(t, "it was taken")
		default:
		}
		require.Len(t, h.snapshot().Workers, 1)
		close(gate.open)
		require.NoError(t, (<-running).err)
		require.NoError(t, <-ended)
	})
}

// Opaque requests can't be told to go elsewhere, so they are served as long as
// there is time.
func TestDrainServesOpaqueRequests(t *testing.T) {
	t.Parallel()
	hubRun(t, "as long as there are workers", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{Capacity: 1}, gate.service)
		p := h.peer()
		for _, body := range []string{"one", "two", "three"} {
			p.asks("gate", body)
		}
		require.Equal(t, 2, h.snapshot().Queued)
		ended := h.drain(t.Context())
		require.Equal(t, 2, h.snapshot().Queued)
		p.asks("gate", "four")
		require.Equal(t, 3, h.snapshot().Queued, "also new ones")
		close(gate.open)
		for _, body := range []string{"one", "two", "three", "four"} {
			require.Equal(t, body, string(p.final()))
		}
		require.NoError(t, <-ended)
	})
	hubRun(t, "until the deadline", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		p := h.peer()
		p.asks("nobody", "waits")
		start := time.Now()
		ended := h.drain(hubWithin(t, 3*time.Second))
		<-time.After(2 * time.Second)
		require.Empty(t, ended)
		require.Equal(t, 1, h.snapshot().Queued)
		require.NoError(t, <-ended, "what can't be told is given up before everything is cut")
		require.Equal(t, 2700*time.Millisecond, time.Since(start))
		s := h.snapshot()
		require.Zero(t, s.Queued)
		require.EqualValues(t, 1, s.Counts.Failed+s.Counts.Cancelled)
		require.True(t, p.silent())
	})
}

func TestDrainThatTakesTooLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ctx  func(t *testing.T) context.Context
		want error
	}{
		"its deadline": {func(t *testing.T) context.Context { t.Helper(); return hubWithin(t, time.Second) }, context.DeadlineExceeded},
		"it is cancelled": {func(t *testing.T) context.Context {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			return ctx
		}, context.Canceled},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			gate := hubGated("gate", "w")
			h.worker(mesh.WorkerConfig{}, gate.service)
			running := hubCall(t.Context(), h.client(), "gate.pass", `{"who":"running"}`)
			<-gate.inside
			start := time.Now()
			require.ErrorIs(t, h.broker.Shutdown(test.ctx(t)), test.want)
			require.Equal(t, time.Second, time.Since(start))
			require.NoError(t, <-h.served)
			outcome := <-running
			require.ErrorIs(t, outcome.err, mesh.ErrBrokerLost)
			require.True(t, callError(t, outcome.err).HandedOver)
		})
	}
}

// A second Shutdown waits for the first, and can be less patient.
func TestDrainTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "w")
		h.worker(mesh.WorkerConfig{}, gate.service)
		hubCall(t.Context(), h.client(), "gate.pass", `{"who":"running"}`)
		<-gate.inside
		first := h.drain(t.Context())
		second := h.drain(t.Context())
		require.Empty(t, first)
		require.Empty(t, second)
		require.ErrorIs(t, h.broker.Shutdown(hubWithin(t, time.Second)), context.DeadlineExceeded)
		for _, other := range []<-chan error{first, second} {
			err := <-other
			require.ErrorIs(t, err, context.DeadlineExceeded, "what was running was cut")
			require.EqualError(t, err, "mesh: Broker.Shutdown: cut by another call: context deadline exceeded")
		}
		require.NoError(t, h.broker.Shutdown(hubOver()))
	})
}

// A broker that has nothing left to do answers for a while, so that a call that is on its
// way isn't lost; it is gone as soon as nobody in another process is there.
func TestDrainAnswersWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	tcp := zmtp.New(zmtp.Config{})
	l, err := tcp.Listen(t.Context(), "tcp://127.0.0.1:*")
	require.NoError(t, err)
	b, err := mesh.NewBroker(mesh.BrokerConfig{})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- b.Serve(context.Background(), l) }()
	c, err := tcp.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
	require.NoError(t, err)
	replies, over := make(chan string, 16), make(chan error, 1)
	go func() {
		over <- c.Serve(context.Background(), func(batch []transport.Message) {
			for _, m := range batch {
				replies <- string(m[len(m)-1])
			}
		})
	}()
	ask := func(service string) string {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q}`, service)
		require.NoError(t, c.Send(transport.Message{[]byte("MDPC02"), {1}, []byte(service), []byte(body)}))
		c.Flush()
		select {
		case reply := <-replies:
			return reply
		case err := <-over:
			return err.Error()
		}
	}
	require.Contains(t, ask("mmi.ping"), `"result"`)
	down := make(chan error, 1)
	go func() { down <- b.Shutdown(context.Background()) }()
	for !strings.Contains(ask("mmi.ping"), `"draining":true`) {
		runtime.Gosched()
	}
	require.Contains(t, ask("tea.brew"), "-32007")
	require.NoError(t, c.Close())
	require.NoError(t, <-down)
	require.NoError(t, <-served)
}
