package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
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

func TestClientCall(t *testing.T) {
	t.Parallel()
	echo := mesh.NewService("echo").
		HandleRaw("raw", callEcho).
		HandleRaw("nothing", func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, nil })
	c := callStart(t, mesh.Config{}, echo).Client()

	var got map[string]int
	require.NoError(t, c.Call(t.Context(), "echo.raw", map[string]int{"n": 3}, &got))
	require.Equal(t, map[string]int{"n": 3}, got)

	require.NoError(t, c.Call(t.Context(), "echo.raw", []int{1, 2}, nil), "a result that nobody wants")

	for name, params := range map[string]any{
		"no parameters":   nil,
		"a nil pointer":   (*callOrder)(nil),
		"raw null":        json.RawMessage("null"),
		"no raw at all":   json.RawMessage(nil),
		"an empty object": struct{}{},
	} {
		got := json.RawMessage("untouched")
		require.NoError(t, c.Call(t.Context(), "echo.raw", params, &got), name)
		require.Equal(t, `{}`, string(got), name)
	}

	for _, params := range []string{`{"a":[1,{"b":null}]}`, `[]`, " {\n} ", `{"a":"é\u0000\ud83d\ude00"}`} {
		raw, err := c.CallRaw(t.Context(), "echo.raw", json.RawMessage(params))
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(params), string(raw), "raw parameters travel as they are")
	}

	raw, err := c.CallRaw(t.Context(), "echo.nothing", nil)
	require.NoError(t, err)
	require.Equal(t, "null", string(raw), "JSON-RPC has no reply without a result")
}

func TestClientCallsOfManyGoroutines(t *testing.T) {
	t.Parallel()
	const callers, each = 100, 50
	echo := mesh.NewService("echo").HandleRaw("raw", callEcho)
	c := callStart(t, mesh.Config{Worker: mesh.WorkerConfig{Capacity: 8}}, echo).Client()
	var g sync.WaitGroup
	errs := make(chan error, callers)
	for i := range callers {
		g.Go(func() {
			for j := range each {
				want := fmt.Sprintf(`{"caller":%d,"call":%d}`, i, j)
				got, err := c.CallRaw(t.Context(), "echo.raw", json.RawMessage(want))
				if err != nil || string(got) != want {
					errs <- fmt.Errorf("asked %s, got %s, %w", want, got, err)
					return
				}
			}
		})
	}
	g.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestClientBadNames(t *testing.T) {
	t.Parallel()
	c := callDial(t, mesh.ClientConfig{Transport: inproc.New(inproc.Config{})})
	for name, want := range map[string]error{
		"":                                 mesh.ErrNoMethod,
		"brew":                             mesh.ErrNoMethod,
		"tea.":                             mesh.ErrNoMethod,
		".brew":                            mesh.ErrNoMethod,
		"mmi.x.ping":                       mesh.ErrNoService,
		"te\na.brew":                       mesh.ErrNoService,
		strings.Repeat("x", 256) + ".brew": mesh.ErrNoService,
	} {
		for method, err := range map[string]error{
			"Call":      c.Call(t.Context(), name, nil, nil),
			"Notify":    c.Notify(t.Context(), name, nil),
			"CallRaw":   callLast(c.CallRaw(t.Context(), name, nil)),
			"StreamRaw": callDrain(c.StreamRaw(t.Context(), name, nil)),
		} {
			require.ErrorIs(t, err, want, "%s of %q", method, name)
			require.True(t, callError(t, err).Local)
			require.False(t, callError(t, err).HandedOver)
		}
	}
	_, err := c.Request(t.Context(), "", [][]byte{{}})
	require.ErrorIs(t, err, mesh.ErrNoService)
}

func TestClientParamsThatAreNoStructure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := callStart(t, mesh.Config{}, mesh.NewService("echo").HandleRaw("raw", callEcho)).Client()
		start := time.Now()
		for _, params := range []string{`42`, `"text"`, `true`, `nonsense`, ` `, `{"a":`, `{}}`, `{"a":1,"a":`, "{\"a\":\"\xff"} {
			_, err := c.CallRaw(t.Context(), "echo.raw", json.RawMessage(params))
			require.Error(t, err, params)
			require.Contains(t, []mesh.Code{mesh.CodeInvalidParams, mesh.CodeInvalidRequest}, callError(t, err).Code, params)
			require.NoError(t, callLast(c.CallRaw(t.Context(), "echo.raw", nil)), "the others don't notice")
		}
		err := c.Call(t.Context(), "echo.raw", 42, nil)
		require.ErrorIs(t, err, mesh.ErrInvalidParams)
		require.True(t, callError(t, err).Local)
		err = c.Notify(t.Context(), "echo.raw", "text")
		require.ErrorIs(t, err, mesh.ErrInvalidParams)
		require.Zero(t, time.Since(start), "nobody waits for a deadline")
	})
}

func TestClientDeadline(t *testing.T) {
	t.Parallel()
	const never = time.Duration(0)
	tests := map[string]struct {
		client  time.Duration
		context time.Duration // 0: no deadline
		options []mesh.CallOption
		want    time.Duration
	}{
		"the client's default":          {want: 30 * time.Second},
		"the client's own":              {client: 3 * time.Second, want: 3 * time.Second},
		"the context's":                 {client: 3 * time.Second, context: 5 * time.Second, want: 5 * time.Second},
		"the option's":                  {client: 3 * time.Second, options: []mesh.CallOption{mesh.Timeout(7 * time.Second)}, want: 7 * time.Second},
		"a shorter option":              {context: 5 * time.Second, options: []mesh.CallOption{mesh.Timeout(2 * time.Second)}, want: 2 * time.Second},
		"a longer option":               {context: 5 * time.Second, options: []mesh.CallOption{mesh.Timeout(time.Minute)}, want: 5 * time.Second},
		"an option that is over":        {options: []mesh.CallOption{mesh.Timeout(-time.Second)}, want: never},
		"an option without time":        {options: []mesh.CallOption{mesh.Timeout(0)}, want: never},
		"a client that waits for ever":  {client: -1, context: time.Hour, want: time.Hour},
		"the last option wins":          {options: []mesh.CallOption{mesh.Timeout(time.Hour), mesh.Timeout(time.Second)}, want: time.Second},
		"less than a millisecond":       {options: []mesh.CallOption{mesh.Timeout(time.Microsecond)}, want: time.Millisecond},
		"a deadline that is past":       {context: -time.Second, want: never},
		"longer than any timer can run": {context: 1<<63 - 1, options: []mesh.CallOption{mesh.Timeout(time.Second)}, want: time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				left, release := make(chan time.Duration, 1), make(chan struct{})
				defer close(release) // a reply that comes with the deadline would win
				tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					deadline, ok := ctx.Deadline()
					if !ok {
						return nil, errors.New("no deadline")
					}
					left <- time.Until(deadline)
					<-ctx.Done()
					<-release
					return nil, nil
				})
				m := callStart(t, mesh.Config{Client: mesh.ClientConfig{Timeout: test.client}}, tea)
				ctx := t.Context()
				if test.context != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.context)
					defer cancel()
				}
				start := time.Now()
				_, err := m.Client().CallRaw(ctx, "tea.brew", nil, test.options...)
				require.ErrorIs(t, err, mesh.ErrTimeout)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, test.want, time.Since(start))
				require.Equal(t, test.want != never, callError(t, err).HandedOver)
				if test.want != never {
					require.InDelta(t, test.want, <-left, float64(2*time.Millisecond), "the handler has the time that is left")
				}
			})
		})
	}
}

func TestClientWithoutDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
			if _, ok := ctx.Deadline(); ok {
				return nil, errors.New("a deadline")
			}
			select {
			case <-time.After(10 * time.Minute):
				return params, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		})
		m := callStart(t, mesh.Config{Client: mesh.ClientConfig{Timeout: -1}}, tea)
		_, err := m.Client().CallRaw(t.Context(), "tea.brew", nil)
		require.NoError(t, err)
	})
}

func TestClientDeadlineReachesHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended, release := make(chan error, 2), make(chan struct{})
		defer close(release) // a reply that comes with the deadline would win
		tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			ended <- context.Cause(ctx)
			<-release
			return nil, nil
		})
		m := callStart(t, mesh.Config{}, tea)
		start := time.Now()
		_, err := m.Client().CallRaw(t.Context(), "tea.brew", nil, mesh.Timeout(time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Equal(t, context.DeadlineExceeded, <-ended, "the deadline, not the cancellation that comes with it")
		require.Equal(t, context.DeadlineExceeded, <-ended)
		require.InDelta(t, time.Second, time.Since(start), float64(2*time.Millisecond))
	})
}

func TestClientCancelReachesHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered, ended := make(chan struct{}), make(chan error, 2)
		tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			close(entered)
			<-ctx.Done()
			ended <- ctx.Err()
			ended <- context.Cause(ctx)
			return nil, nil
		})
		m := callStart(t, mesh.Config{}, tea)
		errThirst := errors.New("no longer thirsty")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-entered
			cancel(errThirst)
		}()
		start := time.Now()
		_, err := m.Client().CallRaw(ctx, "tea.brew", nil)
		require.ErrorIs(t, err, mesh.ErrCancelled)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errThirst, "the caller's own reason")
		require.NotErrorIs(t, err, mesh.ErrClosed)
		e := callError(t, err)
		require.True(t, e.Local)
		require.True(t, e.HandedOver)
		require.Equal(t, context.Canceled, <-ended)
		require.ErrorIs(t, <-ended, mesh.ErrCancelled, "the handler is told why")
		require.Zero(t, time.Since(start))

		_, err = m.Client().CallRaw(ctx, "tea.brew", nil)
		require.ErrorIs(t, err, mesh.ErrCancelled)
		require.ErrorIs(t, err, errThirst)
		require.False(t, callError(t, err).HandedOver, "it was over before the call")
	})
}

func TestClientReadyResultWinsOverCancelledContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		tea := mesh.NewService("tea").HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
			return params, nil
		})
		m := callStart(t, mesh.Config{}, tea)
		p := mesh.NewMethod[struct{}, struct{}]("tea.brew").Go(ctx, m.Client(), struct{}{})
		<-p.Done()
		cancel()
		_, err := p.Wait()
		require.NoError(t, err)
	})
}

func TestClientNotify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 1)
		tea := mesh.NewService("tea").
			HandleRaw("note", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
				heard <- string(params)
				return nil, errors.New("nobody hears this")
			}).
			HandleRaw("block", callBlock)
		m := callStart(t, mesh.Config{Worker: mesh.WorkerConfig{Capacity: 1}}, tea)
		require.NoError(t, m.Client().Notify(t.Context(), "tea.note", map[string]int{"n": 1}))
		require.JSONEq(t, `{"n":1}`, <-heard)
		require.NoError(t, m.Client().Notify(t.Context(), "tea.nosuch", nil), "nobody hears that either")
		require.NoError(t, m.Client().Notify(t.Context(), "nosuch.note", nil))

		require.NoError(t, mesh.NewMethod[callOrder, callCup]("tea.note").Notify(t.Context(), m.Client(), callOrder{Kind: "green"}))
		require.JSONEq(t, `{"kind":"green","sugar":0}`, <-heard)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, m.Client().Notify(ctx, "tea.note", nil), mesh.ErrCancelled)
		require.Empty(t, heard)

		synctest.Wait()
		s, err := m.Broker().Snapshot(t.Context())
		require.NoError(t, err)
		require.Zero(t, s.Running, "the empty replies freed the slots")
		require.EqualValues(t, 3, s.Counts.Replied)
		require.Equal(t, 1, s.Queued, "whoever can't be told that a service is unknown waits for it")
	})
}

func TestClientNotifyThatCantBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{MaxMessageBytes: 10_000})
		callStart(t, mesh.Config{Transport: network}, mesh.NewService("tea").HandleRaw("note", callEcho))
		c := callDial(t, mesh.ClientConfig{Transport: network})
		require.NoError(t, c.Notify(t.Context(), "tea.note", nil))
		err := c.Notify(t.Context(), "tea.note", map[string]string{"a": strings.Repeat("x", 10_000)})
		require.ErrorIs(t, err, mesh.ErrTooLarge)

		nobody := callDial(t, mesh.ClientConfig{Transport: network, Brokers: []transport.Endpoint{{Addr: "inproc://nobody"}}})
		start := time.Now()
		err = nobody.Notify(t.Context(), "tea.note", nil, mesh.Timeout(4*time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestClientBeforeAnyBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		c := callDial(t, mesh.ClientConfig{Transport: network})
		start := time.Now()
		_, err := c.CallRaw(t.Context(), "echo.raw", nil, mesh.Timeout(3*time.Second))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.ErrorContains(t, err, "nobody listens", "why it couldn't be sent")
		require.Equal(t, 3*time.Second, time.Since(start))
		e := callError(t, err)
		require.True(t, e.Local)
		require.False(t, e.HandedOver)

		p := mesh.NewMethod[map[string]int, map[string]int]("echo.raw").Go(t.Context(), c, map[string]int{"n": 1})
		synctest.Wait()
		callStart(t, mesh.Config{Transport: network}, mesh.NewService("echo").HandleRaw("raw", callEcho))
		got, err := p.Wait()
		require.NoError(t, err)
		require.Equal(t, map[string]int{"n": 1}, got)
		require.Less(t, time.Since(start), 30*time.Second)
	})
}

func TestClientBrokerGoneAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		c := callDial(t, mesh.ClientConfig{Transport: network})
		echo := mesh.NewService("echo").HandleRaw("raw", callEcho)
		for range 3 {
			m, err := mesh.Start(t.Context(), mesh.Config{Transport: network}, echo)
			require.NoError(t, err)
			_, err = c.CallRaw(t.Context(), "echo.raw", nil)
			require.NoError(t, err)
			require.NoError(t, m.Stop(t.Context()))
			_, err = c.CallRaw(t.Context(), "echo.raw", nil, mesh.Timeout(time.Second))
			require.ErrorIs(t, err, mesh.ErrTimeout)
			require.False(t, callError(t, err).HandedOver)
		}
	})
}

func TestClientFailsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		c := callDial(t, mesh.ClientConfig{Transport: network, Brokers: []transport.Endpoint{{Addr: "inproc://a"}, {Addr: "inproc://b"}}})
		serve := func(name string) *mesh.Mesh {
			who := mesh.NewService("who").HandleRaw("am", func(context.Context, json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(`"` + name + `"`), nil
			})
			m, err := mesh.Start(t.Context(), mesh.Config{Transport: network, Listen: []string{"inproc://" + name}}, who)
			require.NoError(t, err)
			return m
		}
		ask := func() string {
			var who string
			require.NoError(t, c.Call(t.Context(), "who.am", nil, &who))
			return who
		}
		a, b := serve("a"), serve("b")
		ask()
		synctest.Wait() // both are connected
		asked := map[string]int{}
		for range 100 {
			asked[ask()]++
		}
		require.Len(t, asked, 2, "both have their share")
		require.NoError(t, a.Stop(t.Context()))
		for range 10 {
			require.Equal(t, "b", ask())
		}
		a = serve("a")
		<-time.After(time.Second)
		require.NoError(t, b.Stop(t.Context()))
		for range 10 {
			require.Equal(t, "a", ask(), "it has come back")
		}
		require.NoError(t, a.Stop(t.Context()))
	})
}

// TestClientConnectionThatIsOver has calls meet a connection that has ended and of
// whose end the session hasn't heard. Nothing of them left, so they are made over
// the next one, whatever they are.
func TestClientConnectionThatIsOver(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			network := inproc.New(inproc.Config{})
			served := atomic.Int64{}
			b := callPlay(t, network, func(r *callRequest) {
				served.Add(1)
				r.result(`"cup"`)
			})
			c := callDial(t, mesh.ClientConfig{Transport: network})
			require.NoError(t, c.Call(t.Context(), "tea.brew", nil, nil))
			b.cut()
			require.NoError(t, c.Call(t.Context(), "tea.brew", nil, nil))
			b.cut()
			require.NoError(t, c.Notify(t.Context(), "tea.brew", nil))
			synctest.Wait()
			require.EqualValues(t, 3, served.Load())
		})
	}
}

func TestClientClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered, cancelled := make(chan struct{}, 10), make(chan error, 10)
		tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			entered <- struct{}{}
			<-ctx.Done()
			cancelled <- context.Cause(ctx)
			return nil, nil
		}).HandleOpaque(func(ctx context.Context, _ [][]byte) ([][]byte, error) {
			entered <- struct{}{}
			<-ctx.Done()
			cancelled <- context.Cause(ctx)
			return nil, nil
		})
		m := callStart(t, mesh.Config{}, tea)
		c := callClient(t, m, mesh.ClientConfig{MaxOpaque: 1})
		running := []func() error{
			func() error { return c.Call(t.Context(), "tea.brew", nil, nil) },
			func() error { return callDrain(c.StreamRaw(t.Context(), "tea.brew", nil)) },
			func() error { return callLast(c.Request(t.Context(), "tea", [][]byte{[]byte("brew")})) },
		}
		errs := make(chan error, len(running)+1)
		for _, call := range running {
			go func() { errs <- call() }()
		}
		for range running {
			<-entered
		}
		go func() { errs <- callLast(c.Request(t.Context(), "tea", [][]byte{[]byte("its turn never comes")})) }()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, c.Close())
		for range cap(errs) {
			err := <-errs
			require.ErrorIs(t, err, mesh.ErrClosed)
			require.True(t, callError(t, err).Local)
		}
		for range running {
			require.Error(t, <-cancelled, "handlers are cancelled")
		}

		require.NoError(t, c.Close(), "again")
		for name, err := range map[string]error{
			"Call":      c.Call(t.Context(), "tea.brew", nil, nil),
			"CallRaw":   callLast(c.CallRaw(t.Context(), "tea.brew", nil)),
			"Notify":    c.Notify(t.Context(), "tea.brew", nil),
			"StreamRaw": callDrain(c.StreamRaw(t.Context(), "tea.brew", nil)),
			"Request":   callLast(c.Request(t.Context(), "tea", [][]byte{{}})),
		} {
			require.ErrorIs(t, err, mesh.ErrClosed, name)
			require.True(t, callError(t, err).Local, name)
			require.False(t, callError(t, err).HandedOver, name)
		}
		require.Zero(t, time.Since(start))
	})
}

func TestClientCloseWithoutAnyCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := mesh.NewClient(mesh.ClientConfig{
			Transport: inproc.New(inproc.Config{}), Brokers: []transport.Endpoint{{Addr: callAddr}},
		})
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestClientCloseAtTheSameTime(t *testing.T) {
	t.Parallel()
	for range 20 {
		echo := mesh.NewService("echo").HandleRaw("raw", callEcho)
		m := callStart(t, mesh.Config{}, echo)
		c := callClient(t, m, mesh.ClientConfig{})
		var g sync.WaitGroup
		errs := make(chan error, 4)
		for range cap(errs) {
			g.Go(func() {
				for {
					if err := c.Call(t.Context(), "echo.raw", nil, nil); err != nil {
						errs <- err
						return
					}
				}
			})
			g.Go(func() { _ = c.Close() })
		}
		g.Wait()
		for range cap(errs) {
			require.ErrorIs(t, <-errs, mesh.ErrClosed)
		}
	}
}

func TestClientLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tea := mesh.NewService("tea").HandleRaw("block", callBlock)
		m := callStart(t, mesh.Config{}, tea)
		c := callClient(t, m, mesh.ClientConfig{MaxPending: 3, MaxPendingBytes: 10_000})
		ctx, cancel := context.WithCancel(t.Context())
		block := func(params any) {
			mesh.NewMethod[map[string]any, any]("tea.block").Go(ctx, c, map[string]any{"a": params})
		}
		for range 3 {
			block(nil)
		}
		synctest.Wait()
		err := c.Call(t.Context(), "tea.block", nil, nil)
		require.ErrorIs(t, err, mesh.ErrOverloaded)
		require.True(t, callError(t, err).Local)
		require.False(t, callError(t, err).HandedOver)
		cancel()
		synctest.Wait()

		ctx, cancel = context.WithCancel(t.Context())
		block(strings.Repeat("x", 9000))
		synctest.Wait()
		_, err = c.CallRaw(t.Context(), "tea.block", json.RawMessage(`["`+strings.Repeat("x", 1000)+`"]`))
		require.ErrorIs(t, err, mesh.ErrOverloaded)
		cancel()
	})
}

// joining is a transport whose connections take frames in pieces.
type joining struct {
	transport.Transport
	joined *atomic.Int64 // messages that were
}

func (j joining) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	c, err := j.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return joiningConn{c, j.joined}, nil
}

type joiningConn struct {
	transport.Conn
	joined *atomic.Int64
}

func (joiningConn) CopiesBelow() int { return 1 }

func (c joiningConn) SendJoined(m transport.Message, n int) error {
	c.joined.Add(1)
	whole := len(m) - n
	return c.Send(append(slices.Clone(m[:whole]), bytes.Join(m[whole:], nil)))
}

func TestClientSizes(t *testing.T) {
	t.Parallel()
	large := json.RawMessage(`["` + strings.Repeat("x", 20_000) + `"]`)
	tests := map[string]struct {
		broker, network int
		local, joins    bool
	}{
		"of the transport":                     {network: 10_000, local: true},
		"of the broker":                        {broker: 10_000},
		"of a transport that takes pieces":     {network: 10_000, local: true, joins: true},
		"of the broker, with such a transport": {broker: 10_000, joins: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				run := 0
				tea := mesh.NewService("tea").
					HandleRaw("brew", func(context.Context, json.RawMessage) (json.RawMessage, error) { run++; return nil, nil }).
					HandleRaw("flood", func(context.Context, json.RawMessage) (json.RawMessage, error) { return large, nil }).
					HandleRaw("rant", func(context.Context, json.RawMessage) (json.RawMessage, error) {
						return nil, mesh.Errorf(1000, "%s", large)
					})
				var network transport.Transport = inproc.New(inproc.Config{MaxMessageBytes: test.network})
				var joined atomic.Int64
				if test.joins {
					network = joining{network, &joined}
				}
				m := callStart(t, mesh.Config{
					Transport: network,
					Broker:    mesh.BrokerConfig{Limits: mesh.Limits{MessageBytes: test.broker}},
				}, tea)
				start := time.Now()
				_, err := m.Client().CallRaw(t.Context(), "tea.brew", large)
				require.ErrorIs(t, err, mesh.ErrTooLarge)
				require.Equal(t, test.local, callError(t, err).Local)
				require.False(t, callError(t, err).HandedOver)
				require.Zero(t, run)

				for _, method := range []string{"tea.flood", "tea.rant"} {
					_, err = m.Client().CallRaw(t.Context(), method, nil)
					require.ErrorIs(t, err, mesh.ErrTooLarge, method)
					require.False(t, callError(t, err).Local)
					require.True(t, callError(t, err).HandedOver)
				}
				require.NoError(t, m.Client().Call(t.Context(), "tea.brew", nil, nil), "the connections live on")
				require.Zero(t, time.Since(start))
				require.Equal(t, test.joins, joined.Load() > 0)
				s, err := m.Broker().Snapshot(t.Context())
				require.NoError(t, err)
				require.Zero(t, s.Counts.Requeued)
				require.Equal(t, start, time.Now().Add(-s.Workers[0].Since), "the worker never left")
			})
		})
	}
}

func TestClientNoSuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := callStart(t, mesh.Config{Broker: mesh.BrokerConfig{NoWorkerWait: 2 * time.Second}})
		c := m.Client()
		start := time.Now()
		_, err := c.CallRaw(t.Context(), "tea.brew", nil)
		require.ErrorIs(t, err, mesh.ErrNoService)
		require.Equal(t, 2*time.Second, time.Since(start), "a young broker waits for workers")
		require.False(t, callError(t, err).Local)
		require.False(t, callError(t, err).HandedOver)

		tea := mesh.NewService("tea").HandleRaw("brew", callEcho)
		w, err := m.AddWorker(t.Context(), mesh.WorkerConfig{}, tea)
		require.NoError(t, err)
		_, err = c.CallRaw(t.Context(), "tea.brew", nil)
		require.NoError(t, err)
		_, err = c.CallRaw(t.Context(), "tea.stir", nil)
		require.ErrorIs(t, err, mesh.ErrNoMethod)
		require.ErrorContains(t, err, "tea.stir")

		require.NoError(t, w.Shutdown(t.Context()))
		_, err = c.CallRaw(t.Context(), "tea.brew", nil, mesh.NoRetry())
		require.ErrorIs(t, err, mesh.ErrNoWorker)
	})
}

// A timer that fires while somebody else runs the session isn't lost.
func TestClientTimersUnderLoad(t *testing.T) {
	t.Parallel()
	var stop atomic.Bool
	var busy sync.WaitGroup
	for range 4 { // so that turns begin late
		busy.Go(func() {
			for {
				if stop.Load() {
					return
				}
			}
		})
	}
	defer busy.Wait()
	defer stop.Store(true)
	c := callDial(t, mesh.ClientConfig{Transport: inproc.New(inproc.Config{})})
	for range 30 {
		var calls sync.WaitGroup
		for i := range 3 {
			calls.Go(func() {
				err := c.Call(t.Context(), "tea.brew", nil, nil, mesh.Timeout(time.Duration(2+i%2)*time.Millisecond))
				require.ErrorIs(t, err, mesh.ErrTimeout)
			})
		}
		calls.Wait()
	}
}

// A stream whose context ends when all of it has come is complete, or fails: it is
// never shorter without an error.
func TestStreamIsCompleteOrFails(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	tea := mesh.NewService("tea").HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for i := range 3 {
				if !yield(json.RawMessage(strconv.Itoa(i)), nil) {
					break
				}
			}
			select {
			case ended <- struct{}{}:
			default:
			}
		}
	})
	m := callStart(t, mesh.Config{}, tea)
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			select {
			case <-ended:
			case <-ctx.Done():
			}
			cancel()
		}()
		values, err := callCollect(m.Client().StreamRaw(ctx, "tea.pour", nil))
		if err == nil {
			require.Len(t, values, 3)
		}
		cancel()
	}
}

// A reader that leaves its loop isn't called again, whatever interceptors make of
// that.
func TestStreamLeftUnderInterceptor(t *testing.T) {
	t.Parallel()
	tea := mesh.NewService("tea").HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			for yield(json.RawMessage("1"), nil) {
			}
		}
	})
	m := callStart(t, mesh.Config{Client: mesh.ClientConfig{Interceptors: []mesh.Interceptor{
		func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				part := in.Part
				in.Part = func(value json.RawMessage) error {
					_ = part(value) // it goes on though the reader has left
					return part(value)
				}
				result, err := next(ctx, in)
				if err != nil {
					err = errors.New("my own: " + err.Error())
				}
				return result, err
			}
		},
	}}}, tea)
	read := 0
	for _, err := range m.Client().StreamRaw(t.Context(), "tea.pour", nil) {
		require.NoError(t, err)
		read++
		break
	}
	for _, err := range mesh.NewStream[map[string]int, int]("tea.pour").Call(t.Context(), m.Client(), nil) {
		require.NoError(t, err)
		read++
		break
	}
	require.Equal(t, 2, read)
}

// An opaque request gets the frames of partial replies first, and waits for its turn
// no longer than it may.
func TestClientRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := inproc.New(inproc.Config{})
		callPlay(t, network, func(r *callRequest) {
			if string(r.Body[0]) == "silence" {
				return
			}
			r.send(mdp.ClientPartial, []byte("a"), []byte("b"))
			r.send(mdp.ClientPartial, []byte("c"))
			r.send(mdp.ClientFinal, []byte("d"))
		})
		c := callDial(t, mesh.ClientConfig{Transport: network, Speak: mesh.SpeakMDP02, MaxOpaque: 1, Timeout: time.Second})
		got, err := c.Request(t.Context(), "tea", [][]byte{[]byte("ask")})
		require.NoError(t, err)
		require.Equal(t, "abcd", string(bytes.Join(got, nil)))

		start := time.Now()
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() { errs <- callLast(c.Request(t.Context(), "tea", [][]byte{[]byte("silence")})) }()
		}
		for range cap(errs) {
			require.ErrorIs(t, <-errs, mesh.ErrTimeout)
		}
		require.InDelta(t, time.Second, time.Since(start), float64(10*time.Millisecond))
	})
}

// Brokers refuse names that can't be shown, and with them the client: it isn't made.
func TestClientInstanceIsChecked(t *testing.T) {
	t.Parallel()
	for instance, want := range map[string]string{
		"":                        "",
		strings.Repeat("ä", 127):  "",
		strings.Repeat("c", 256):  "mesh: ClientConfig.Instance: instance is longer than 255 bytes",
		"web\x1b[2J":              "mesh: ClientConfig.Instance: instance isn't printable",
		"non-breaking\u00a0space": "mesh: ClientConfig.Instance: instance isn't printable",
	} {
		c, err := mesh.NewClient(mesh.ClientConfig{
			Transport: inproc.New(inproc.Config{}), Brokers: []transport.Endpoint{hubEndpoint()}, Instance: instance,
		})
		if want == "" {
			require.NoError(t, err)
			require.NoError(t, c.Close())
			continue
		}
		require.EqualError(t, err, want)
	}
}
