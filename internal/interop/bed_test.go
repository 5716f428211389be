package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// logger writes to the test's log.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// within returns a context that bounds what shouldn't take long.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // it is for cleaning up, too
	t.Cleanup(cancel)
	return ctx
}

// bed is a broker of mesh on a port of its own.
type bed struct {
	t      *testing.T
	broker *mesh.Broker
	addr   string
	cut    context.CancelFunc // ends the broker without a goodbye
	served chan error

	mu      sync.Mutex // guards what follows
	events  []mesh.Event
	changed chan struct{}
}

// open starts a broker that ends with its test. If addr is empty, at a free port.
func open(t *testing.T, addr string, cfg mesh.BrokerConfig, tcp zmtp.Config) *bed {
	t.Helper()
	cfg.Logger, tcp.Logger = logger(t), logger(t)
	broker, err := mesh.NewBroker(cfg)
	require.NoError(t, err)
	if addr == "" {
		addr = "tcp://127.0.0.1:*"
	}
	l, err := zmtp.New(tcp).Listen(t.Context(), addr)
	require.NoError(t, err)
	ctx, cut := context.WithCancel(context.Background())
	b := &bed{t: t, broker: broker, addr: l.Addr(), cut: cut, served: make(chan error, 1), changed: make(chan struct{})}
	events := broker.Subscribe(1 << 16)
	var watching sync.WaitGroup
	watching.Go(func() { b.watch(events.Events()) })
	go func() { b.served <- broker.Serve(ctx, l) }()
	t.Cleanup(func() {
		b.crash()
		watching.Wait()
	})
	return b
}

// crash ends the broker without a goodbye.
func (b *bed) crash() {
	b.t.Helper()
	b.cut()
	select {
	case err := <-b.served:
		if !errors.Is(err, context.Canceled) {
			require.NoError(b.t, err)
		}
		b.served <- err
	case <-time.After(patience):
		require.FailNow(b.t, "the broker doesn't end")
	}
}

func (b *bed) watch(events <-chan mesh.Event) {
	for e := range events {
		b.mu.Lock()
		b.events = append(b.events, e)
		close(b.changed)
		b.changed = make(chan struct{})
		b.mu.Unlock()
	}
}

// count returns how many events of a service there were.
func (b *bed) count(kind mesh.EventKind, service string) (n int, changed chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.events {
		if b.events[i].Kind == kind && b.events[i].Service == service {
			n++
		}
	}
	return n, b.changed
}

// await waits until there were n events of a service.
func (b *bed) await(kind mesh.EventKind, service string, n int) {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		have, changed := b.count(kind, service)
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			require.FailNow(b.t, "no such event", "%d of %d: %s %s", have, n, service, kind)
		}
	}
}

// joined waits until services have a worker.
func (b *bed) joined(services ...string) {
	b.t.Helper()
	for _, service := range services {
		b.await(mesh.EventWorkerJoined, service, 1)
	}
}

// endpoints is where to find a broker.
func endpoints(addr string) []transport.Endpoint { return []transport.Endpoint{{Addr: addr}} }

// newClient returns a client of mesh.
func newClient(t *testing.T, addr string, cfg mesh.ClientConfig) *mesh.Client {
	t.Helper()
	cfg.Transport, cfg.Brokers, cfg.Logger = zmtp.New(zmtp.Config{}), endpoints(addr), logger(t)
	c, err := mesh.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// goWorker is a worker of mesh with the methods that those in testdata have.
type goWorker struct {
	worker *mesh.Worker
	held   chan string // the names of requests that are held
	free   chan struct{}
	over   chan error // the causes of the contexts of held requests that ended
	ran    chan error // what Run returned
}

func newWorker(t *testing.T, addr, service string, cfg mesh.WorkerConfig) *goWorker {
	t.Helper()
	w := &goWorker{held: make(chan string, 100), free: make(chan struct{}), over: make(chan error, 100), ran: make(chan error, 1)}
	s := mesh.NewService(service).
		HandleRaw("echo", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }, mesh.Idempotent()).
		HandleRaw("fail", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
			var e wireError
			if err := json.Unmarshal(params, &e); err != nil {
				return nil, err
			}
			return nil, &mesh.Error{Code: mesh.Code(e.Code), Message: e.Message, Data: e.Data}
		}).
		HandleRaw("crash", func(context.Context, json.RawMessage) (json.RawMessage, error) { panic("nobody should see this") }).
		HandleRaw("hold", w.hold(service), mesh.Idempotent()).
		HandleRaw("sleep", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
			var p struct{ MS int }
			if err := json.Unmarshal(params, &p); err != nil {
				return nil, err
			}
			<-time.After(time.Duration(p.MS) * time.Millisecond) // it is what the caller asked for
			return json.RawMessage(`{}`), nil
		}).
		HandleRawStream("count", func(_ context.Context, params json.RawMessage) iter.Seq2[json.RawMessage, error] {
			return func(yield func(json.RawMessage, error) bool) {
				var p struct{ N int }
				if err := json.Unmarshal(params, &p); err != nil {
					yield(nil, err)
					return
				}
				for n := range p.N {
					if !yield(fmt.Appendf(nil, `{"n":%d}`, n+1), nil) {
						return
					}
				}
			}
		}).
		HandleOpaque(func(_ context.Context, body [][]byte) ([][]byte, error) {
			if string(body[0]) == "stream" {
				return body[1:], nil
			}
			return body, nil
		})
	cfg.Transport, cfg.Brokers, cfg.Logger = zmtp.New(zmtp.Config{}), endpoints(addr), logger(t)
	var err error
	w.worker, err = mesh.NewWorker(cfg, s)
	require.NoError(t, err)
	go func() { w.ran <- w.worker.Run(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, w.worker.Shutdown(ctx))
		if err := <-w.ran; !errors.Is(err, mesh.ErrClosed) { // which it is where the test was over before it began
			require.NoError(t, err)
		}
	})
	return w
}

func (w *goWorker) hold(service string) func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
	return func(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
		var p struct{ Name string }
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, err
		}
		w.held <- p.Name
		select {
		case <-w.free:
			return fmt.Appendf(nil, `{"by":%q}`, "go "+service), nil
		case <-ctx.Done():
			w.over <- context.Cause(ctx)
			return nil, ctx.Err()
		}
	}
}
