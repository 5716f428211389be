package endtoend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

type order struct {
	Kind  string `json:"kind" enum:"black,green"`
	Sugar int    `json:"sugar" minimum:"0" maximum:"3"`
}

type cup struct {
	Text  string        `json:"text"`
	Ready time.Duration `json:"ready"`
}

type count struct {
	N int `json:"n"`
}

var (
	brew = mesh.NewMethod[order, cup]("tea.brew", mesh.Idempotent())
	pour = mesh.NewStream[count, count]("tea.pour")
)

var errSoldOut = errors.New("sold out")

// applicationErrors are known at both ends.
func applicationErrors() *mesh.Errors {
	var errs mesh.Errors
	errs.Add(1001, errSoldOut)
	return &errs
}

// tea is a service that brews at once.
func tea() *mesh.Service {
	return mesh.NewService("tea").Handle(
		brew.With(func(_ context.Context, o order) (cup, error) {
			return cup{Text: fmt.Sprintf("%s with %d", o.Kind, o.Sugar), Ready: time.Second}, nil
		}),
		pour.With(func(_ context.Context, c count) iter.Seq2[count, error] {
			return func(yield func(count, error) bool) {
				for i := range c.N {
					if !yield(count{i}, nil) {
						return
					}
				}
			}
		}),
	).HandleOpaque(func(_ context.Context, body [][]byte) ([][]byte, error) { return body, nil })
}

// method returns a service with one method on raw JSON.
func method(name string, handle func(ctx context.Context, params json.RawMessage) (json.RawMessage, error)) *mesh.Service {
	return mesh.NewService("svc").HandleRaw(name, handle)
}

func testTyped(b *bed) {
	_, c := b.start(tea())
	got, err := brew.Call(b.ctx, c, order{Kind: "green", Sugar: 2})
	require.NoError(b, err)
	require.Equal(b, cup{Text: "green with 2", Ready: time.Second}, got)
	_, err = brew.Call(b.ctx, c, order{Kind: "blue", Sugar: 4})
	require.ErrorIs(b, err, mesh.ErrInvalidParams)
	require.Len(b, mesh.Faults(err), 2)
}

func testErrors(b *bed) {
	_, c := b.start(
		method("fail", func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return nil, fmt.Errorf("green tea: %w", errSoldOut)
		}).HandleRaw("panic", func(context.Context, json.RawMessage) (json.RawMessage, error) { panic("no water") }),
	)
	_, err := c.CallRaw(b.ctx, "svc.fail", nil)
	require.ErrorIs(b, err, errSoldOut)
	require.ErrorContains(b, err, "green tea")
	_, err = c.CallRaw(b.ctx, "svc.panic", nil)
	require.ErrorIs(b, err, mesh.ErrInternal)
	require.NotContains(b, err.Error(), "no water")
	_, err = c.CallRaw(b.ctx, "svc.nosuch", nil)
	require.ErrorIs(b, err, mesh.ErrNoMethod)
}

func testIdentity(b *bed) {
	br, c := b.start(method("who", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		r, _ := mesh.RequestFrom(ctx)
		return json.Marshal([]string{r.Caller, r.Claimed, r.Strings["a"]})
	}))
	raw, err := c.CallRaw(mesh.WithStrings(b.ctx, map[string]string{"a": "b"}), "svc.who", nil)
	require.NoError(b, err)
	require.JSONEq(b, `["`+b.Name+`","claimed","b"]`, string(raw))
	s, err := br.Snapshot(b.ctx)
	require.NoError(b, err)
	require.Len(b, s.Workers, 1)
	require.Equal(b, b.Name, s.Workers[0].Name)
	require.NotEmpty(b, s.Workers[0].Addr)
	require.Equal(b, b.Name, s.Clients[0].Name)
}

// Many goroutines share a client, and some clients a broker.
func testMany(b *bed) {
	const clients, callers, calls = 4, 25, 40
	br, _ := b.start(tea())
	b.worker([]*broker{br}, tea())
	var wg sync.WaitGroup
	errs := make(chan error, clients*callers)
	for range clients {
		c := b.client(br)
		for caller := range callers {
			wg.Go(func() {
				for i := range calls {
					got, err := brew.Call(b.ctx, c, order{Kind: "black", Sugar: (caller + i) % 4})
					if want := fmt.Sprintf("black with %d", (caller+i)%4); err == nil && got.Text != want {
						err = fmt.Errorf("got %q, want %q", got.Text, want)
					}
					if err != nil {
						errs <- err
						return
					}
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(b, err)
	}
}

func testLarge(b *bed) {
	// While a large message is encrypted and decrypted nothing else is heard of the
	// other side. With the race detector on a busy machine that takes seconds, and isn't
	// what this is about: whoever hangs is told by the time of the case.
	b.heartbeat.Liveness = int(patience / b.heartbeat.Interval)
	_, c := b.start(method("echo", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) { return p, nil }))
	for _, size := range []int{1, 200, 300, 4 << 10, 20 << 10, 70 << 10, 300 << 10} {
		params := json.RawMessage(`["` + strings.Repeat("x", size) + `"]`)
		got, err := c.CallRaw(b.ctx, "svc.echo", params)
		require.NoError(b, err)
		require.Equal(b, string(params), string(got))
		got, err = c.CallRaw(mesh.WithStrings(b.ctx, map[string]string{"large": string(params)}), "svc.echo", params)
		require.NoError(b, err)
		require.Equal(b, string(params), string(got))
	}
}

func testStream(b *bed) {
	_, c := b.start(tea())
	next := 0
	for v, err := range pour.Call(b.ctx, c, count{500}) {
		require.NoError(b, err)
		require.Equal(b, next, v.N)
		next++
	}
	require.Equal(b, 500, next)
	for v, err := range pour.Call(b.ctx, c, count{1 << 30}) {
		require.NoError(b, err)
		if v.N == 100 {
			break // which cancels the handler
		}
	}
	_, err := brew.Call(b.ctx, c, order{Kind: "black"})
	require.NoError(b, err)
}

// A stream whose reader stands still delays no other call.
func testStreamNobodyReads(b *bed) {
	_, c := b.start(tea())
	for v, err := range pour.Call(b.ctx, c, count{10_000}) {
		require.NoError(b, err)
		if v.N > 0 {
			break
		}
		for range 100 {
			_, err := brew.Call(b.ctx, c, order{Kind: "black"})
			require.NoError(b, err)
		}
	}
}

func testCancel(b *bed) {
	entered, cause := make(chan struct{}), make(chan error, 1)
	_, c := b.start(method("wait", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		close(entered)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, ctx.Err()
	}))
	ctx, cancel := context.WithCancel(b.ctx)
	go func() {
		<-entered
		cancel()
	}()
	_, err := c.CallRaw(ctx, "svc.wait", nil)
	require.ErrorIs(b, err, context.Canceled)
	select {
	case err := <-cause:
		require.ErrorIs(b, err, mesh.ErrCancelled)
	case <-b.ctx.Done():
		require.FailNow(b, "the handler never heard of it")
	}
}

func testDeadline(b *bed) {
	left := make(chan time.Duration, 1)
	_, c := b.start(method("wait", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		at, ok := ctx.Deadline()
		if !ok {
			return nil, errors.New("no deadline")
		}
		left <- time.Until(at)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	const limit = 300 * time.Millisecond
	_, err := c.CallRaw(b.ctx, "svc.wait", nil, mesh.Timeout(limit))
	require.ErrorIs(b, err, mesh.ErrTimeout)
	require.LessOrEqual(b, <-left, limit+2*time.Millisecond)
}

func testNotify(b *bed) {
	heard := make(chan string, 1)
	_, c := b.start(method("note", func(_ context.Context, p json.RawMessage) (json.RawMessage, error) {
		heard <- string(p)
		return nil, nil
	}))
	require.NoError(b, c.Notify(b.ctx, "svc.note", []int{1}))
	select {
	case got := <-heard:
		require.JSONEq(b, `[1]`, got)
	case <-b.ctx.Done():
		require.FailNow(b, "nobody was notified")
	}
}

func testOpaque(b *bed) {
	_, c := b.start(tea())
	body := [][]byte{{}, []byte("a"), {0, 1, 2, 255}, {}}
	got, err := c.Request(b.ctx, "tea", body)
	require.NoError(b, err)
	require.Equal(b, body, got)
}

func testKeyed(b *bed) {
	var runs atomic.Int64
	_, c := b.start(method("add", func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return json.Marshal(runs.Add(1))
	}))
	for range 3 {
		raw, err := c.CallRaw(b.ctx, "svc.add", nil, mesh.Key("k"))
		require.NoError(b, err)
		require.Equal(b, "1", string(raw))
	}
	_, err := c.CallRaw(b.ctx, "svc.add", json.RawMessage(`[1]`), mesh.Key("k"))
	require.ErrorIs(b, err, mesh.ErrKeyConflict)
}

// Of a worker that is gone, what is idempotent runs elsewhere, and callers of the
// rest are told at once.
func testWorkerLost(b *bed) {
	br := b.broker(b.Addr())
	first := make(chan struct{})
	var runs atomic.Int64
	svc := func() *mesh.Service {
		handle := func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			if runs.Add(1) > 2 {
				return json.RawMessage(`"again"`), nil
			}
			first <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return method("once", handle).HandleRaw("often", handle, mesh.Idempotent())
	}
	doomed := b.worker([]*broker{br}, svc())
	c := b.client(br)
	once, often := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.CallRaw(b.ctx, "svc.once", nil)
		once <- err
	}()
	go func() {
		raw, err := c.CallRaw(b.ctx, "svc.often", nil)
		if err == nil && string(raw) != `"again"` {
			err = fmt.Errorf("got %s", raw)
		}
		often <- err
	}()
	<-first
	<-first
	b.worker([]*broker{br}, svc())
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	require.ErrorIs(b, doomed.Shutdown(over), context.Canceled)
	err := <-once
	require.Error(b, err)
	require.Contains(b, []mesh.Code{mesh.CodeWorkerLost, mesh.CodeCancelled}, codeOf(b, err))
	require.NoError(b, <-often)
}

func codeOf(b *bed, err error) mesh.Code {
	var e *mesh.Error
	require.ErrorAs(b, err, &e)
	return e.Code
}

// load calls until it is told to stop, and returns how many calls there were.
func (b *bed) load(c *mesh.Client) (stop func() int) {
	var calls, failed atomic.Int64
	var wg sync.WaitGroup
	var first atomic.Pointer[error]
	end := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := brew.Call(b.ctx, c, order{Kind: "black"}); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				}
				calls.Add(1)
				select {
				case <-end:
					return
				default:
				}
			}
		})
	}
	return func() int {
		close(end)
		wg.Wait()
		if err := first.Load(); err != nil {
			require.NoError(b, *err, "%d of %d calls failed", failed.Load(), calls.Load())
		}
		return int(calls.Load())
	}
}

// Workers come and go under load, and no call fails.
func testWorkerStops(b *bed) {
	br, c := b.start(tea())
	stop := b.load(c)
	for range 5 {
		w := b.worker([]*broker{br}, tea())
		_, err := brew.Call(b.ctx, c, order{Kind: "green"})
		require.NoError(b, err)
		require.NoError(b, w.Shutdown(b.ctx))
	}
	require.Positive(b, stop())
}

// A broker that drains loses no call where there is another.
func testBrokerStops(b *bed) {
	one, two := b.broker(b.Addr()), b.broker(b.Addr())
	b.worker([]*broker{one, two}, tea())
	b.worker([]*broker{two, one}, tea())
	c := b.client(one, two)
	_, err := brew.Call(b.ctx, c, order{Kind: "green"})
	require.NoError(b, err)
	stop := b.load(c)
	require.NoError(b, one.Shutdown(b.ctx))
	_, err = brew.Call(b.ctx, c, order{Kind: "green"})
	require.NoError(b, err)
	require.Positive(b, stop())
}

// A broker that comes back finds its workers and clients again.
func testBrokerComesBack(b *bed) {
	first := b.broker(b.Addr())
	b.worker([]*broker{first}, tea())
	c := b.client(first)
	_, err := brew.Call(b.ctx, c, order{Kind: "green"})
	require.NoError(b, err)
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	_ = first.Shutdown(over) // cut
	second := b.broker(first.endpoint.Addr)
	b.await(second, mesh.EventWorkerJoined)
	_, err = brew.Call(b.ctx, c, order{Kind: "green"})
	require.NoError(b, err)
}
