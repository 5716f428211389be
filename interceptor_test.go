package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// interceptNotes are what interceptors wrote down, in order.
type interceptNotes struct {
	mu   sync.Mutex // guards text
	text []string
}

func (n *interceptNotes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

// around returns an interceptor that notes when it is passed.
func (n *interceptNotes) around(name string) mesh.Interceptor {
	return func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			n.add(name + " in")
			result, err := next(ctx, in)
			n.add(name + " out")
			return result, err
		}
	}
}

func TestInterceptorOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var notes interceptNotes
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{notes.around("worker 1"), notes.around("worker 2")}},
			mesh.NewService("tea").HandleRaw("brew", func(context.Context, json.RawMessage) (json.RawMessage, error) {
				notes.add("handler")
				return nil, nil
			}))
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{notes.around("client 1"), notes.around("client 2")}})
		require.NoError(t, callLast(c.CallRaw(t.Context(), "tea.brew", nil)))
		require.Equal(t, []string{
			"client 1 in", "client 2 in", "worker 1 in", "worker 2 in", "handler",
			"worker 2 out", "worker 1 out", "client 2 out", "client 1 out",
		}, notes.text)
	})
}

func TestInterceptorSees(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			service, method, params string
			strings                 map[string]string
			client, notify, stream  bool
		}
		all := make(chan seen, 10)
		spy := func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				all <- seen{in.Service, in.Method, string(in.Params), maps.Clone(in.Strings), in.Client, in.Notify, in.Part != nil}
				return next(ctx, in)
			}
		}
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{spy}}, mesh.NewService("tea").
			HandleRaw("brew", callEcho).
			HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
				return func(func(json.RawMessage, error) bool) {}
			}))
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{spy}})
		ctx := mesh.WithStrings(t.Context(), map[string]string{"table": "7"})
		require.NoError(t, callLast(c.CallRaw(ctx, "tea.brew", json.RawMessage(`[1]`))))
		want := seen{service: "tea", method: "brew", params: "[1]", strings: map[string]string{"table": "7"}, client: true}
		require.Equal(t, want, <-all)
		want.client = false
		require.Equal(t, want, <-all)

		require.NoError(t, callDrain(c.StreamRaw(t.Context(), "tea.pour", json.RawMessage(`{}`))))
		require.Equal(t, seen{service: "tea", method: "pour", params: "{}", client: true, stream: true}, <-all)
		require.Equal(t, seen{service: "tea", method: "pour", params: "{}", stream: true}, <-all)

		require.NoError(t, c.Notify(t.Context(), "tea.brew", []int{2}))
		require.Equal(t, seen{service: "tea", method: "brew", params: "[2]", client: true, notify: true}, <-all)
		require.Equal(t, seen{service: "tea", method: "brew", params: "[2]", notify: true}, <-all)
	})
}

// interceptParams returns an interceptor that puts other parameters in place.
func interceptParams(params string) mesh.Interceptor {
	return func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			in.Params = json.RawMessage(params)
			return next(ctx, in)
		}
	}
}

// What an interceptor changes is held to the contract, at both ends.
func TestInterceptorChangesParams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker, client []mesh.Interceptor
		local          bool
		want           error
	}{
		"the worker's, to good ones": {worker: []mesh.Interceptor{interceptParams(`{"kind":"green"}`)}},
		"the client's, to good ones": {client: []mesh.Interceptor{interceptParams(`{"kind":"green"}`)}},
		"the worker's, to bad ones":  {worker: []mesh.Interceptor{interceptParams(`{"kind":"red"}`)}, want: mesh.ErrInvalidParams},
		"the worker's, to no JSON":   {worker: []mesh.Interceptor{interceptParams(`{`)}, want: mesh.ErrInvalidParams},
		"the client's, to bad ones":  {client: []mesh.Interceptor{interceptParams(`{"kind":"red"}`)}, want: mesh.ErrInvalidParams},
		"the client's, to no JSON":   {client: []mesh.Interceptor{interceptParams(`{`)}, want: mesh.ErrInvalidParams, local: true},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			runs := 0
			h.worker(mesh.WorkerConfig{Interceptors: c.worker}, mesh.NewService("tea").Handle(methodBrew.With(
				func(_ context.Context, in methodAll) (methodAll, error) { runs++; return in, nil })))
			out, err := methodBrew.Call(t.Context(), h.clientOf(mesh.ClientConfig{Interceptors: c.client}), methodAll{Kind: "black"})
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, "green", out.Kind)
				require.Equal(t, 2, out.Sugar, "defaults are filled in behind it")
				return
			}
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.local, callError(t, err).Local)
			require.Zero(t, runs)
		})
	}
}

// An interceptor may answer by itself, change the outcome, fail, or break: whatever
// it does is what the caller gets.
func TestInterceptorOutcomes(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own")
	errs := new(mesh.Errors)
	errs.Add(1, errOwn)
	for name, c := range map[string]struct {
		wrap func(next mesh.Invoker, ctx context.Context, in *mesh.Invocation) (json.RawMessage, error)
		got  string
		want error
		runs int
	}{
		"answers": {func(mesh.Invoker, context.Context, *mesh.Invocation) (json.RawMessage, error) {
			return json.RawMessage(`"mine"`), nil
		}, `"mine"`, nil, 0},
		"refuses": {func(mesh.Invoker, context.Context, *mesh.Invocation) (json.RawMessage, error) {
			return nil, errOwn
		}, "", errOwn, 0},
		"changes": {func(next mesh.Invoker, ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			result, err := next(ctx, in)
			return json.RawMessage(`["changed",` + string(result) + `]`), err
		}, `["changed",[1]]`, nil, 1},
		"runs it twice": {func(next mesh.Invoker, ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			if _, err := next(ctx, in); err != nil {
				return nil, err
			}
			return next(ctx, in)
		}, `[1]`, nil, 2},
		"answers with no JSON": {func(mesh.Invoker, context.Context, *mesh.Invocation) (json.RawMessage, error) {
			return json.RawMessage(`mine`), nil
		}, "", mesh.ErrInternal, 0},
		"panics": {func(mesh.Invoker, context.Context, *mesh.Invocation) (json.RawMessage, error) {
			panic("no")
		}, "", mesh.ErrInternal, 0},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			runs := 0
			h.worker(mesh.WorkerConfig{Errors: errs, Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
				return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) { return c.wrap(next, ctx, in) }
			}}}, mesh.NewService("tea").HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
				runs++
				return params, nil
			}))
			got, err := h.clientOf(mesh.ClientConfig{Errors: errs}).CallRaw(t.Context(), "tea.brew", json.RawMessage(`[1]`))
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.got, string(got))
			require.Equal(t, c.runs, runs)
		})
	}
}

// An interceptor's word, and what it puts into the context, reach what is inside.
func TestInterceptorContextAndStrings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				return next(context.WithValue(ctx, key{}, in.Strings["who"]), in)
			}
		}}}, mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			r, ok := mesh.RequestFrom(ctx)
			return json.Marshal(fmt.Sprintf("%v %v %s", ctx.Value(key{}), ok, r.Strings["who"]))
		}))
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{func(next mesh.Invoker) mesh.Invoker {
			return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
				in.Strings = map[string]string{"who": "me"}
				return next(ctx, in)
			}
		}}})
		got, err := c.CallRaw(t.Context(), "tea.brew", nil)
		require.NoError(t, err)
		require.Equal(t, `"me true me"`, string(got))
	})
}

func TestInterceptorParts(t *testing.T) {
	t.Parallel()
	errEnough := errors.New("enough")
	// keep lets even numbers pass, with a 1 before them.
	keep := func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			part := in.Part
			in.Part = func(value json.RawMessage) error {
				if (value[len(value)-1]-'0')%2 == 1 {
					return nil
				}
				return part(json.RawMessage("1" + string(value)))
			}
			return next(ctx, in)
		}
	}
	// stop ends a stream at the third value.
	stop := func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			part, n := in.Part, 0
			in.Part = func(value json.RawMessage) error {
				if n++; n == 3 {
					return errEnough
				}
				return part(value)
			}
			return next(ctx, in)
		}
	}
	// spoil makes the second value something that is no JSON.
	spoil := func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			part := in.Part
			in.Part = func(value json.RawMessage) error {
				if string(value) == "1" {
					value = json.RawMessage("01")
				}
				return part(value)
			}
			return next(ctx, in)
		}
	}
	for name, c := range map[string]struct {
		worker, client []mesh.Interceptor
		want           []int
		err            error
	}{
		"changed by the worker":         {worker: []mesh.Interceptor{keep}, want: []int{10, 12, 14, 16, 18}},
		"changed by the client":         {client: []mesh.Interceptor{keep}, want: []int{10, 12, 14, 16, 18}},
		"changed by both":               {worker: []mesh.Interceptor{keep}, client: []mesh.Interceptor{keep}, want: []int{110, 112, 114, 116, 118}},
		"ended by the worker":           {worker: []mesh.Interceptor{stop}, want: []int{0, 1}, err: errEnough},
		"ended by the client":           {client: []mesh.Interceptor{stop}, want: []int{0, 1}, err: errEnough},
		"two, the first outmost":        {worker: []mesh.Interceptor{stop, keep}, want: []int{10, 12}, err: errEnough},
		"made no JSON of by the worker": {worker: []mesh.Interceptor{spoil}, want: []int{0}, err: mesh.ErrInternal},
		"two, the second outmost":       {worker: []mesh.Interceptor{keep, stop}, want: []int{10}, err: errEnough},
	} {
		hubRun(t, name, func(t *testing.T) {
			var s streamCounter
			errs := new(mesh.Errors)
			errs.Add(1, errEnough)
			h := hubStart(t, mesh.BrokerConfig{})
			h.worker(mesh.WorkerConfig{Errors: errs, Interceptors: c.worker}, s.service())
			got, err := callCollect(streamNumbers.Call(t.Context(), h.clientOf(mesh.ClientConfig{Errors: errs, Interceptors: c.client}), streamCount{10}))
			require.Equal(t, c.want, got)
			require.ErrorIs(t, err, c.err)
			synctest.Wait()
			require.Len(t, s.ended, 1, "the handler has ended")
		})
	}
}

// A client's interceptor sees a call once, whatever the number of attempts; a
// worker's sees each run.
func TestInterceptorSeesRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var client, worker interceptNotes
		network := inproc.New(inproc.Config{})
		inside, open := make(chan string, 10), make(chan struct{})
		brokers := make(map[string]*mesh.Mesh)
		start := func(name string) {
			brokers[name] = callStart(t, mesh.Config{
				Transport: network, Listen: []string{"inproc://" + name},
				Worker: mesh.WorkerConfig{Interceptors: []mesh.Interceptor{worker.around("run")}},
			}, mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				inside <- name
				select {
				case <-open:
					return nil, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}, mesh.Idempotent()))
		}
		start("a")
		start("b")
		c := callDial(t, mesh.ClientConfig{
			Transport: network, Brokers: manyEndpoints("a", "b"), Interceptors: []mesh.Interceptor{client.around("call")},
		})
		out := hubCall(t.Context(), c, "tea.brew", `{}`, mesh.Idempotent())
		first := <-inside
		_ = brokers[first].Broker().Shutdown(hubOver()) // in the middle of it
		second := <-inside
		require.NotEqual(t, first, second)
		start(first)
		_ = brokers[second].Broker().Shutdown(hubOver())
		require.Equal(t, first, <-inside)
		close(open)
		require.NoError(t, (<-out).err)
		synctest.Wait()
		require.Equal(t, []string{"call in", "call out"}, client.text)
		require.Len(t, worker.text, 6)
	})
}

func TestLogging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		atWorker, atClient := new(hubLog), new(hubLog)
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Interceptors: []mesh.Interceptor{mesh.Logging(atWorker.logger())}}, mesh.NewService("tea").
			HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
				<-time.After(3 * time.Second)
				return params, nil
			}).
			HandleRaw("fail", func(context.Context, json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(`"payload"`), mesh.Errorf(7, "out of tea")
			}).
			HandleRawStream("pour", func(context.Context, json.RawMessage) iter.Seq2[json.RawMessage, error] {
				return func(yield func(json.RawMessage, error) bool) { yield(json.RawMessage(`"payload"`), nil) }
			}))
		c := h.clientOf(mesh.ClientConfig{Interceptors: []mesh.Interceptor{mesh.Logging(atClient.logger())}})
		params := json.RawMessage(`{"kind":"payload"}`)
		require.NoError(t, callLast(c.CallRaw(t.Context(), "tea.brew", params)))
		for side, log := range map[string]*hubLog{"false": atWorker, "true": atClient} {
			require.Regexp(t, `level=DEBUG msg=invocation service=tea method=brew took=3s client=`+side+`\n`, log.String())
		}
		require.Error(t, callLast(c.CallRaw(t.Context(), "tea.fail", params)))
		require.NoError(t, callDrain(c.StreamRaw(t.Context(), "tea.pour", params)))
		for side, log := range map[string]*hubLog{"false": atWorker, "true": atClient} {
			require.Regexp(t, `level=WARN msg=invocation service=tea method=fail took=0s client=`+side+` error=".*out of tea"\n`, log.String())
			require.Regexp(t, `level=DEBUG msg=invocation service=tea method=pour `, log.String())
			require.NotContains(t, log.String(), "payload")
		}
	})
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker, client time.Duration // 0: none
		call           time.Duration
		want           time.Duration
		local          bool
	}{
		"at the worker":               {worker: 2 * time.Second, call: 10 * time.Second, want: 2 * time.Second},
		"at the client":               {client: 2 * time.Second, call: 10 * time.Second, want: 2 * time.Second, local: true},
		"at both":                     {client: 3 * time.Second, worker: 2 * time.Second, call: 10 * time.Second, want: 2 * time.Second},
		"the caller's is the shorter": {worker: 10 * time.Second, client: 10 * time.Second, call: 2 * time.Second, want: 2 * time.Second, local: true},
	} {
		hubRun(t, name, func(t *testing.T) {
			with := func(d time.Duration) []mesh.Interceptor {
				if d == 0 {
					return nil
				}
				return []mesh.Interceptor{mesh.Deadline(d)}
			}
			h := hubStart(t, mesh.BrokerConfig{})
			left, release := make(chan time.Duration, 1), make(chan struct{})
			h.worker(mesh.WorkerConfig{Interceptors: with(c.worker)}, mesh.NewService("tea").HandleRaw("brew",
				func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					deadline, _ := ctx.Deadline()
					left <- time.Until(deadline)
					<-ctx.Done()
					if c.local {
						<-release // a reply that comes with the deadline would win
					}
					return nil, ctx.Err()
				}))
			start := time.Now()
			_, err := h.clientOf(mesh.ClientConfig{Interceptors: with(c.client)}).CallRaw(t.Context(), "tea.brew", nil, mesh.Timeout(c.call))
			close(release)
			require.ErrorIs(t, err, mesh.ErrTimeout)
			if !c.local { // otherwise the broker's word may come at the same moment
				require.False(t, callError(t, err).Local)
			}
			require.Equal(t, c.want, time.Since(start))
			require.Equal(t, c.want, <-left)
		})
	}
}
