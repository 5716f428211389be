package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// misuse is a worker of one slot, so that each request has the task of the one before,
// and of one interceptor that does what it mustn't.
type misuse struct {
	t      *testing.T
	client *mesh.Client
	mu     sync.Mutex // guards runs
	runs   []string   // the parameters of each
}

// misused starts a worker. tea.brew replies its parameters after a second; tea.pour
// replies them with 1, 2 and 3 behind; tea.spill panics.
func misused(t *testing.T, interceptor func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error)) *misuse {
	m := &misuse{t: t}
	ran := func(params json.RawMessage) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.runs = append(m.runs, string(params))
	}
	tea := mesh.NewService("tea").
		HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
			ran(params)
			<-time.After(time.Second)
			return params, nil
		}).
		HandleRawStream("pour", func(_ context.Context, params json.RawMessage) iter.Seq2[json.RawMessage, error] {
			return func(yield func(json.RawMessage, error) bool) {
				ran(params)
				for n := range 3 {
					<-time.After(time.Second)
					if !yield(json.RawMessage(`[`+string(params)+`,`+strconv.Itoa(n+1)+`]`), nil) {
						return
					}
				}
			}
		}).
		HandleRaw("spill", func(context.Context, json.RawMessage) (json.RawMessage, error) { panic("spilt") })
	h := hubStart(t, mesh.BrokerConfig{})
	h.worker(mesh.WorkerConfig{Transport: joining{h.net, new(atomic.Int64)}, Capacity: 1, Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			return interceptor(ctx, next, in)
		}
	}}}, tea)
	m.client = h.client()
	return m
}

func (m *misuse) brew(params string) (string, error) {
	result, err := m.client.CallRaw(m.t.Context(), "tea.brew", json.RawMessage(params))
	return string(result), err
}

func (m *misuse) pour(params string) (values []string, err error) {
	for value, err := range m.client.StreamRaw(m.t.Context(), "tea.pour", json.RawMessage(params)) {
		if err != nil {
			return values, err
		}
		values = append(values, string(value))
	}
	return values, nil
}

// works sees to it that requests get their own replies.
func (m *misuse) works() {
	m.t.Helper()
	result, err := m.brew(`[8]`)
	require.NoError(m.t, err)
	require.Equal(m.t, `[8]`, result)
	values, err := m.pour(`[9]`)
	require.NoError(m.t, err)
	require.Equal(m.t, []string{`[[9],1]`, `[[9],2]`, `[[9],3]`}, values)
}

// first returns whether it is asked for the first time.
func misuseOnce() func() bool {
	var once sync.Once
	return func() (first bool) {
		once.Do(func() { first = true })
		return first
	}
}

func TestInterceptorMisuse(t *testing.T) {
	t.Parallel()
	hubRun(t, "next twice", func(t *testing.T) {
		first := misuseOnce()
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if first() {
				_, err := next(ctx, in)
				require.NoError(t, err)
			}
			return next(ctx, in)
		})
		result, err := m.brew(`[1]`)
		require.NoError(t, err)
		require.Equal(t, `[1]`, result)
		require.Equal(t, []string{`[1]`, `[1]`}, m.runs, "each call is a run")
		m.works()
	})

	hubRun(t, "next twice at once", func(t *testing.T) {
		first := misuseOnce()
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if !first() {
				return next(ctx, in)
			}
			var g sync.WaitGroup
			for range 2 {
				g.Go(func() {
					_, err := next(ctx, in)
					if err != nil {
						t.Error(err)
					}
				})
			}
			g.Wait()
			return nil, nil
		})
		values, err := m.pour(`[1]`)
		require.NoError(t, err)
		require.Equal(t, []string{`[[1],1]`, `[[1],1]`, `[[1],2]`, `[[1],2]`, `[[1],3]`, `[[1],3]`}, values, "the values of both, whole")
		m.works()
	})

	hubRun(t, "next again after its context has ended", func(t *testing.T) {
		first := misuseOnce()
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if first() {
				short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
				defer cancel()
				_, err := next(short, in)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			return next(ctx, in)
		})
		values, err := m.pour(`[1]`)
		require.NoError(t, err)
		require.Equal(t, []string{`[[1],1]`, `[[1],1]`, `[[1],2]`, `[[1],3]`}, values)
		m.works()
	})

	hubRun(t, "next after it returned", func(t *testing.T) {
		first, late := misuseOnce(), make(chan error, 2)
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if first() {
				for _, ctx := range []context.Context{ctx, context.Background()} {
					go func() {
						<-time.After(1500 * time.Millisecond) // while the next request runs
						_, err := next(ctx, in)
						late <- err
					}()
				}
			}
			return next(ctx, in)
		})
		for _, params := range []string{`[1]`, `[2]`} {
			result, err := m.brew(params)
			require.NoError(t, err)
			require.Equal(t, params, result)
		}
		for range 2 {
			require.ErrorContains(t, <-late, "called next when the request had its reply")
		}
		require.Equal(t, []string{`[1]`, `[2]`}, m.runs)
		m.works()
	})

	hubRun(t, "values of a stream that has ended", func(t *testing.T) {
		first, late := misuseOnce(), make(chan error, 5)
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if first() {
				part := in.Part
				for n := range cap(late) {
					go func() {
						<-time.After(time.Duration(n)*time.Second + 3500*time.Millisecond) // while the next one streams, and after
						late <- part(json.RawMessage(`"late"`))
					}()
				}
			}
			return next(ctx, in)
		})
		for _, params := range []string{`[1]`, `[2]`} {
			values, err := m.pour(params)
			require.NoError(t, err)
			require.Equal(t, []string{`[` + params + `,1]`, `[` + params + `,2]`, `[` + params + `,3]`}, values)
		}
		for range cap(late) {
			require.ErrorIs(t, <-late, context.Canceled)
		}
		m.works()
	})

	hubRun(t, "it leaves the handler behind", func(t *testing.T) {
		first, left := misuseOnce(), make(chan error, 1)
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if !first() {
				return next(ctx, in)
			}
			go func() {
				_, err := next(context.WithoutCancel(ctx), in)
				left <- err
			}()
			<-time.After(1500 * time.Millisecond)
			return nil, nil
		})
		values, err := m.pour(`[1]`)
		require.NoError(t, err)
		require.Equal(t, []string{`[[1],1]`}, values)
		m.works()
		require.Error(t, <-left)
	})

	hubRun(t, "values of several goroutines", func(t *testing.T) {
		first := misuseOnce()
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if !first() {
				return next(ctx, in)
			}
			var g sync.WaitGroup
			for range 100 {
				g.Go(func() { _ = in.Part(json.RawMessage(`"one"`)) })
			}
			g.Wait()
			return nil, nil
		})
		values, err := m.pour(`[1]`)
		require.NoError(t, err)
		require.Len(t, values, 100)
		m.works()
	})

	hubRun(t, "values while a large result is returned", func(t *testing.T) {
		first := misuseOnce()
		large := json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if !first() {
				return next(ctx, in)
			}
			var began sync.WaitGroup
			for range 10 {
				began.Add(1)
				go func() {
					for n := range 100 {
						_ = in.Part(json.RawMessage(`"one"`))
						if n == 0 {
							began.Done()
						}
					}
				}()
			}
			began.Wait()
			return large, nil
		})
		values, err := m.pour(`[1]`)
		require.NoError(t, err)
		require.Equal(t, string(large), values[len(values)-1])
		m.works()
	})

	hubRun(t, "no Part", func(t *testing.T) {
		first := misuseOnce()
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if first() {
				in.Part = nil
			}
			return next(ctx, in)
		})
		_, err := m.pour(`[1]`)
		require.ErrorContains(t, err, "took Part away")
		m.works()
	})

	hubRun(t, "a panic in another goroutine", func(t *testing.T) {
		first, failed := misuseOnce(), make(chan error, 1)
		m := misused(t, func(ctx context.Context, next mesh.Invoker, in *mesh.Invocation) (json.RawMessage, error) {
			if !first() {
				return next(ctx, in)
			}
			go func() {
				_, err := next(ctx, in)
				failed <- err
			}()
			return nil, <-failed
		})
		require.ErrorIs(t, callLast(m.client.CallRaw(t.Context(), "tea.spill", nil)), mesh.ErrInternal)
		m.works()
	})
}

// At a client, too, what an interceptor keeps is never another call's.
func TestInterceptorMisuseAtAClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, hubEcho())
		first := misuseOnce()
		var again func() (json.RawMessage, error)
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				if first() {
					again = func() (json.RawMessage, error) { return next(context.Background(), in) }
					return nil, errors.New("not now")
				}
				result, err := again() // while this one goes on
				require.NoError(t, err)
				require.JSONEq(t, `[1]`, string(result))
				return next(ctx, in)
			}
		}}})
		require.EqualError(t, callLast(c.CallRaw(t.Context(), "echo.say", json.RawMessage(`[1]`))), "not now")
		result, err := c.CallRaw(t.Context(), "echo.say", json.RawMessage(`[2]`))
		require.NoError(t, err)
		require.JSONEq(t, `[2]`, string(result))
	})
}
