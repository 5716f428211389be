package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// observeRequest is a JSON-RPC request as a plain client sends it.
func observeRequest(id int, service, method, more string) transport.Message {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"%s.%s"%s,"params":{"who":"ada"}}`, id, service, method, more)
	return transport.Message{[]byte("MDPC02"), {1}, []byte(service), []byte(body)}
}

// observeSay tells the events of requests as text: the kind, which attempt, the
// worker that has the request, the code and the reason.
func observeSay(events []mesh.Event) []string {
	var all []string
	for i := range events {
		ev := &events[i]
		if ev.Request == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", ev.Request, ev.Kind)
		if ev.Attempt > 0 {
			text += fmt.Sprintf(" attempt %d", ev.Attempt)
		}
		if ev.Instance != "" {
			text += " at " + ev.Instance
		}
		if ev.Code != 0 {
			text += fmt.Sprintf(" (%s)", ev.Code)
		}
		if ev.Reason != "" {
			text += ": " + ev.Reason
		}
		all = append(all, text)
	}
	return all
}

func TestObserveRequests(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		run  func(t *testing.T, h *hub)
		want []string
	}{
		"replied": {
			run: func(t *testing.T, h *hub) {
				h.worker(mesh.WorkerConfig{Instance: "w"}, hubEcho())
				require.NoError(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)))
			},
			want: []string{"1 received", "1 dispatched attempt 1 at w", "1 replied attempt 1 at w"},
		},
		"failed by the handler": {
			run: func(t *testing.T, h *hub) {
				h.worker(mesh.WorkerConfig{Instance: "w"}, hubEcho())
				require.ErrorIs(t, callLast(h.client().CallRaw(t.Context(), "echo.sing", nil)), mesh.ErrNoMethod)
			},
			want: []string{"1 received", "1 dispatched attempt 1 at w", "1 failed attempt 1 at w (" + mesh.CodeNoMethod.String() + ")"},
		},
		"failed by the broker": {
			run: func(t *testing.T, h *hub) {
				<-time.After(time.Minute)
				require.ErrorIs(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)), mesh.ErrNoService)
			},
			want: []string{"1 received", "1 failed (" + mesh.CodeNoService.String() + `): no such service: "echo"`},
		},
		"timed out in the queue": {
			run: func(t *testing.T, h *hub) {
				h.worker(mesh.WorkerConfig{Instance: "w", Capacity: 1}, hubGated("gate", "w").service)
				hubCall(t.Context(), h.client(), "gate.pass", `{}`)
				synctest.Wait()
				p := h.peer()
				p.sendFrames(observeRequest(1, "gate", "pass", `,"meta":{"timeout_ms":1000}`))
				<-time.After(2 * time.Second)
				require.Equal(t, mesh.CodeTimeout, p.refused())
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at w", "2 received", "2 queued",
				"2 timed out (" + mesh.CodeTimeout.String() + "): the request's time was over before it was handed to a worker",
			},
		},
		"timed out at the worker": {
			run: func(t *testing.T, h *hub) {
				release := make(chan struct{})
				defer close(release) // a reply that came with the deadline might be first
				h.worker(mesh.WorkerConfig{Instance: "w"}, mesh.NewService("gate").HandleRaw("pass",
					func(context.Context, json.RawMessage) (json.RawMessage, error) {
						<-release
						return nil, nil
					}))
				p := h.peer()
				p.sendFrames(observeRequest(1, "gate", "pass", `,"meta":{"timeout_ms":1000}`))
				<-time.After(2 * time.Second)
				require.Equal(t, mesh.CodeTimeout, p.refused())
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at w",
				"1 timed out attempt 1 at w (" + mesh.CodeTimeout.String() + "): the request's time was over before the worker replied",
			},
		},
		"cancelled by the caller": {
			run: func(t *testing.T, h *hub) {
				gate := hubGated("gate", "w")
				h.worker(mesh.WorkerConfig{Instance: "w"}, gate.service)
				ctx, cancel := context.WithCancel(t.Context())
				call := hubCall(ctx, h.client(), "gate.pass", `{}`)
				<-gate.inside
				cancel()
				require.ErrorIs(t, (<-call).err, mesh.ErrCancelled)
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at w",
				"1 cancelled attempt 1 at w (" + mesh.CodeCancelled.String() + "): cancelled by the caller",
			},
		},
		"cancelled, since the caller is gone": {
			run: func(t *testing.T, h *hub) {
				h.worker(mesh.WorkerConfig{Instance: "w", Capacity: 1}, hubGated("gate", "w").service)
				p := h.peer()
				p.sendFrames(observeRequest(1, "gate", "pass", ""))
				p.sendFrames(observeRequest(2, "gate", "pass", ""))
				require.NoError(t, p.conn.Close())
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at w", "2 received", "2 queued",
				"1 cancelled attempt 1 at w (" + mesh.CodeCancelled.String() + "): the caller is gone",
				"2 cancelled (" + mesh.CodeCancelled.String() + "): the caller is gone",
			},
		},
		"requeued": {
			run: func(t *testing.T, h *hub) {
				first, second := hubGated("gate", "a", mesh.Idempotent()), hubGated("gate", "b", mesh.Idempotent())
				a := h.worker(mesh.WorkerConfig{Instance: "a", Capacity: 1}, first.service)
				call := hubCall(t.Context(), h.client(), "gate.pass", `{}`)
				<-first.inside
				close(second.open)
				h.worker(mesh.WorkerConfig{Instance: "b"}, second.service)
				require.Error(t, a.Shutdown(hubOver()))
				require.NoError(t, (<-call).err)
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at a",
				"1 requeued attempt 1 at a: worker lost: said goodbye", "1 dispatched attempt 2 at b", "1 replied attempt 2 at b",
			},
		},
		"worker lost": {
			run: func(t *testing.T, h *hub) {
				w := h.peer()
				w.works("plain")
				p := h.peer()
				p.sendFrames(observeRequest(1, "plain", "do", ""))
				w.handed()
				require.NoError(t, w.conn.Close())
				require.Equal(t, mesh.CodeWorkerLost, p.refused())
			},
			want: []string{
				"1 received", "1 dispatched attempt 1",
				"1 failed attempt 1 (" + mesh.CodeWorkerLost.String() + "): the worker was lost while it had the request: transport: closed by peer",
			},
		},
		"quarantined": {
			run: func(t *testing.T, h *hub) {
				gate := hubGated("gate", "w", mesh.Idempotent(), mesh.Attempts(2))
				a := h.worker(mesh.WorkerConfig{Instance: "a"}, gate.service)
				call := hubCall(t.Context(), h.client(), "gate.pass", `{}`)
				<-gate.inside
				require.Error(t, a.Shutdown(hubOver()))
				b := h.worker(mesh.WorkerConfig{Instance: "b"}, gate.service)
				<-gate.inside
				require.Error(t, b.Shutdown(hubOver()))
				require.ErrorIs(t, (<-call).err, mesh.ErrQuarantined)
			},
			want: []string{
				"1 received", "1 dispatched attempt 1 at a", "1 requeued attempt 1 at a: worker lost: said goodbye",
				"1 dispatched attempt 2 at b",
				"1 quarantined attempt 2 at b (" + mesh.CodeQuarantined.String() + "): ",
			},
		},
		"partial": {
			run: func(_ *testing.T, h *hub) {
				w := h.peer()
				w.works("plain")
				p := h.peer()
				p.sendFrames(observeRequest(1, "plain", "do", ""))
				address := w.handed().Address
				w.replies(mdp.WorkerPartial, address, "one")
				w.replies(mdp.WorkerPartial, address, "two")
				w.replies(mdp.WorkerFinal, address, "three")
			},
			want: []string{"1 received", "1 dispatched attempt 1", "1 partial attempt 1", "1 partial attempt 1", "1 replied attempt 1"},
		},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			test.run(t, h)
			synctest.Wait()
			got := observeSay(h.events.list())
			require.Len(t, got, len(test.want), "%q", got)
			for i := range got {
				require.Contains(t, got[i], test.want[i], "%q", got)
			}
		})
	}
}

// What an event of a request says, member by member.
func TestObserveDetails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		start := time.Now()
		w, p := h.peerOver(h.net.As("worker's name")), h.peerOver(h.net.As("caller's name"))
		w.works("plain")
		<-time.After(time.Second)
		request := observeRequest(7, "plain", "do", `,"meta":{"traceparent":"00-1-2-03","caller":"ada"}`)
		p.sendFrames(request)
		address := w.handed().Address
		partial, final := []byte("part"), []byte(`{"jsonrpc":"2.0","id":7,"error":{"code":1234,"message":"no tea"}}`)
		w.send(mdp.Command{Version: mdp.V02, Kind: mdp.WorkerPartial, Address: address, Body: [][]byte{partial}})
		w.send(mdp.Command{Version: mdp.V02, Kind: mdp.WorkerFinal, Address: address, Body: [][]byte{final}})

		events := h.events.list(mesh.EventReceived, mesh.EventDispatched, mesh.EventPartial, mesh.EventFailed)
		require.Len(t, events, 4)
		for _, ev := range events {
			require.Equal(t, uint64(1), ev.Request)
			require.Equal(t, time.Second, ev.Time.Sub(start))
			require.Equal(t, "plain", ev.Service)
			require.Equal(t, "plain.do", string(ev.Method))
			require.Equal(t, "7", string(ev.ID))
			require.Equal(t, "00-1-2-03", string(ev.TraceParent))
			require.Equal(t, "caller's name", ev.Caller)
			require.Equal(t, "ada", string(ev.Claimed))
			require.Empty(t, ev.Instance, "a plain worker doesn't register")
		}
		require.Empty(t, events[0].Worker)
		require.Zero(t, events[0].Attempt)
		for _, ev := range events[1:] {
			require.Equal(t, "worker's name", ev.Worker)
			require.Equal(t, 1, ev.Attempt)
		}
		require.Equal(t, mesh.Code(1234), events[3].Code)
		require.Nil(t, events[1].Body)
		// Nothing was copied on the way.
		for i, sent := range map[int][]byte{0: request[3], 2: partial, 3: final} {
			require.Len(t, events[i].Body, 1)
			require.Same(t, &sent[0], &events[i].Body[0][0])
			require.Equal(t, sent, events[i].Body[0])
		}
		require.Same(t, &request[3][22], &events[0].ID[0], "also what was read of the envelope")
	})
}

func TestObserveWorkersAndServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Heartbeat: mesh.Heartbeat{Interval: time.Second}})
		h.worker(mesh.WorkerConfig{Instance: "stays"}, mesh.NewService("tea"))
		polite := h.worker(mesh.WorkerConfig{Instance: "polite"}, mesh.NewService("tea"), mesh.NewService("milk"))
		require.NoError(t, polite.Shutdown(t.Context()))
		silent := h.peer()
		silent.works("silence")
		<-time.After(10 * time.Second)
		cut := h.peer()
		cut.works("cut")
		require.NoError(t, cut.conn.Close())
		rude := h.peer()
		rude.works("rude")
		rude.works("rude")
		synctest.Wait()
		require.NoError(t, h.broker.Shutdown(t.Context()))
		var got []string
		for _, ev := range h.events.list() {
			require.Zero(t, ev.Request)
			got = append(got, fmt.Sprintf("%s %s %s %s", ev.Kind, ev.Service, ev.Instance, ev.Reason))
		}
		require.Equal(t, []string{
			"service appeared tea stays ", "worker joined tea stays ",
			"service appeared milk polite ", "worker joined tea polite ", "worker joined milk polite ",
			"worker left tea polite said goodbye", "worker left milk polite said goodbye", "service gone milk polite ",
			"service appeared silence  ", "worker joined silence  ", "worker left silence  heartbeats lost", "service gone silence  ",
			"service appeared cut  ", "worker joined cut  ", "worker left cut  transport: closed by peer", "service gone cut  ",
			"service appeared rude  ", "worker joined rude  ", "worker left rude  protocol violated: second READY", "service gone rude  ",
			"worker left tea stays broker drained", "service gone tea stays ",
		}, got)
	})
}

// Every batch comes in order and never two at a time, whoever's message made it; the
// broker has acted on what is told.
func TestObserveInOrder(t *testing.T) {
	t.Parallel()
	const callers, each = 16, 200
	var (
		inside atomic.Int32
		both   atomic.Bool
		last   time.Time
		next   = make(map[uint64]mesh.EventKind)
		wrong  []string
		b      *mesh.Broker
		behind atomic.Int64 // replies that were told before the broker had counted them
		told   uint64
	)
	observe := func(batch []mesh.Event) {
		if inside.Add(1) > 1 {
			both.Store(true)
		}
		defer inside.Add(-1)
		for i := range batch {
			ev := &batch[i]
			if ev.Time.Before(last) {
				wrong = append(wrong, "time goes back")
			}
			last = ev.Time
			switch ev.Kind {
			case mesh.EventReceived:
				if ev.Request != uint64(len(next))+1 {
					wrong = append(wrong, fmt.Sprintf("request %d received after %d others", ev.Request, len(next)))
				}
				next[ev.Request] = ev.Kind
			case mesh.EventQueued, mesh.EventDispatched, mesh.EventReplied:
				if next[ev.Request] >= ev.Kind {
					wrong = append(wrong, fmt.Sprintf("request %d: %s after %s", ev.Request, ev.Kind, next[ev.Request]))
				}
				next[ev.Request] = ev.Kind
				if ev.Kind == mesh.EventReplied {
					told++
				}
			}
		}
		// The observer may ask the broker.
		s, err := b.Snapshot(context.Background())
		if err != nil || s.Counts.Replied < told {
			behind.Add(1)
		}
	}
	b, err := mesh.NewBroker(mesh.BrokerConfig{Observe: observe})
	require.NoError(t, err)
	h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog), broker: b}
	served := make(chan error, 1)
	go func() { served <- b.Serve(context.Background(), h.listen(hubAddr)) }()
	w := h.worker(mesh.WorkerConfig{Capacity: 4}, hubEcho())
	errs := make(chan error, callers)
	for range callers {
		c := h.client()
		go func() {
			for range each {
				if _, err := c.CallRaw(context.Background(), "echo.say", nil); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		require.NoError(t, <-errs)
	}
	require.NoError(t, w.Shutdown(context.Background()))
	require.NoError(t, b.Shutdown(context.Background()))
	require.NoError(t, <-served)
	require.False(t, both.Load(), "two batches at the same time")
	require.Empty(t, wrong)
	require.Zero(t, behind.Load())
	require.EqualValues(t, callers*each, told, "when the broker has ended, everything was told")
	require.Len(t, next, callers*each)
}

// An observer that is slow holds up those who make events, once very many wait;
// others are still served, and everything is told in the end.
func TestObserveSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bound = 1 << 16
		entered, release := make(chan struct{}, 1), make(chan struct{})
		var received atomic.Int64
		h := hubStart(t, mesh.BrokerConfig{NoWorkerWait: time.Nanosecond, Observe: func(batch []mesh.Event) {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-release
			for i := range batch {
				if batch[i].Kind == mesh.EventReceived {
					received.Add(1)
				}
			}
		}})
		<-time.After(time.Second)
		// Whoever makes events when nobody is told any tells them itself, so the first
		// is held up at once.
		first, flooder, other := h.peer(), h.peer(), h.peer()
		synctest.Wait() // all are accepted
		var sent atomic.Int64
		stop := make(chan struct{})
		var senders sync.WaitGroup
		ask := func(p *hubPeer, n int64) bool {
			for range n {
				if p.conn.Send(observeRequest(1, "none", "do", "")) != nil {
					return false
				}
			}
			sent.Add(n)
			p.conn.Flush()
			return true
		}
		senders.Go(func() { ask(first, 1) })
		<-entered
		senders.Go(func() {
			for ask(flooder, 200) {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		synctest.Wait() // it goes on until it is held up
		// Each request has two events: received and failed.
		require.InDelta(t, bound/2, sent.Load(), 1000)
		require.Zero(t, received.Load())

		senders.Go(func() { ask(other, 1) })
		require.Equal(t, mesh.CodeNoService, other.refused(), "the broker goes on")
		s := h.snapshot()
		require.EqualValues(t, sent.Load(), s.Counts.Received)

		close(stop)
		close(release)
		senders.Wait()
		require.NoError(t, h.broker.Shutdown(t.Context()))
		require.Equal(t, sent.Load(), received.Load())
	})
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	// start starts a broker that nobody observes.
	start := func(t *testing.T) *hub {
		t.Helper()
		h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog), served: make(chan error, 1), broker: hubBroker(t, mesh.BrokerConfig{NoWorkerWait: time.Nanosecond})}
		go func() { h.served <- h.broker.Serve(context.Background(), h.listen(hubAddr)) }()
		t.Cleanup(func() { _ = h.broker.Shutdown(hubOver()) })
		<-time.After(time.Second)
		return h
	}
	// ask makes two events.
	ask := func(h *hub) {
		h.t.Helper()
		p := h.peer()
		p.sendFrames(observeRequest(1, "none", "do", ""))
		require.Equal(h.t, mesh.CodeNoService, p.refused())
	}
	hubRun(t, "without Observe", func(t *testing.T) {
		h := start(t)
		ask(h)
		s := h.broker.Subscribe(0)
		ask(h)
		require.Equal(t, mesh.EventReceived, (<-s.Events()).Kind)
		ev := <-s.Events()
		require.Equal(t, mesh.EventFailed, ev.Kind)
		require.Equal(t, uint64(2), ev.Request, "what was before isn't told")
		require.Empty(t, s.Events())
		require.Zero(t, s.Lost())
		s.Close()
		ask(h)
		_, open := <-s.Events()
		require.False(t, open)
		s.Close()
	})
	hubRun(t, "before Serve", func(t *testing.T) {
		b := hubBroker(t, mesh.BrokerConfig{})
		s := b.Subscribe(0)
		h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog), broker: b}
		l := h.listen(hubAddr)
		go func() { _ = b.Serve(context.Background(), l) }()
		h.worker(mesh.WorkerConfig{}, hubEcho())
		require.Equal(t, mesh.EventServiceAppeared, (<-s.Events()).Kind)
		require.NoError(t, b.Shutdown(t.Context()))
	})
	hubRun(t, "that nobody reads", func(t *testing.T) {
		h := start(t)
		all, few := h.broker.Subscribe(100), h.broker.Subscribe(3)
		for range 10 {
			ask(h)
		}
		require.Len(t, all.Events(), 20)
		require.Zero(t, all.Lost())
		require.Len(t, few.Events(), 3)
		require.EqualValues(t, 17, few.Lost())
		for range 3 { // the oldest are kept
			require.LessOrEqual(t, (<-few.Events()).Request, uint64(2))
		}
		ask(h)
		require.EqualValues(t, 11, (<-few.Events()).Request, "it goes on when there is room")
		require.EqualValues(t, 17, few.Lost())
		require.Equal(t, 1024, cap(h.broker.Subscribe(0).Events()))
		require.Equal(t, 1024, cap(h.broker.Subscribe(-5).Events()))
	})
	hubRun(t, "until the broker ends", func(t *testing.T) {
		h := start(t)
		s, other := h.broker.Subscribe(0), h.broker.Subscribe(1)
		ask(h)
		require.NoError(t, h.broker.Shutdown(t.Context()))
		var kinds []mesh.EventKind
		for ev := range s.Events() {
			kinds = append(kinds, ev.Kind)
		}
		require.Equal(t, []mesh.EventKind{mesh.EventReceived, mesh.EventFailed}, kinds, "what is there can still be read")
		<-other.Events()
		_, open := <-other.Events()
		require.False(t, open)
		s.Close()
		late := h.broker.Subscribe(0)
		_, open = <-late.Events()
		require.False(t, open)
		late.Close()
	})
	hubRun(t, "and closed by the reader in its loop", func(t *testing.T) {
		h := start(t)
		s := h.broker.Subscribe(0)
		ask(h)
		ask(h)
		n := 0
		for range s.Events() {
			n++
			s.Close()
		}
		require.Equal(t, 4, n, "what the buffer holds can still be read")
	})
	hubRun(t, "next to an observer", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{NoWorkerWait: time.Nanosecond})
		<-time.After(time.Second)
		s := h.broker.Subscribe(0)
		ask(h)
		s.Close()
		ask(h)
		require.Len(t, s.Events(), 2)
		require.Len(t, h.events.list(), 4, "the observer sees all")
	})
}

// Subscriptions come and go while the broker is busy.
func TestSubscribeConcurrently(t *testing.T) {
	t.Parallel()
	m := callStart(t, mesh.Config{}, hubEcho())
	stop := make(chan struct{})
	done := make(chan error, 4)
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if _, err := m.Client().CallRaw(context.Background(), "echo.say", json.RawMessage(`{}`)); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 2 {
		go func() {
			for range 200 {
				s := m.Broker().Subscribe(4)
				ev := <-s.Events()
				s.Close()
				if ev.Kind == 0 {
					done <- fmt.Errorf("closed too early")
					return
				}
			}
			done <- nil
		}()
	}
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	close(stop)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}
