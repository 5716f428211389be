package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"strings"
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

// inlineWhere answers whether it runs on the goroutine of a call by inlineCall.
func inlineWhere(context.Context, json.RawMessage) (json.RawMessage, error) {
	if strings.Contains(string(debug.Stack()), "mesh_test.inlineCall(") {
		return json.RawMessage("true"), nil
	}
	return json.RawMessage("false"), nil
}

// inlineCall calls a method that answers as inlineWhere does.
//
//go:noinline
func inlineCall(ctx context.Context, t *testing.T, c *mesh.Client, method string) bool {
	t.Helper()
	var own bool
	require.NoError(t, c.Call(ctx, method, nil, &own))
	return own
}

// inlineConnect makes a first call, for which a client connects by another goroutine, and
// lets all that is done for it end.
func inlineConnect(t *testing.T, c *mesh.Client, method string) {
	t.Helper()
	require.NoError(t, callLast(c.CallRaw(t.Context(), method, nil)))
	synctest.Wait()
}

func TestInlineRunsOnTheCallersGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		m := callStart(t, mesh.Config{Transport: net}, mesh.NewService("where").
			HandleRaw("inline", inlineWhere, mesh.Inline()).HandleRaw("apart", inlineWhere))
		other := callClient(t, m, mesh.ClientConfig{})
		inlineConnect(t, m.Client(), "where.apart")
		inlineConnect(t, other, "where.apart")
		for range 20 {
			require.True(t, inlineCall(t.Context(), t, m.Client(), "where.inline"))
			require.True(t, inlineCall(t.Context(), t, other, "where.inline"))
			require.False(t, inlineCall(t.Context(), t, m.Client(), "where.apart"))
		}
		stranger := callDial(t, mesh.ClientConfig{Transport: net})
		inlineConnect(t, stranger, "where.apart")
		require.False(t, inlineCall(t.Context(), t, stranger, "where.inline"), "it isn't of the mesh")
		_, err := m.AddWorker(t.Context(), mesh.WorkerConfig{}, mesh.NewService("there").
			Handle(mesh.NewMethod[struct{}, bool]("there.inline", mesh.Inline()).With(func(ctx context.Context, _ struct{}) (own bool, err error) {
				raw, err := inlineWhere(ctx, nil)
				return string(raw) == "true", err
			})))
		require.NoError(t, err)
		require.True(t, inlineCall(t.Context(), t, m.Client(), "there.inline"))
	})
}

// Nothing of a call is different but where its handler runs.
func TestInlineIsACall(t *testing.T) {
	t.Parallel()
	errEmpty := errors.New("the pot is empty")
	codes := new(mesh.Errors)
	codes.Add(7, errEmpty)
	for _, options := range [][]mesh.MethodOption{nil, {mesh.Inline()}} {
		hubRun(t, fmt.Sprint(len(options)), func(t *testing.T) {
			var mu sync.Mutex
			var events []mesh.EventKind // guarded by mu
			log := new(hubLog)
			brew := mesh.NewMethod[callOrder, callCup]("tea.brew", options...)
			m := callStart(t, mesh.Config{
				Broker: mesh.BrokerConfig{Observe: func(batch []mesh.Event) {
					mu.Lock()
					defer mu.Unlock()
					for i := range batch {
						events = append(events, batch[i].Kind)
					}
				}},
				Worker: mesh.WorkerConfig{Errors: codes, Logger: log.logger()},
				Client: mesh.ClientConfig{Errors: codes, Name: "till"},
			}, mesh.NewService("tea").Handle(brew.With(func(ctx context.Context, o callOrder) (callCup, error) {
				r, _ := mesh.RequestFrom(ctx)
				switch o.Sugar {
				case 1:
					return callCup{}, errEmpty
				case 2:
					panic("the pot broke")
				}
				return callCup{r.Method + " for " + r.Claimed + r.Strings["table"]}, nil
			})).HandleRaw("echo", callEcho))
			inlineConnect(t, m.Client(), "tea.echo")
			mu.Lock()
			events = nil
			mu.Unlock()
			cup, err := brew.Call(mesh.WithStrings(t.Context(), map[string]string{"table": " 4"}), m.Client(), callOrder{Kind: "green"})
			require.NoError(t, err)
			require.Equal(t, "brew for till 4", cup.Text)
			_, err = brew.Call(t.Context(), m.Client(), callOrder{Kind: "green", Sugar: 1})
			require.ErrorIs(t, err, errEmpty)
			_, err = brew.Call(t.Context(), m.Client(), callOrder{Kind: "green", Sugar: 2})
			require.ErrorIs(t, err, mesh.ErrInternal)
			require.Contains(t, log.String(), "the pot broke")
			_, err = brew.Call(t.Context(), m.Client(), callOrder{Kind: "red"})
			require.ErrorIs(t, err, mesh.ErrInvalidParams)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			var all []mesh.EventKind
			for _, end := range []mesh.EventKind{mesh.EventReplied, mesh.EventFailed, mesh.EventFailed, mesh.EventFailed} {
				all = append(all, mesh.EventReceived, mesh.EventDispatched, end)
			}
			require.Equal(t, all, events)
		})
	}
}

// A handler that runs on its caller's goroutine may call others that do.
func TestInlineNested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var client *mesh.Client
		nested := 0
		down := func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
			left := []int{0}
			if string(params) != "{}" {
				if err := json.Unmarshal(params, &left); err != nil {
					return nil, err
				}
			}
			if left[0] == 0 {
				nested = inlineDepth()
				return json.RawMessage("0"), nil
			}
			var below int
			err := client.Call(ctx, "down.go", []int{left[0] - 1}, &below)
			return fmt.Append(nil, below+1), err
		}
		m := callStart(t, mesh.Config{}, mesh.NewService("down").HandleRaw("go", down, mesh.Inline()))
		client = m.Client()
		inlineConnect(t, client, "down.go")
		var depth int
		require.NoError(t, client.Call(t.Context(), "down.go", []int{20}, &depth))
		require.Equal(t, 20, depth)
		require.Equal(t, 21, nested)
	})
}

// inlineDepth returns how many handlers on the goroutines of their callers there are on
// this one.
func inlineDepth() int {
	depth, calls := 0, make([]uintptr, 10_000)
	for frames := runtime.CallersFrames(calls[:runtime.Callers(0, calls)]); ; {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "clientLink).look") {
			depth++
		}
		if !more {
			return depth
		}
	}
}

// A caller may hold a lock that the handler of another's call waits for.
func TestInlineRunsItsOwnOnly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	count := 0
	m := callStart(t, mesh.Config{}, mesh.NewService("tea").HandleRaw("plain", callEcho).HandleRaw("inline", callEcho, mesh.Inline()).
		HandleRaw("count", func(context.Context, json.RawMessage) (json.RawMessage, error) {
			mu.Lock()
			defer mu.Unlock()
			count++
			return nil, nil
		}, mesh.Inline()))
	const calls = 2000
	failed := make(chan error, 3)
	for _, method := range []string{"tea.plain", "tea.inline", "tea.count"} {
		go func() {
			var err error
			for range calls {
				locked := method != "tea.count"
				if locked {
					mu.Lock()
				}
				_, one := m.Client().CallRaw(t.Context(), method, nil)
				if locked {
					mu.Unlock()
				}
				err = errors.Join(err, one)
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		select {
		case err := <-failed:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			require.FailNow(t, "a caller that holds the lock runs the handler that waits for it")
		}
	}
	require.Equal(t, calls, count)
}

// What others ask for isn't run by a caller that happens to be there.
func TestInlineStrangers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		var stranger atomic.Pointer[mesh.Client]
		where := make(chan string, 2)
		m := callStart(t, mesh.Config{Transport: net, Broker: mesh.BrokerConfig{Observe: func(batch []mesh.Event) {
			for i := range batch { // on the goroutine of the caller, which hasn't looked for its task yet
				if c := stranger.Load(); c != nil && batch[i].Kind == mesh.EventDispatched && string(batch[i].Method) == "where.inline" {
					stranger.Store(nil)
					if err := c.Notify(context.Background(), "where.note", nil); err != nil {
						where <- err.Error()
					}
				}
			}
		}}}, mesh.NewService("where").HandleRaw("apart", callEcho).HandleRaw("inline", inlineWhere, mesh.Inline()).
			HandleRaw("note", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				own, err := inlineWhere(ctx, nil)
				where <- string(own)
				return nil, err
			}, mesh.Inline()))
		c := callDial(t, mesh.ClientConfig{Transport: net})
		inlineConnect(t, c, "where.apart")
		inlineConnect(t, m.Client(), "where.apart")
		stranger.Store(c)
		require.True(t, inlineCall(t.Context(), t, m.Client(), "where.inline"))
		require.Equal(t, "false", <-where)
	})
}

// A caller whose goroutine ends before it comes to its task leaves it to others.
func TestInlineCallerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := &inlineBroken{Transport: inproc.New(inproc.Config{})}
		ran := make(chan string, 1)
		m := callStart(t, mesh.Config{Transport: broken, Worker: mesh.WorkerConfig{Capacity: 1}}, mesh.NewService("where").HandleRaw("echo", callEcho, mesh.Inline()).
			HandleRaw("inline", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				own, err := inlineWhere(ctx, nil)
				ran <- string(own)
				return own, err
			}, mesh.Inline()))
		inlineConnect(t, m.Client(), "where.echo")
		broken.armed.Store(true)
		require.PanicsWithValue(t, "bad transport", func() { inlineCall(t.Context(), t, m.Client(), "where.inline") })
		require.Equal(t, "false", <-ran)
		synctest.Wait()
		require.Zero(t, m.Client().Snapshot().Pending)
		for range 3 {
			got, err := m.Client().CallRaw(t.Context(), "where.echo", json.RawMessage("[1]"))
			require.NoError(t, err)
			require.JSONEq(t, "[1]", string(got))
		}
	})
}

// inlineBroken is a transport one of whose connections panics once when it is armed.
type inlineBroken struct {
	transport.Transport
	armed atomic.Bool
}

func (b *inlineBroken) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	c, err := b.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return inlineBrokenConn{c, b}, nil
}

type inlineBrokenConn struct {
	transport.Conn
	of *inlineBroken
}

func (c inlineBrokenConn) Flush() {
	c.Conn.Flush()
	if c.of.armed.CompareAndSwap(true, false) {
		panic("bad transport")
	}
}

// A handler that ends its goroutine ends the caller's, and nothing else.
func TestInlineGoexit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exit := mesh.NewMethod[struct{}, int]("tea.go_exit", mesh.Inline())
		m := callStart(t, mesh.Config{Worker: mesh.WorkerConfig{Capacity: 2}}, mesh.NewService("tea").
			HandleRaw("exit", func(context.Context, json.RawMessage) (json.RawMessage, error) { runtime.Goexit(); return nil, nil }, mesh.Inline()).
			HandleRaw("echo", callEcho, mesh.Inline()).
			Handle(exit.With(func(context.Context, struct{}) (int, error) { runtime.Goexit(); return 7, nil })))
		inlineConnect(t, m.Client(), "tea.echo")
		for range 10 { // more often than the worker has room
			returned := false
			var caller sync.WaitGroup
			caller.Go(func() {
				_, _ = m.Client().CallRaw(t.Context(), "tea.exit", nil)
				returned = true
			})
			caller.Wait()
			require.False(t, returned)
			got, err := m.Client().CallRaw(t.Context(), "tea.echo", json.RawMessage("[1]"))
			require.NoError(t, err)
			require.JSONEq(t, "[1]", string(got))
		}
		_, err := exit.Go(t.Context(), m.Client(), struct{}{}).Wait()
		require.ErrorIs(t, err, mesh.ErrInternal)
		s, err := m.Broker().Snapshot(t.Context())
		require.NoError(t, err)
		require.Zero(t, s.Workers[0].Running, "nothing is still taken for running")
	})
}

// Whoever doesn't wait for a reply runs nothing.
func TestInlineNotification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn, ran := make(chan struct{}), make(chan struct{})
		m := callStart(t, mesh.Config{}, mesh.NewService("tea").HandleRaw("brew", func(context.Context, json.RawMessage) (json.RawMessage, error) {
			<-goOn
			close(ran)
			return nil, nil
		}, mesh.Inline()).HandleRaw("echo", callEcho))
		inlineConnect(t, m.Client(), "tea.echo")
		require.NoError(t, m.Client().Notify(t.Context(), "tea.brew", nil))
		close(goOn)
		<-ran
	})
}

// The caller's time passes while it runs a handler, which hears of it; the caller
// gets its outcome once the handler has returned.
func TestInlineDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := callStart(t, mesh.Config{}, mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			<-ctx.Done()
			<-time.After(time.Second) // so that it can be told from the deadline
			return nil, ctx.Err()
		}, mesh.Inline()).HandleRaw("echo", callEcho, mesh.Inline()))
		inlineConnect(t, m.Client(), "tea.echo")
		start := time.Now()
		_, err := m.Client().CallRaw(t.Context(), "tea.brew", nil, mesh.Timeout(time.Second))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = m.Client().CallRaw(ctx, "tea.brew", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, callLast(m.Client().CallRaw(t.Context(), "tea.echo", nil)))
	})
}

func TestInlineStreams(t *testing.T) {
	t.Parallel()
	methodPanics(t, "can't be inline", func() { mesh.NewStream[struct{}, int]("tea.pour", mesh.Inline()) })
	methodPanics(t, "can't be inline", func() {
		mesh.NewService("tea").HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] { return nil }, mesh.Inline())
	})
}

// Many callers, of all kinds of methods at once: each gets its own outcome, and no task
// is left behind.
func TestInlineCrowd(t *testing.T) {
	t.Parallel()
	const callers, calls = 64, 200
	var notified atomic.Int64
	numbers := func(_ context.Context, params json.RawMessage) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for range 3 {
				if !yield(params, nil) {
					return
				}
			}
		}
	}
	var client *mesh.Client
	service := func(name string) *mesh.Service {
		return mesh.NewService(name).HandleRaw("inline", callEcho, mesh.Inline()).HandleRaw("apart", callEcho).HandleRawStream("stream", numbers).
			HandleRaw("note", func(context.Context, json.RawMessage) (json.RawMessage, error) { notified.Add(1); return nil, nil }, mesh.Inline()).
			HandleRaw("nested", func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
				return client.CallRaw(ctx, name+".inline", params)
			}, mesh.Inline())
	}
	m := callStart(t, mesh.Config{Worker: mesh.WorkerConfig{Capacity: callers}}, service("a"), service("b"))
	client = m.Client()
	_, err := m.AddWorker(t.Context(), mesh.WorkerConfig{Capacity: 3}, service("a"))
	require.NoError(t, err)
	var all sync.WaitGroup
	failed := make(chan error, callers)
	for i := range callers {
		all.Go(func() {
			for j := range calls {
				params := fmt.Appendf(nil, "[%d,%d]", i, j)
				name := [...]string{"a.", "b."}[j%2]
				var got []json.RawMessage
				var one json.RawMessage
				var err error
				switch method := [...]string{"inline", "apart", "nested", "stream", "note"}[(i+j)%5]; method {
				case "stream":
					got, err = callCollect(client.StreamRaw(t.Context(), name+method, params))
				case "note":
					err = client.Notify(t.Context(), name+method, json.RawMessage(params))
				default:
					one, err = client.CallRaw(t.Context(), name+method, params)
					got = append(got, one)
				}
				for _, value := range got {
					if string(value) != string(params) {
						err = errors.Join(err, fmt.Errorf("%s instead of %s", value, params))
					}
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.NoError(t, m.Stop(t.Context()))
	require.EqualValues(t, callers*calls/5, notified.Load())
}

// A task may come before its caller looks for it, or when that has done so.
func TestInlineOverAnotherTransport(t *testing.T) {
	t.Parallel()
	m := callStart(t, mesh.Config{Transport: inlineRelay{inproc.New(inproc.Config{})}}, mesh.NewService("where").HandleRaw("inline", inlineWhere, mesh.Inline()))
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 200 {
				inlineCall(t.Context(), t, m.Client(), "where.inline")
			}
		})
	}
	callers.Wait()
}

// inlineRelay is a transport whose connections flush on goroutines of their own.
type inlineRelay struct{ transport.Transport }

func (r inlineRelay) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	c, err := r.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return inlineRelayed{c}, nil
}

type inlineRelayed struct{ transport.Conn }

func (c inlineRelayed) Flush() { go c.Conn.Flush() }
