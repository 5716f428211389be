package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// A handler has as much time as its caller has left, whatever the request took to
// reach it.
func TestHandlerTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		left := make(chan time.Duration, 2)
		h.worker(mesh.WorkerConfig{Capacity: 1}, mesh.NewService("tea").HandleRaw("brew",
			func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				deadline, ok := ctx.Deadline()
				if !ok {
					return nil, errors.New("no deadline")
				}
				left <- time.Until(deadline)
				<-time.After(3 * time.Second)
				return nil, nil
			}))
		c := h.client()
		first := hubCall(t.Context(), c, "tea.brew", `{}`, mesh.Timeout(10*time.Second))
		synctest.Wait()
		second := hubCall(t.Context(), c, "tea.brew", `{}`, mesh.Timeout(10*time.Second))
		require.NoError(t, (<-first).err)
		require.NoError(t, (<-second).err)
		require.Equal(t, 10*time.Second, <-left)
		require.Equal(t, 7*time.Second, <-left, "it was queued for 3 s")
	})
}

// A worker's Context is the parent of its handlers' contexts.
func TestHandlerParent(t *testing.T) {
	t.Parallel()
	type key struct{}
	errFire := errors.New("fire")
	for name, looks := range map[string]bool{"a handler that waits": true, "a handler that looks later": false} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			parent, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "value"))
			bounded, stop := context.WithTimeout(parent, 5*time.Second)
			defer stop()
			inside, outside := make(chan context.Context, 1), make(chan struct{})
			w := h.worker(mesh.WorkerConfig{Context: bounded}, mesh.NewService("tea").HandleRaw("brew",
				func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					if looks {
						ctx.Done()
					}
					inside <- ctx
					<-outside
					return nil, context.Cause(ctx)
				}))
			out := hubCall(t.Context(), h.client(), "tea.brew", `{}`, mesh.Timeout(time.Minute))
			ctx := <-inside
			require.Equal(t, "value", ctx.Value(key{}))
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.LessOrEqual(t, time.Until(deadline), 5*time.Second, "the parent's is the shorter one")
			require.NoError(t, ctx.Err())
			cancel(errFire)
			require.ErrorIs(t, w.Shutdown(hubOver()), context.Canceled)
			require.Equal(t, context.Canceled, ctx.Err())
			require.Equal(t, errFire, context.Cause(ctx), "that came first")
			<-ctx.Done()
			require.Equal(t, errFire, context.Cause(ctx))
			close(outside)
			require.ErrorIs(t, (<-out).err, mesh.ErrWorkerLost)
		})
	}
}

// However nobody waits for a handler any more, its context ends at once and says
// why.
func TestHandlerCancelled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   func(h *hub, w *hubWorker, c *mesh.Client, cancel context.CancelFunc)
		cause error
		other error // which it isn't
		sees  error // what the caller gets
	}{
		"by its caller": {
			func(_ *hub, _ *hubWorker, _ *mesh.Client, cancel context.CancelFunc) { cancel() },
			mesh.ErrCancelled, mesh.ErrClosed, mesh.ErrCancelled,
		},
		"by its caller's end": {
			func(_ *hub, _ *hubWorker, c *mesh.Client, _ context.CancelFunc) { _ = c.Close() },
			mesh.ErrCancelled, mesh.ErrBrokerLost, mesh.ErrClosed,
		},
		"by the loss of the broker": {
			func(h *hub, _ *hubWorker, _ *mesh.Client, _ context.CancelFunc) { _ = h.broker.Shutdown(hubOver()) },
			mesh.ErrBrokerLost, mesh.ErrClosed, mesh.ErrBrokerLost,
		},
		"by the end of the worker": {
			func(_ *hub, w *hubWorker, _ *mesh.Client, _ context.CancelFunc) { _ = w.Shutdown(hubOver()) },
			mesh.ErrClosed, mesh.ErrBrokerLost, mesh.ErrWorkerLost,
		},
	} {
		for how, waits := range map[string]bool{"which waits": true, "which looks": false} {
			hubRun(t, name+", "+how, func(t *testing.T) {
				h := hubStart(t, mesh.BrokerConfig{})
				inside, outside := make(chan context.Context, 1), make(chan struct{})
				w := h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew",
					func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
						inside <- ctx
						if waits {
							<-ctx.Done()
						} else {
							<-outside
						}
						return nil, nil
					}))
				client := h.client()
				calling, cancel := context.WithCancel(t.Context())
				defer cancel()
				start := time.Now()
				out := hubCall(calling, client, "tea.brew", `{}`)
				ctx := <-inside
				require.NoError(t, ctx.Err())
				require.NoError(t, context.Cause(ctx))
				c.end(h, w, client, cancel)
				require.ErrorIs(t, (<-out).err, c.sees)
				synctest.Wait()
				require.Equal(t, context.Canceled, ctx.Err())
				require.ErrorIs(t, context.Cause(ctx), c.cause)
				require.NotErrorIs(t, context.Cause(ctx), c.other)
				<-ctx.Done()
				require.Equal(t, context.Canceled, ctx.Err())
				require.ErrorIs(t, context.Cause(ctx), c.cause)
				require.Zero(t, time.Since(start))
				close(outside)
			})
		}
	}
}

// A context says the same whenever it is asked, and whether or not its Done was
// asked for before it ended.
func TestHandlerContextIsOfOneMind(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"Done before the end": true, "Done after the end": false} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			inside, outside := make(chan context.Context, 1), make(chan struct{})
			h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew",
				func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					if early {
						ctx.Done()
					}
					inside <- ctx
					<-outside
					return nil, nil
				}))
			out := hubCall(t.Context(), h.client(), "tea.brew", `{}`, mesh.Timeout(time.Second))
			ctx := <-inside
			require.ErrorIs(t, (<-out).err, mesh.ErrTimeout)
			<-time.After(10 * time.Millisecond)
			for range 3 {
				require.Equal(t, context.DeadlineExceeded, ctx.Err(), "the deadline came first, then the cancellation for its sake")
				require.Equal(t, context.DeadlineExceeded, context.Cause(ctx))
				<-ctx.Done()
			}
			outside <- struct{}{}
			synctest.Wait()
			require.Equal(t, context.DeadlineExceeded, ctx.Err(), "nor does the handler's return change it")

			// And one that is cancelled before its deadline stays so.
			calling, cancel := context.WithCancel(t.Context())
			out = hubCall(calling, h.client(), "tea.brew", `{}`, mesh.Timeout(time.Second))
			ctx = <-inside
			cancel()
			require.ErrorIs(t, (<-out).err, mesh.ErrCancelled)
			<-time.After(time.Minute)
			for range 3 {
				require.Equal(t, context.Canceled, ctx.Err())
				require.ErrorIs(t, context.Cause(ctx), mesh.ErrCancelled)
				<-ctx.Done()
			}
			outside <- struct{}{}
		})
	}
}

// Contexts that are kept after the handler's return are over, go on saying what
// they said, and aren't another request's.
func TestHandlerContextKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		kept := make(chan context.Context, 1)
		h.worker(mesh.WorkerConfig{Capacity: 1}, mesh.NewService("tea").HandleRaw("brew",
			func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				kept <- ctx
				return nil, nil
			}))
		c := h.client()
		var all []context.Context
		for i := range 20 {
			calling := mesh.WithStrings(t.Context(), map[string]string{"n": fmt.Sprint(i)})
			require.NoError(t, callLast(c.CallRaw(calling, "tea.brew", nil)))
			ctx := <-kept
			if i%2 == 0 {
				require.Equal(t, context.Canceled, ctx.Err())
			}
			all = append(all, ctx)
		}
		for i, ctx := range all {
			r, ok := mesh.RequestFrom(ctx)
			require.True(t, ok)
			require.Equal(t, fmt.Sprint(i), r.Strings["n"])
			require.Equal(t, context.Canceled, ctx.Err())
			require.Equal(t, context.Canceled, context.Cause(ctx))
			<-ctx.Done()
			child, cancel := context.WithTimeout(ctx, time.Hour)
			require.Equal(t, context.Canceled, child.Err())
			cancel()
			require.ErrorIs(t, callLast(c.CallRaw(ctx, "tea.brew", nil)), mesh.ErrCancelled)
		}
	})
}

func TestHandlerRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		seen := make(chan *mesh.Request, 1)
		see := func(ctx context.Context) {
			r, ok := mesh.RequestFrom(context.WithoutCancel(ctx)) // of a context that comes from it, too
			if !ok {
				r = nil
			}
			seen <- r
		}
		h.worker(mesh.WorkerConfig{}, mesh.NewService("shop.tea").
			HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				see(ctx)
				return nil, nil
			}).
			HandleOpaque(func(ctx context.Context, body [][]byte) ([][]byte, error) {
				see(ctx)
				return body, nil
			}))
		till := h.clientOf(mesh.ClientConfig{Transport: h.net.As("till"), Name: "somebody else"})
		nobody := h.client()

		ctx := mesh.WithTrace(t.Context(), "00-trace-01", "vendor=1")
		ctx = mesh.WithStrings(ctx, map[string]string{"table": "7", "key": "not the key"})
		ctx = mesh.WithStrings(ctx, map[string]string{"room": "garden"})
		require.NoError(t, callLast(till.CallRaw(ctx, "shop.tea.brew", nil, mesh.Key("order-1"))))
		require.Equal(t, &mesh.Request{
			Service: "shop.tea", Method: "brew", Caller: "till", Claimed: "somebody else", Attempt: 1, Key: "order-1",
			TraceParent: "00-trace-01", TraceState: "vendor=1", Strings: map[string]string{"table": "7", "room": "garden"},
		}, <-seen)

		require.NoError(t, callLast(nobody.CallRaw(t.Context(), "shop.tea.brew", nil)))
		require.Equal(t, &mesh.Request{Service: "shop.tea", Method: "brew", Attempt: 1}, <-seen)

		require.NoError(t, callLast(till.Request(t.Context(), "shop.tea", [][]byte{{1}})))
		require.Equal(t, &mesh.Request{Service: "shop.tea", Caller: "till", Attempt: 1}, <-seen)

		_, ok := mesh.RequestFrom(t.Context())
		require.False(t, ok)
	})
}

// Calls that a handler makes with its context carry on its caller's time, trace,
// strings and cancellation.
func TestHandlerCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		type seen struct {
			request  *mesh.Request
			deadline time.Duration
		}
		saw, cancelled := make(chan seen, 1), make(chan error, 1)
		h.worker(mesh.WorkerConfig{}, mesh.NewService("kitchen").
			HandleRaw("boil", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				r, _ := mesh.RequestFrom(ctx)
				deadline, _ := ctx.Deadline()
				saw <- seen{r, time.Until(deadline)}
				return nil, nil
			}).
			HandleRaw("wait", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				<-ctx.Done()
				cancelled <- context.Cause(ctx)
				return nil, nil
			}))
		inner := h.clientOf(mesh.ClientConfig{Transport: h.net.As("till")})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew",
			func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
				<-time.After(2 * time.Second)
				var in struct{ Then string }
				if err := json.Unmarshal(params, &in); err != nil {
					return nil, err
				}
				if in.Then == "add" {
					ctx = mesh.WithStrings(ctx, map[string]string{"room": "garden"})
				}
				return inner.CallRaw(ctx, "kitchen."+map[bool]string{true: "boil", false: "wait"}[in.Then != "wait"], nil)
			}))
		c := h.client()
		ctx := mesh.WithTrace(mesh.WithStrings(t.Context(), map[string]string{"table": "7"}), "00-trace-01", "vendor=1")
		require.NoError(t, callLast(c.CallRaw(ctx, "tea.brew", json.RawMessage(`{"then":"boil"}`), mesh.Timeout(5*time.Second), mesh.Key("k"))))
		got := <-saw
		require.Equal(t, 3*time.Second, got.deadline)
		require.Equal(t, &mesh.Request{
			Service: "kitchen", Method: "boil", Caller: "till", Attempt: 1,
			TraceParent: "00-trace-01", TraceState: "vendor=1", Strings: map[string]string{"table": "7"},
		}, got.request, "the key is the call's own")

		require.NoError(t, callLast(c.CallRaw(ctx, "tea.brew", json.RawMessage(`{"then":"add"}`))))
		got = <-saw
		require.Equal(t, "00-trace-01", got.request.TraceParent)
		require.Equal(t, map[string]string{"table": "7", "room": "garden"}, got.request.Strings)

		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(3*time.Second, cancel)
		start := time.Now()
		require.ErrorIs(t, callLast(c.CallRaw(ctx, "tea.brew", json.RawMessage(`{"then":"wait"}`))), mesh.ErrCancelled)
		require.ErrorIs(t, <-cancelled, mesh.ErrCancelled)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// boomError is an error whose methods panic where it is nil.
type boomError struct{ text string }

func (e *boomError) Error() string { return e.text }

// handlerText is no text.
const handlerText = "a\xffb\x00\n"

func handlerWrites(m map[int]int) { m[1] = 1 }

func handlerPanics(v any) (json.RawMessage, error) { panic(v) }

// Whatever a handler does to end itself, its caller hears of it at once, the log
// says where it was, and the worker serves on.
func TestHandlerBreaks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle func() (json.RawMessage, error)
		code   mesh.Code
		text   string   // what the caller is told
		log    []string // what the log says
	}{
		"panic": {
			func() (json.RawMessage, error) { panic("the secret pot") }, mesh.CodeInternal,
			"the handler panicked", []string{"handler panicked", "the secret pot", "TestHandlerBreaks", "method=brew"},
		},
		"panic with an error": {
			func() (json.RawMessage, error) { panic(errors.New("the secret pot")) }, mesh.CodeInternal,
			"the handler panicked", []string{"the secret pot", "TestHandlerBreaks"},
		},
		"panic of the runtime": {
			func() (json.RawMessage, error) { handlerWrites(nil); return nil, nil }, mesh.CodeInternal,
			"the handler panicked", []string{"nil map"},
		},
		"panic(nil)": {
			func() (json.RawMessage, error) { return handlerPanics(nil) }, mesh.CodeInternal,
			"the handler panicked", []string{"handler panicked"},
		},
		"Goexit": {
			func() (json.RawMessage, error) { runtime.Goexit(); return nil, nil }, mesh.CodeInternal,
			"the handler ended its goroutine", []string{"handler ended its goroutine", "method=brew"},
		},
		"a nil pointer as an error": {
			func() (json.RawMessage, error) { var e *boomError; return nil, e }, mesh.CodeInternal,
			"error can't be written", []string{"*mesh_test.boomError"},
		},
		"a nil mesh.Error": {
			func() (json.RawMessage, error) { var e *mesh.Error; return nil, e }, mesh.CodeInternal,
			"error can't be written", []string{"*mesh.Error"},
		},
		"a result that is no JSON": {
			func() (json.RawMessage, error) { return json.RawMessage(`{"a":`), nil }, mesh.CodeInternal,
			"the result is no JSON", nil,
		},
		"a result that would be more than that": {
			func() (json.RawMessage, error) { return json.RawMessage(`1,"id":2`), nil }, mesh.CodeInternal,
			"the result is no JSON", nil,
		},
		"an error with data that is no JSON": {
			func() (json.RawMessage, error) {
				return nil, &mesh.Error{Code: 7, Message: "seven", Data: json.RawMessage("{")}
			}, 7, "seven", nil,
		},
		"an error that means something else to brokers": {
			func() (json.RawMessage, error) { return nil, mesh.Errorf(mesh.CodeNotStarted, "not yet") }, mesh.CodeUnknown,
			"not yet", nil,
		},
		"text that is no UTF-8": {
			func() (json.RawMessage, error) { return nil, errors.New(handlerText) }, mesh.CodeUnknown, "a", nil,
		},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			log := new(hubLog)
			w := h.worker(mesh.WorkerConfig{Logger: log.logger(), Capacity: 2}, mesh.NewService("tea").
				HandleRaw("brew", func(context.Context, json.RawMessage) (json.RawMessage, error) { return c.handle() }).
				HandleRaw("echo", callEcho))
			client := h.client()
			start := time.Now()
			for range 5 { // more often than the worker has room
				_, err := client.CallRaw(t.Context(), "tea.brew", json.RawMessage(`["secret parameters"]`))
				e := callError(t, err)
				require.Equal(t, c.code, e.Code)
				require.False(t, e.Local)
				require.True(t, e.HandedOver)
				require.ErrorContains(t, err, c.text)
				require.NotContains(t, err.Error(), "secret")
			}
			require.NoError(t, callLast(client.CallRaw(t.Context(), "tea.echo", nil)))
			require.NoError(t, client.Notify(t.Context(), "tea.brew", nil))
			synctest.Wait()
			require.Zero(t, time.Since(start))
			for _, text := range c.log {
				require.Contains(t, log.String(), text)
			}
			require.NotContains(t, log.String(), "secret parameters")
			s := h.snapshot()
			require.Zero(t, s.Workers[0].Running, "nothing is still taken for running")
			require.Zero(t, s.Counts.Requeued)
			require.NoError(t, w.Shutdown(t.Context()))
			require.NoError(t, <-w.ran)
		})
	}
}

func TestHandlerOpaque(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		log := new(hubLog)
		w := h.worker(mesh.WorkerConfig{Logger: log.logger(), Capacity: 2},
			mesh.NewService("tea").HandleRaw("brew", callEcho).HandleOpaque(func(_ context.Context, body [][]byte) ([][]byte, error) {
				switch string(body[0]) {
				case "fail":
					return hubFrames("not this"), errors.New("out of tea")
				case "panic":
					panic("the pot broke")
				case "exit":
					runtime.Goexit()
				case "nothing":
					return nil, nil
				}
				return append(hubFrames("echo"), body...), nil
			}),
			mesh.NewService("till").HandleRaw("open", callEcho))
		c := h.client()
		start := time.Now()
		for body, want := range map[string][][]byte{
			"fail": {{}}, "panic": {{}}, "exit": {{}}, "nothing": {{}}, "": hubFrames("echo", ""), "hello": hubFrames("echo", "hello"),
			`{"method":"tea.brew"}`: hubFrames("echo", `{"method":"tea.brew"}`),
		} {
			for range 3 {
				reply, err := c.Request(t.Context(), "tea", hubFrames(body))
				require.NoError(t, err)
				require.Equal(t, want, reply, "%q", body)
			}
		}
		reply, err := c.Request(t.Context(), "tea", hubFrames("a", "", "c"))
		require.NoError(t, err)
		require.Equal(t, hubFrames("echo", "a", "", "c"), reply)
		for _, text := range []string{"out of tea", "the pot broke", "handler ended its goroutine"} {
			require.Contains(t, log.String(), text)
		}
		reply, err = c.Request(t.Context(), "till", hubFrames("hello"))
		require.NoError(t, err)
		require.Len(t, reply, 1)
		require.Contains(t, string(reply[0]), "the service takes JSON-RPC 2.0 only")
		require.NoError(t, callLast(c.CallRaw(t.Context(), "tea.brew", nil)), "calls are served beside")
		require.NoError(t, w.Shutdown(t.Context()))
		require.Zero(t, time.Since(start))
	})
}

func TestHandlerUnknownMethod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho(), mesh.NewService("opaque").HandleOpaque(
			func(_ context.Context, body [][]byte) ([][]byte, error) { return body, nil }))
		c := h.client()
		for _, method := range []string{"echo.sing", "echo.Say", "opaque.say"} {
			_, err := c.CallRaw(t.Context(), method, nil)
			require.ErrorIs(t, err, mesh.ErrNoMethod)
			require.ErrorContains(t, err, method)
			require.False(t, callError(t, err).Local)
		}
	})
}

// What becomes of a request whose worker is lost depends on its method.
func TestHandlerLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []mesh.MethodOption
		kill    int // how many workers die of it
		want    error
		attempt int // of the last run
	}{
		"not idempotent":               {nil, 1, mesh.ErrWorkerLost, 1},
		"idempotent":                   {[]mesh.MethodOption{mesh.Idempotent()}, 1, nil, 2},
		"idempotent, twice":            {[]mesh.MethodOption{mesh.Idempotent()}, 2, nil, 3},
		"idempotent, too often":        {[]mesh.MethodOption{mesh.Idempotent()}, 3, mesh.ErrQuarantined, 3},
		"idempotent, with one attempt": {[]mesh.MethodOption{mesh.Idempotent(), mesh.Attempts(1)}, 1, mesh.ErrQuarantined, 1},
		"attempts alone":               {[]mesh.MethodOption{mesh.Attempts(3)}, 1, mesh.ErrWorkerLost, 1},
	} {
		hubRun(t, name, func(t *testing.T) {
			m := meshtest.New(t)
			inside, open := make(chan string, 4), make(chan struct{})
			serve := func(worker string) {
				m.AddWorker(mesh.WorkerConfig{Instance: worker}, mesh.NewService("tea").HandleRaw("brew",
					func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
						r, _ := mesh.RequestFrom(ctx)
						inside <- worker
						select {
						case <-open:
							return json.Marshal(r.Attempt)
						case <-ctx.Done():
							return nil, context.Cause(ctx)
						}
					}, c.options...))
			}
			for i := range 4 {
				serve(fmt.Sprintf("kettle-%d", i))
			}
			out := hubCall(t.Context(), m.Client(), "tea.brew", `{}`, mesh.NoRetry())
			for range c.kill {
				m.Kill(<-inside)
			}
			if c.want == nil {
				<-inside
			}
			close(open)
			got := <-out
			if c.want != nil {
				require.ErrorIs(t, got.err, c.want)
				require.True(t, callError(t, got.err).HandedOver)
				require.False(t, callError(t, got.err).Local)
			} else {
				require.NoError(t, got.err)
				require.Equal(t, fmt.Sprint(c.attempt), got.result)
			}
			require.Len(t, m.Calls("tea.brew"), c.attempt)
		})
	}
}

// A worker that loses its broker while handlers run goes on with another, within
// its capacity, and its old handlers' replies go nowhere.
func TestHandlerOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		first := hubStartOn(t, net, mesh.BrokerConfig{})
		release := make(chan struct{})
		w := first.worker(mesh.WorkerConfig{Capacity: 1, Brokers: []transport.Endpoint{hubEndpoint()}},
			mesh.NewService("tea").HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
				<-release // whatever its context says
				return params, nil
			}))
		out := hubCall(t.Context(), first.client(), "tea.brew", `["old"]`)
		synctest.Wait()
		require.ErrorIs(t, first.broker.Shutdown(hubOver()), context.Canceled)
		require.ErrorIs(t, (<-out).err, mesh.ErrBrokerLost)

		second := hubStartOn(t, net, mesh.BrokerConfig{})
		synctest.Wait()
		out = hubCall(t.Context(), second.client(), "tea.brew", `["new"]`)
		<-time.After(20 * time.Second)
		require.Empty(t, out, "the old handler has the only place")
		close(release)
		got := <-out
		require.NoError(t, got.err)
		require.JSONEq(t, `["new"]`, got.result)
		synctest.Wait()
		s := second.snapshot()
		require.Zero(t, s.Counts.Strays)
		require.Zero(t, s.Counts.Unexpected)
		require.NoError(t, w.Shutdown(t.Context()))
	})
}
