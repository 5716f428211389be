package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/meshtest"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func TestNewWorkerRefuses(t *testing.T) {
	t.Parallel()
	good := func() mesh.WorkerConfig {
		return mesh.WorkerConfig{Transport: inproc.New(inproc.Config{}), Brokers: []transport.Endpoint{hubEndpoint()}}
	}
	one := []*mesh.Service{hubEcho()}
	for name, c := range map[string]struct {
		change   func(*mesh.WorkerConfig)
		services []*mesh.Service
		want     string
	}{
		"no transport":         {func(c *mesh.WorkerConfig) { c.Transport = nil }, one, "WorkerConfig.Transport is required"},
		"no brokers":           {func(c *mesh.WorkerConfig) { c.Brokers = nil }, one, "WorkerConfig.Brokers is required, or Discovery"},
		"negative shift":       {func(c *mesh.WorkerConfig) { c.Shift.Max = -1 }, one, "negative duration"},
		"no services":          {nil, nil, "no services"},
		"a service that's nil": {nil, []*mesh.Service{hubEcho(), nil}, "a service is nil"},
		"a service twice":      {nil, []*mesh.Service{hubEcho(), hubEcho()}, `two services named "echo"`},
		"negative brokers":     {func(c *mesh.WorkerConfig) { c.MaxBrokers = -1 }, one, "WorkerConfig.MaxBrokers is negative"},
		"unprintable instance": {func(c *mesh.WorkerConfig) { c.Instance = "w\n1" }, one, "WorkerConfig.Instance: instance isn't printable"},
		"long instance": {
			func(c *mesh.WorkerConfig) { c.Instance = strings.Repeat("w", 256) }, one, "WorkerConfig.Instance: instance is longer than 255 bytes",
		},
		"negative capacity":   {func(c *mesh.WorkerConfig) { c.Capacity = -1 }, one, "WorkerConfig.Capacity is negative"},
		"fast heartbeats":     {func(c *mesh.WorkerConfig) { c.Heartbeat.Interval = time.Millisecond }, one, "WorkerConfig.Heartbeat.Interval is 1ms"},
		"negative liveness":   {func(c *mesh.WorkerConfig) { c.Heartbeat.Liveness = -1 }, one, "WorkerConfig.Heartbeat.Liveness is negative"},
		"negative dial time":  {func(c *mesh.WorkerConfig) { c.DialTimeout = -1 }, one, "negative duration"},
		"negative redial":     {func(c *mesh.WorkerConfig) { c.Redial.Min = -1 }, one, "negative duration"},
		"an unknown language": {func(c *mesh.WorkerConfig) { c.Speak = 99 }, one, "WorkerConfig.Speak is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good()
			if c.change != nil {
				c.change(&cfg)
			}
			w, err := mesh.NewWorker(cfg, c.services...)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "mesh: ")
			require.Nil(t, w)
		})
	}
	_, err := mesh.NewWorker(good(), one...)
	require.NoError(t, err)
}

func TestWorkerConfigIsCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		brokers := []transport.Endpoint{hubEndpoint()}
		made, err := mesh.NewWorker(mesh.WorkerConfig{Transport: h.net, Brokers: brokers}, hubEcho())
		require.NoError(t, err)
		brokers[0].Addr = "inproc://elsewhere"
		ran := make(chan error, 1)
		go func() { ran <- made.Run(context.Background()) }()
		select {
		case <-made.Ready():
		case <-time.After(time.Hour):
		}
		require.NoError(t, made.Shutdown(t.Context()))
		require.Len(t, h.events.list(mesh.EventWorkerJoined), 1)
		require.NoError(t, <-ran)
	})
}

func TestWorkerRunIsRefused(t *testing.T) {
	t.Parallel()
	hubRun(t, "twice", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		w := h.worker(mesh.WorkerConfig{}, hubEcho())
		require.ErrorIs(t, w.Run(t.Context()), mesh.ErrClosed)
		result, err := h.client().CallRaw(t.Context(), "echo.say", json.RawMessage(`[1]`))
		require.NoError(t, err, "the first Run goes on")
		require.JSONEq(t, `[1]`, string(result))
	})
	hubRun(t, "after Shutdown", func(t *testing.T) {
		w, err := mesh.NewWorker(mesh.WorkerConfig{
			Transport: inproc.New(inproc.Config{}), Brokers: []transport.Endpoint{hubEndpoint()},
		}, hubEcho())
		require.NoError(t, err)
		require.NoError(t, w.Shutdown(t.Context()))
		require.ErrorIs(t, w.Run(t.Context()), mesh.ErrClosed)
	})
	hubRun(t, "after it ended", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		w := h.worker(mesh.WorkerConfig{}, hubEcho())
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, <-w.ran)
		require.ErrorIs(t, w.Run(t.Context()), mesh.ErrClosed)
		for range 100 {
			require.NoError(t, w.Shutdown(hubOver()), "it is over, whatever the context says")
		}
	})
}

// A worker runs as many requests at once as its capacity says, of all its services
// together, and never more.
func TestWorkerCapacity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity, calls = 3, 30
		h := hubStart(t, mesh.BrokerConfig{})
		var running, most atomic.Int64
		work := func(context.Context, json.RawMessage) (json.RawMessage, error) {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				continue
			}
			<-time.After(time.Second)
			running.Add(-1)
			return nil, nil
		}
		h.worker(mesh.WorkerConfig{Capacity: capacity},
			mesh.NewService("a").HandleRaw("work", work), mesh.NewService("b").HandleRaw("work", work))
		c := h.client()
		start := time.Now()
		var outcomes []<-chan hubOutcome
		for i := range calls {
			outcomes = append(outcomes, hubCall(t.Context(), c, []string{"a.work", "b.work"}[i%2], `{}`))
		}
		synctest.Wait()
		s := h.snapshot()
		require.Equal(t, capacity, s.Workers[0].Capacity)
		require.Equal(t, capacity, s.Workers[0].Running)
		require.Equal(t, calls-capacity, s.Queued)
		for _, out := range outcomes {
			require.NoError(t, (<-out).err)
		}
		require.EqualValues(t, capacity, most.Load())
		require.Equal(t, calls/capacity*time.Second, time.Since(start), "no room was left unused")
	})
}

func TestWorkerOfSeveralServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		which := func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, nil }
		var services []*mesh.Service
		for i := range 5 {
			name := fmt.Sprintf("s%d", i)
			services = append(services, mesh.NewService(name).
				HandleRaw("am", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					r, ok := mesh.RequestFrom(ctx)
					if !ok || r.Service != name {
						return nil, errors.New("not mine")
					}
					return json.RawMessage(`"` + name + `"`), nil
				}).
				HandleRaw(fmt.Sprintf("only%d", i), which))
		}
		h.worker(mesh.WorkerConfig{}, services...)
		c := h.client()
		for i := range 5 {
			name := fmt.Sprintf("s%d", i)
			result, err := c.CallRaw(t.Context(), name+".am", nil)
			require.NoError(t, err)
			require.JSONEq(t, `"`+name+`"`, string(result))
			for j := range 5 {
				_, err = c.CallRaw(t.Context(), fmt.Sprintf("%s.only%d", name, j), nil)
				if i == j {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, mesh.ErrNoMethod)
				}
			}
		}
		require.Len(t, h.snapshot().Workers, 1)
		require.Len(t, h.snapshot().Workers[0].Services, 5)
	})
}

// A worker that is shut down finishes what it has and gets nothing new; nobody who
// calls notices.
func TestWorkerShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		var mu sync.Mutex
		began := make(map[string][]time.Time)
		ended := make(map[string]int)
		serve := func(name string) *hubWorker {
			return h.worker(mesh.WorkerConfig{Capacity: 2}, mesh.NewService("tea").HandleRaw("brew",
				func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					mu.Lock()
					began[name] = append(began[name], time.Now())
					mu.Unlock()
					select {
					case <-time.After(time.Second):
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
					mu.Lock()
					ended[name]++
					mu.Unlock()
					return nil, nil
				}))
		}
		leaves, stays := serve("leaves"), serve("stays")
		c := h.client()
		var callers sync.WaitGroup
		errs := make(chan error, 1000)
		for i := range 8 {
			callers.Go(func() {
				<-time.After(time.Duration(i) * 130 * time.Millisecond)
				for range 10 {
					errs <- callLast(c.CallRaw(t.Context(), "tea.brew", nil))
				}
			})
		}
		<-time.After(4500 * time.Millisecond)
		stopped := time.Now()
		require.NoError(t, leaves.Shutdown(t.Context()))
		require.NoError(t, <-leaves.ran)
		require.LessOrEqual(t, time.Since(stopped), time.Second, "it waited for what was running only")
		require.Positive(t, time.Since(stopped), "and for all of that")
		callers.Wait()
		close(errs)
		n := 0
		for err := range errs {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 80, n)

		mu.Lock()
		defer mu.Unlock()
		require.Len(t, began["leaves"], ended["leaves"], "it finished what it began")
		require.Len(t, began["leaves"], 10, "it was busy until then")
		for _, at := range began["leaves"] {
			require.False(t, at.After(stopped), "it took something new")
		}
		require.Equal(t, 80, ended["leaves"]+ended["stays"])
		require.Zero(t, h.snapshot().Counts.Requeued)
		require.NoError(t, stays.Shutdown(t.Context()))
	})
}

func TestWorkerShutdownWhoseContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		causes, release := make(chan error, 2), make(chan struct{})
		tea := mesh.NewService("tea").
			HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil, ctx.Err()
			}).
			HandleRaw("steep", func(context.Context, json.RawMessage) (json.RawMessage, error) {
				<-release // it takes no notice of its context
				return nil, nil
			})
		w := h.worker(mesh.WorkerConfig{}, tea)
		c := h.client()
		brew, steep := hubCall(t.Context(), c, "tea.brew", `{}`), hubCall(t.Context(), c, "tea.steep", `{}`)
		synctest.Wait()
		start := time.Now()
		require.Equal(t, context.DeadlineExceeded, w.Shutdown(hubWithin(t, time.Second)))
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, <-causes, mesh.ErrClosed)
		for _, out := range []<-chan hubOutcome{brew, steep} {
			err := (<-out).err
			require.ErrorIs(t, err, mesh.ErrWorkerLost)
			require.True(t, callError(t, err).HandedOver)
			require.False(t, callError(t, err).Local)
		}
		require.Equal(t, time.Second, time.Since(start), "the broker was told, and didn't have to find out")
		synctest.Wait()
		require.Empty(t, h.snapshot().Workers)
		require.Empty(t, w.ran, "Run waits for the handler")
		close(release)
		require.NoError(t, <-w.ran)
	})
}

func TestWorkerRunWhoseContextEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		"cancelled": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
		"its deadline": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		}, context.DeadlineExceeded},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := hubStart(t, mesh.BrokerConfig{})
			causes := make(chan error, 1)
			tea := mesh.NewService("tea").HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				<-time.After(time.Second)
				return nil, ctx.Err()
			})
			w, err := mesh.NewWorker(mesh.WorkerConfig{Transport: h.net, Brokers: []transport.Endpoint{hubEndpoint()}}, tea)
			require.NoError(t, err)
			synctest.Wait() // the broker listens
			ctx, cancel := end.ctx()
			defer cancel()
			ran := make(chan error, 1)
			go func() { ran <- w.Run(ctx) }()
			<-w.Ready()
			start := time.Now()
			out := hubCall(t.Context(), h.client(), "tea.brew", `{}`)
			require.ErrorIs(t, (<-out).err, mesh.ErrWorkerLost)
			require.Equal(t, time.Second, time.Since(start))
			require.ErrorIs(t, <-causes, mesh.ErrClosed)
			require.Equal(t, end.want, <-ran)
			require.Equal(t, 2*time.Second, time.Since(start), "Run returns after the last handler")
			require.NoError(t, w.Shutdown(t.Context()), "it is over")
		})
	}
}

// A worker that reaches no broker goes on trying, and stops at once when it is told
// to.
func TestWorkerWithoutBroker(t *testing.T) {
	t.Parallel()
	hubRun(t, "Shutdown", func(t *testing.T) {
		h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog)}
		w := h.workerOf(mesh.WorkerConfig{}, hubEcho())
		<-time.After(10 * time.Minute)
		synctest.Wait()
		start := time.Now()
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, <-w.ran)
		require.Zero(t, time.Since(start))
		select {
		case <-w.Ready():
			require.Fail(t, "no broker took the registration")
		default:
		}
	})
	hubRun(t, "a broker comes", func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		early := &hub{t: t, net: net, log: new(hubLog)}
		w := early.workerOf(mesh.WorkerConfig{Redial: mesh.Backoff{Min: time.Second, Max: 10 * time.Second}}, hubEcho())
		<-time.After(time.Hour)
		h := hubStartOn(t, net, mesh.BrokerConfig{})
		start := time.Now()
		<-w.Ready()
		require.LessOrEqual(t, time.Since(start), 10*time.Second)
		require.NoError(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)))
	})
}

// workerBrokers returns how a worker stands with each broker, by address, once all
// goroutines of the bubble wait.
func workerBrokers(w *mesh.Worker) map[string]mesh.WorkerBroker {
	synctest.Wait()
	all := make(map[string]mesh.WorkerBroker)
	for _, b := range w.Brokers() {
		all[b.Endpoint.Addr] = b
	}
	return all
}

// One worker serves three brokers at the same time, and comes back to one that was
// killed and restarted.
func TestWorkerServesAllBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		addrs := []string{"inproc://a", "inproc://b", "inproc://c"}
		var endpoints []transport.Endpoint
		for _, addr := range addrs {
			endpoints = append(endpoints, transport.Endpoint{Addr: addr})
		}
		start := func(addr string) *mesh.Broker {
			b, err := mesh.NewBroker(mesh.BrokerConfig{ID: addr})
			require.NoError(t, err)
			l, err := net.Listen(t.Context(), addr)
			require.NoError(t, err)
			go func() { _ = b.Serve(context.Background(), l) }()
			t.Cleanup(func() { _ = b.Shutdown(hubOver()) })
			return b
		}
		brokers := make(map[string]*mesh.Broker)
		for _, addr := range addrs {
			brokers[addr] = start(addr)
		}
		h := &hub{t: t, net: net, log: new(hubLog)}
		w := h.workerOf(mesh.WorkerConfig{Capacity: 12, Brokers: endpoints}, hubEcho())
		call := func(addr string) error {
			c, err := mesh.NewClient(mesh.ClientConfig{Transport: net, Brokers: []transport.Endpoint{{Addr: addr}}})
			require.NoError(t, err)
			defer func() { require.NoError(t, c.Close()) }()
			return callLast(c.CallRaw(t.Context(), "echo.say", nil, mesh.Timeout(time.Second)))
		}
		<-w.Ready()
		for addr, b := range workerBrokers(w.Worker) {
			require.Equal(t, mesh.WorkerServing, b.State)
			require.Equal(t, addr, b.Broker)
			require.NotEmpty(t, b.Incarnation)
			require.Equal(t, 4, b.Share)
			require.NoError(t, call(addr))
		}

		before := workerBrokers(w.Worker)["inproc://b"].Incarnation
		_ = brokers["inproc://b"].Shutdown(hubOver()) // at once
		<-time.After(time.Second)
		gone := workerBrokers(w.Worker)["inproc://b"]
		require.Contains(t, []mesh.WorkerBrokerState{mesh.WorkerWaiting, mesh.WorkerConnecting}, gone.State)
		require.Error(t, gone.Trouble)
		require.Zero(t, gone.Share)
		require.NoError(t, call("inproc://a"))
		require.NoError(t, call("inproc://c"))
		require.Contains(t, h.log.String(), "addr=inproc://b")

		brokers["inproc://b"] = start("inproc://b")
		<-time.After(time.Minute)
		back := workerBrokers(w.Worker)["inproc://b"]
		require.Equal(t, mesh.WorkerServing, back.State)
		require.NotEqual(t, before, back.Incarnation)
		require.NoError(t, back.Trouble)
		require.Equal(t, 4, back.Share)
		require.NoError(t, call("inproc://b"))

		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, <-w.ran)
		require.Empty(t, w.Brokers())
		for _, b := range brokers {
			s, err := b.Snapshot(t.Context())
			require.NoError(t, err)
			require.Empty(t, s.Workers)
		}
	})
}

// All brokers together never make a worker run more than its capacity, and what one of
// them leaves unused the others get.
func TestWorkerCapacityIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity = 8
		m := meshtest.Config{Brokers: 3}.New(t)
		var running, most atomic.Int64
		w := m.AddWorker(mesh.WorkerConfig{Capacity: capacity}, mesh.NewService("tea").HandleRaw("brew",
			func(context.Context, json.RawMessage) (json.RawMessage, error) {
				n := running.Add(1)
				for top := most.Load(); n > top && !most.CompareAndSwap(top, n); top = most.Load() {
					continue
				}
				<-time.After(10 * time.Millisecond)
				running.Add(-1)
				return nil, nil
			}))
		require.Len(t, workerBrokers(w), 3)
		start := time.Now()
		var outcomes []<-chan hubOutcome
		for range 800 {
			outcomes = append(outcomes, hubCall(t.Context(), m.Client(), "tea.brew", `{}`))
		}
		for _, out := range outcomes {
			require.NoError(t, (<-out).err)
		}
		require.LessOrEqual(t, most.Load(), int64(capacity))
		require.Less(t, time.Since(start), 1800*time.Millisecond, "hardly anything was left idle")
	})
}

// A worker without an address finds brokers by discovery, also those that come later,
// and doesn't try any more what discovery has taken back.
func TestWorkerDiscovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		found := make(workDiscovery)
		w, err := mesh.NewWorker(mesh.WorkerConfig{Transport: h.net, Discovery: found, Logger: h.log.logger()}, hubEcho())
		require.NoError(t, err)
		require.Empty(t, w.Brokers())
		ran := make(chan error, 1)
		go func() { ran <- w.Run(context.Background()) }()
		found <- nil
		<-time.After(time.Hour)
		require.Empty(t, workerBrokers(w))
		found <- []transport.Endpoint{hubEndpoint(), {Addr: "inproc://nobody"}}
		<-w.Ready()
		require.NoError(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)))
		require.Len(t, workerBrokers(w), 2)
		found <- nil
		synctest.Wait()
		require.Equal(t, mesh.WorkerServing, workerBrokers(w)[hubAddr].State, "it works, so it is kept")
		require.NoError(t, callLast(h.client().CallRaw(t.Context(), "echo.say", nil)))
		require.NoError(t, h.broker.Shutdown(hubOver()), "nothing was running")
		<-time.After(time.Hour)
		require.Empty(t, workerBrokers(w))
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, <-ran, "the discovery's end was waited for")
	})
}

// workDiscovery finds what a test tells it.
type workDiscovery chan []transport.Endpoint

func (d workDiscovery) Watch(ctx context.Context, found func([]transport.Endpoint)) error {
	for {
		select {
		case brokers := <-d:
			found(brokers)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// workBlind is a discovery that can't say anything.
type workBlind struct{ mesh.Discovery }

func (workBlind) Watch(context.Context, func([]transport.Endpoint)) error {
	return errors.New("no network")
}

func TestWorkerDiscoveryEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		w := h.worker(mesh.WorkerConfig{Discovery: workBlind{}, Brokers: []transport.Endpoint{hubEndpoint(), hubEndpoint()}}, hubEcho())
		require.Len(t, workerBrokers(w.Worker), 1, "what is listed is served all the same, once")
		require.Contains(t, h.log.String(), `msg="discovery ended" worker=`)
		require.Contains(t, h.log.String(), "no network")
		require.NoError(t, w.Shutdown(t.Context()))

		before := len(h.log.String())
		w = h.worker(mesh.WorkerConfig{Discovery: mesh.Combine(workBlind{}, mesh.Static(hubEndpoint()))}, hubEcho())
		synctest.Wait()
		require.Contains(t, h.log.String()[before:], `msg="a discovery has ended, the others go on" worker=`)
		require.Contains(t, h.log.String()[before:], "discovery 1 of 2 ended: no network")
		require.NotContains(t, h.log.String()[before:], `msg="discovery ended"`)
		require.NoError(t, w.Shutdown(t.Context()))

		m, err := mesh.Start(t.Context(), mesh.Config{Worker: mesh.WorkerConfig{Discovery: workBlind{}}})
		require.NoError(t, err)
		defer func() { require.NoError(t, m.Stop(t.Context())) }()
	})
}

// Two addresses of one broker make one registration.
func TestWorkerServesABrokerOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net := inproc.New(inproc.Config{})
		h := &hub{t: t, net: net, log: new(hubLog)}
		broker, err := mesh.NewBroker(mesh.BrokerConfig{})
		require.NoError(t, err)
		served := make(chan error, 1)
		listeners := []transport.Listener{h.listen("inproc://one"), h.listen("inproc://two")}
		go func() { served <- broker.Serve(context.Background(), listeners...) }()
		w := h.workerOf(mesh.WorkerConfig{Capacity: 4, Brokers: []transport.Endpoint{{Addr: "inproc://one"}, {Addr: "inproc://two"}}}, hubEcho())
		<-w.Ready()
		<-time.After(time.Second)
		var states []mesh.WorkerBrokerState
		for _, b := range workerBrokers(w.Worker) {
			states = append(states, b.State)
		}
		require.ElementsMatch(t, []mesh.WorkerBrokerState{mesh.WorkerServing, mesh.WorkerStandby}, states)
		s, err := broker.Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, s.Workers, 1)
		require.Equal(t, 4, s.Workers[0].Capacity)
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, broker.Shutdown(t.Context()))
		require.NoError(t, <-served)
	})
}

// Of more brokers than it has places for a worker serves some, and others when those are
// gone.
func TestWorkerMaxBrokers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.Config{Brokers: 3}.New(t)
		w := m.AddWorker(mesh.WorkerConfig{MaxBrokers: 2}, hubEcho())
		states := func() (states map[mesh.WorkerBrokerState]int, served string) {
			<-time.After(time.Second)
			states = make(map[mesh.WorkerBrokerState]int)
			for _, b := range w.Brokers() {
				if states[b.State]++; b.State == mesh.WorkerServing {
					served = b.Broker
				}
			}
			return states, served
		}
		all, served := states()
		require.Equal(t, map[mesh.WorkerBrokerState]int{mesh.WorkerServing: 2, mesh.WorkerSpare: 1}, all)
		m.Kill(served)
		all, _ = states()
		require.Equal(t, map[mesh.WorkerBrokerState]int{mesh.WorkerServing: 2, mesh.WorkerSpare: 1}, all)
		m.Restart(served)
	})
}

// signpost is a transport whose addresses lead to others, as names do.
type signpost struct {
	transport.Transport
	mu sync.Mutex // guards to
	to map[string]string
}

func (s *signpost) Dial(ctx context.Context, e transport.Endpoint) (transport.Conn, error) {
	s.mu.Lock()
	e.Addr = s.to[e.Addr]
	s.mu.Unlock()
	return s.Transport.Dial(ctx, e)
}

func (s *signpost) lead(addr, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to[addr] = to
}

// Of two addresses of one broker the second comes to be another broker's.
func TestWorkerNoticesThatAnAddressMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		other, err := mesh.NewBroker(mesh.BrokerConfig{})
		require.NoError(t, err)
		served := make(chan error, 1)
		elsewhere := h.listen("inproc://elsewhere")
		go func() { served <- other.Serve(context.Background(), elsewhere) }()
		names := &signpost{Transport: h.net, to: map[string]string{"a": hubAddr, "b": hubAddr}}
		w := h.worker(mesh.WorkerConfig{Transport: names, Brokers: []transport.Endpoint{{Addr: "a"}, {Addr: "b"}}}, hubEcho())
		<-time.After(time.Minute)
		states := make(map[mesh.WorkerBrokerState]string)
		for addr, b := range workerBrokers(w.Worker) {
			states[b.State] = addr
		}
		require.Contains(t, states, mesh.WorkerServing)
		require.Contains(t, states, mesh.WorkerStandby)
		names.lead(states[mesh.WorkerStandby], "inproc://elsewhere")
		<-time.After(31 * time.Second)
		for _, b := range workerBrokers(w.Worker) {
			require.Equal(t, mesh.WorkerServing, b.State)
		}
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, other.Shutdown(t.Context()))
		require.NoError(t, <-served)
	})
}

// A worker that hears three heartbeats fewer than it should takes its broker for gone,
// works for the others, and comes back when it hears of it again.
func TestWorkerLosesHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.Config{Brokers: 2, LosePartitioned: true}.New(t)
		causes := make(chan error, 1)
		m.AddWorker(mesh.WorkerConfig{Redial: mesh.Backoff{Max: time.Second}}, hubEcho(), mesh.NewService("tea").HandleRaw("brew",
			func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil, nil
			}))
		synctest.Wait()
		joined := func(broker string) []meshtest.Observed {
			return m.Events(meshtest.Event(mesh.EventWorkerJoined).Service("echo").Broker(broker))
		}
		require.Len(t, joined("broker-1"), 1)
		require.Len(t, joined("broker-2"), 1)
		out := hubCall(t.Context(), m.Client(), "tea.brew", `{}`)
		its := m.Wait(meshtest.Event(mesh.EventDispatched).Service("tea")).Broker
		other := map[string]string{"broker-1": "broker-2", "broker-2": "broker-1"}[its]
		<-time.After(10 * time.Second)

		cut := time.Now()
		heal := m.Partition("worker-1", its)
		left := m.Wait(meshtest.Event(mesh.EventWorkerLeft).Broker(its).Service("tea"))
		require.NotZero(t, left)
		require.ErrorIs(t, <-causes, mesh.ErrBrokerLost)
		// The last sign of life came at most one interval before the cut.
		require.Greater(t, time.Since(cut), 5*time.Second-time.Millisecond)
		require.LessOrEqual(t, time.Since(cut), 7500*time.Millisecond)
		err := (<-out).err
		require.ErrorIs(t, err, mesh.ErrWorkerLost, "the broker noticed, too")
		require.LessOrEqual(t, time.Since(cut), 7500*time.Millisecond)

		heal()
		<-time.After(6 * time.Second) // a dial and a wait
		require.Len(t, joined(its), 2)
		require.Len(t, joined(other), 1, "the other one was never left")
		require.NoError(t, callLast(m.NewClient(mesh.ClientConfig{}).CallRaw(t.Context(), "echo.say", nil, mesh.NoRetry())))
	})
}

// Silence that is shorter than the liveness harms nobody.
func TestWorkerSurvivesShortSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.Config{Brokers: 2, LosePartitioned: true}.New(t, hubEcho())
		<-time.After(time.Second) // what is said once, at the start, must not be lost
		for range 10 {
			heal := m.Partition("worker-1", "broker-1")
			<-time.After(2400 * time.Millisecond) // one heartbeat is lost, at most
			heal()
			<-time.After(2700 * time.Millisecond)
		}
		require.Len(t, m.Events(meshtest.Event(mesh.EventWorkerJoined)), 2)
		require.Empty(t, m.Events(meshtest.Event(mesh.EventWorkerLeft)))
		require.NoError(t, callLast(m.Client().CallRaw(t.Context(), "echo.say", nil)))
	})
}

// A busy worker isn't taken for a dead one, nor does it take its broker for one.
func TestWorkerHeartbeatsWhileBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{Capacity: 1}, mesh.NewService("tea").HandleRaw("brew",
			func(context.Context, json.RawMessage) (json.RawMessage, error) {
				<-time.After(time.Hour)
				return json.RawMessage(`"at last"`), nil
			}))
		result, err := h.client().CallRaw(t.Context(), "tea.brew", nil, mesh.Timeout(2*time.Hour))
		require.NoError(t, err)
		require.JSONEq(t, `"at last"`, string(result))
		require.Empty(t, h.events.list(mesh.EventWorkerLeft))
	})
}

func TestWorkerRegistrationRefused(t *testing.T) {
	t.Parallel()
	hubRun(t, "all of it", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Limits: mesh.Limits{WorkerServices: 1}})
		w := h.workerOf(mesh.WorkerConfig{}, mesh.NewService("a").HandleRaw("raw", callEcho), mesh.NewService("b").HandleRaw("raw", callEcho))
		<-time.After(10 * time.Minute)
		select {
		case <-w.Ready():
			require.Fail(t, "it was refused")
		default:
		}
		require.Contains(t, h.log.String(), "the broker refused the registration")
		require.NoError(t, w.Shutdown(t.Context()))
		require.NoError(t, <-w.ran)
	})
	hubRun(t, "one service", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Limits: mesh.Limits{Services: 1}, NoWorkerWait: time.Nanosecond})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("a").HandleRaw("raw", callEcho), mesh.NewService("b").HandleRaw("raw", callEcho))
		<-time.After(time.Second) // the broker isn't young any more
		c := h.client()
		require.NoError(t, callLast(c.CallRaw(t.Context(), "a.raw", nil)))
		require.ErrorIs(t, callLast(c.CallRaw(t.Context(), "b.raw", nil)), mesh.ErrNoService)
		require.Contains(t, h.log.String(), `the broker refused service \"b\"`)
	})
	hubRun(t, "the first service", func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{Limits: mesh.Limits{Services: 1}, NoWorkerWait: time.Nanosecond})
		synctest.Wait() // the broker listens
		h.peer().works("b")
		w := h.worker(mesh.WorkerConfig{}, mesh.NewService("a").HandleRaw("raw", callEcho), mesh.NewService("b").HandleRaw("raw", callEcho))
		s := h.snapshot()
		require.Len(t, s.Workers, 2)
		require.Equal(t, []string{"b"}, s.Workers[1].Services)
		require.NoError(t, w.Shutdown(t.Context()))
	})
	hubRun(t, "by a broker that is draining", func(t *testing.T) {
		m := meshtest.Config{Brokers: 2}.New(t)
		gate := hubGated("door", "d")
		m.Serve(gate.service)
		out := hubCall(t.Context(), m.Client(), "door.pass", `{"who":"x"}`)
		<-gate.inside
		down := make(chan error, 1)
		go func() { down <- m.Brokers()[0].Shutdown(context.Background()) }()
		synctest.Wait()
		m.Serve(hubEcho())
		require.Empty(t, m.Events(meshtest.Event(mesh.EventWorkerJoined).Worker("worker-2").Broker("broker-1")))
		require.Len(t, m.Events(meshtest.Event(mesh.EventWorkerJoined).Worker("worker-2").Broker("broker-2")), 1)
		close(gate.open)
		require.NoError(t, (<-out).err)
		require.NoError(t, <-down)
	})
}

// A request that is in the hands of a worker that a broker sends away isn't lost
// twice: its handler is cancelled, and the worker is there again.
func TestWorkerSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		gate := hubGated("gate", "g")
		h.worker(mesh.WorkerConfig{Instance: "w"}, gate.service)
		c := h.client()
		out := hubCall(t.Context(), c, "gate.pass", `{"who":"x"}`)
		<-gate.inside
		_, err := h.broker.Snapshot(t.Context())
		require.NoError(t, err)
		h.peer().asks("mmi.disconnect", `{"jsonrpc":"2.0","id":1,"method":"mmi.disconnect","params":{"worker":"w"}}`)
		require.ErrorIs(t, (<-out).err, mesh.ErrWorkerLost)
		close(gate.open)
		require.NoError(t, callLast(c.CallRaw(t.Context(), "gate.pass", json.RawMessage(`{"who":"y"}`))))
		require.Len(t, h.events.list(mesh.EventWorkerJoined), 2)
	})
}

// workBroker is a broker that answers mmi.register with what a test says and
// hands the worker one request.
type workBroker struct {
	answer  string // result of mmi.register
	replies chan transport.Message
}

func (b *workBroker) accept(p transport.Peer) transport.Receiver { return &workPeer{b, p} }

type workPeer struct {
	broker *workBroker
	peer   transport.Peer
}

func (p *workPeer) Gone(error) {}

func (p *workPeer) Receive(batch []transport.Message) {
	for _, m := range batch {
		c, err := mdp.ParseBroker(m)
		switch {
		case err != nil:
			continue
		case c.Kind == mdp.ClientRequest:
			var env jsonrpc.Envelope
			jsonrpc.Scan(c.Body[0], &env)
			p.send(mdp.Command{Version: mdp.V02, Kind: mdp.ClientFinal, Service: c.Service, Body: [][]byte{jsonrpc.AppendResult(nil, env.ID, []byte(p.broker.answer))}})
			address := mdp.Address{Token: 1, Remaining: mdp.NoDeadline, Attempt: 1}
			p.send(mdp.Command{Version: mdp.V02, Kind: mdp.WorkerRequest, Address: address.AppendTo(nil), Body: hubFrames(`{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`)})
		case c.Kind == mdp.WorkerFinal:
			p.broker.replies <- m
		}
	}
}

func (p *workPeer) send(c mdp.Command) {
	if p.peer.Send(c.AppendTo(nil)) == nil {
		p.peer.Flush()
	}
}

// How large a reply may be is what the broker says, and the default where it
// doesn't say.
func TestWorkerReplySize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		code   mesh.Code // 0: the result comes
	}{
		"not said":  {`{"broker":"b","heartbeat_ms":2500,"liveness":3}`, 0},
		"enough":    {`{"broker":"b","heartbeat_ms":2500,"liveness":3,"max_message":8192}`, 0},
		"too small": {`{"broker":"b","heartbeat_ms":2500,"liveness":3,"max_message":4096}`, mesh.CodeTooLarge},
	} {
		hubRun(t, name, func(t *testing.T) {
			h := &hub{t: t, net: inproc.New(inproc.Config{}), log: new(hubLog)}
			b := &workBroker{answer: c.answer, replies: make(chan transport.Message, 1)}
			l := h.listen(hubAddr)
			ended := make(chan error, 1)
			go func() { ended <- l.Serve(context.Background(), b.accept) }()
			large := make(json.RawMessage, 5000)
			for i := range large {
				large[i] = '1'
			}
			w := h.workerOf(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew",
				func(context.Context, json.RawMessage) (json.RawMessage, error) { return large, nil }))
			m := <-b.replies
			var env jsonrpc.Envelope
			jsonrpc.Scan(m[len(m)-1], &env)
			if c.code == 0 {
				require.Equal(t, string(large), string(env.Result))
			} else {
				code, _, _, err := jsonrpc.ParseError(env.Error)
				require.NoError(t, err)
				require.Equal(t, c.code, mesh.Code(code))
			}
			require.ErrorIs(t, w.Shutdown(hubOver()), context.Canceled)
			require.NoError(t, <-w.ran)
			require.NoError(t, l.Close())
			require.ErrorIs(t, <-ended, transport.ErrClosed)
		})
	}
}
