// Package mesh is reliable request-reply between services: clients call methods,
// workers serve them, and brokers stand between, queueing requests for each
// service and handing them to workers in turn.
//
// It speaks the Majordomo protocol (rfc.zeromq.org/spec/7 and 18) with JSON-RPC
// 2.0 in it, over any [transport.Transport]: inside one process, which needs no
// port (package transport/inproc), or over networks by ZeroMQ's wire protocol
// (package transport/zmtp), where programs in any language that has ZeroMQ take
// part. Neither needs cgo.
//
// # Services and calls
//
// A method is a value with Go types, which stands on both sides:
//
//	var Brew = mesh.NewMethod[Order, Cup]("tea.brew", mesh.Doc("Brews one cup."), mesh.Idempotent())
//
//	tea := mesh.NewService("tea").Handle(Brew.With(brew))   // the worker's side
//	cup, err := Brew.Call(ctx, client, Order{Sugar: 1})      // the client's side
//
// The types are the contract: parameters are checked against it before the handler
// runs, and documents and JSON Schemas travel with the worker's registration.
// Errors cross the wire as code, message and data, and come back as Go errors; see
// [Error] and [Errors].
//
// # One process
//
// [Start] runs a broker with services and a client in one process, for tests and
// for programs that are not distributed yet. [Broker], [Worker] and [Client] are
// the parts, for programs that are.
//
// # What is promised
//
// A call ends in exactly one outcome: a reply, an error, a timeout or its
// cancellation. A request that no worker was given is not lost with a worker;
// one that a worker was given runs again only where its method is declared
// [Idempotent]. Queues are bounded, and a full one says so at once. Deadlines and
// cancellation reach the handler's context. docs/design.md has the whole list.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// Version is the version of this library, as workers and brokers tell it to each
// other.
const Version = "0.1.0"

// Config says how a [Mesh] works. The zero value works.
type Config struct {
	// Broker is the broker's config.
	Broker BrokerConfig
	// Worker is the config of its workers. Transport and Brokers are set by the
	// mesh.
	Worker WorkerConfig
	// Client is the config of its clients. Transport and Brokers are set by the
	// mesh.
	Client ClientConfig
	// Transport carries the messages. If nil, an in-memory network of its own.
	Transport transport.Transport
	// Listen lists the addresses at which the broker listens; workers and clients
	// of the mesh use the first. If empty, "inproc://mesh".
	Listen []string
	// Logger is that of broker, workers and clients, where they have none of
	// their own.
	Logger *slog.Logger
}

// Mesh is a broker with workers and a client in one process.
type Mesh struct {
	cfg      Config
	broker   *Broker
	client   *Client
	endpoint transport.Endpoint
	inline   inliner

	served    chan struct{} // closed when the broker's Serve has returned
	servedErr error         // what it returned
	once      sync.Once     // closes ended
	ended     chan struct{} // closed when everything has stopped

	mu      sync.Mutex // guards what follows
	workers []*Worker
	stopped bool
	running sync.WaitGroup // the workers' Run
}

// Start starts a broker, a worker of the services if there are any, and a client.
// It returns once the worker has registered, or why something can't start. ctx
// bounds the start only. Stop the mesh when it is no longer needed.
func Start(ctx context.Context, cfg Config, services ...*Service) (*Mesh, error) {
	if cfg.Transport == nil {
		cfg.Transport = inproc.New(inproc.Config{})
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = []string{"inproc://mesh"}
	}
	if cfg.Broker.Logger == nil {
		cfg.Broker.Logger = cfg.Logger
	}
	if cfg.Worker.Logger == nil {
		cfg.Worker.Logger = cfg.Logger
	}
	if cfg.Client.Logger == nil {
		cfg.Client.Logger = cfg.Logger
	}
	m := &Mesh{cfg: cfg, served: make(chan struct{}), ended: make(chan struct{})}
	if err := m.start(ctx, services); err != nil {
		if stopErr := m.Stop(ctx); !errors.Is(err, stopErr) {
			err = errors.Join(err, stopErr)
		}
		return nil, err
	}
	return m, nil
}

func (m *Mesh) start(ctx context.Context, services []*Service) error {
	broker, err := NewBroker(m.cfg.Broker)
	if err != nil {
		return err
	}
	var listeners []transport.Listener
	for _, addr := range m.cfg.Listen {
		l, err := m.cfg.Transport.Listen(ctx, addr)
		if err != nil {
			for _, opened := range listeners {
				_ = opened.Close() // nobody has used it
			}
			return fmt.Errorf("mesh: %w", err)
		}
		listeners = append(listeners, l)
	}
	m.broker = broker
	m.endpoint = transport.Endpoint{Addr: listeners[0].Addr()}
	go func() {
		defer close(m.served)
		m.servedErr = broker.Serve(context.Background(), listeners...)
	}()
	if m.client, err = m.NewClient(m.cfg.Client); err != nil {
		return err
	}
	if len(services) > 0 {
		if _, err = m.AddWorker(ctx, m.cfg.Worker, services...); err != nil {
			return err
		}
	}
	return nil
}

// Broker returns the mesh's broker.
func (m *Mesh) Broker() *Broker { return m.broker }

// Client returns the mesh's client. It is closed with the mesh.
func (m *Mesh) Client() *Client { return m.client }

// Endpoint returns where the mesh's broker is.
func (m *Mesh) Endpoint() transport.Endpoint { return m.endpoint }

// NewClient returns another client of the mesh's broker. Whoever asked for it
// closes it. Transport and Brokers of the config are set by the mesh.
func (m *Mesh) NewClient(cfg ClientConfig) (*Client, error) {
	cfg.Transport, cfg.Brokers = m.cfg.Transport, []transport.Endpoint{m.endpoint}
	c, err := NewClient(cfg)
	if err != nil {
		return nil, err
	}
	c.link.inline = &m.inline
	return c, nil
}

// AddWorker starts another worker of the mesh, and returns once it has
// registered. It stops with the mesh, or by its own Shutdown. Transport and
// Brokers of the config are set by the mesh. If ctx ends before the worker has
// registered, it is stopped and ctx's error returned. After Stop it returns
// [ErrClosed].
func (m *Mesh) AddWorker(ctx context.Context, cfg WorkerConfig, services ...*Service) (*Worker, error) {
	cfg.Transport, cfg.Brokers = m.cfg.Transport, []transport.Endpoint{m.endpoint}
	w, err := NewWorker(cfg, services...)
	if err != nil {
		return nil, err
	}
	w.inline = &m.inline
	m.inline.add(w.methods)
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.workers = append(m.workers, w)
	ended := make(chan struct{})
	m.running.Go(func() {
		defer close(ended)
		_ = w.Run(context.Background()) // it ends by Shutdown, with no error
		m.forget(w)
	})
	m.mu.Unlock()
	select {
	case <-w.Ready():
		return w, nil
	case <-ended:
	case <-w.refused:
	case <-ctx.Done():
	}
	select {
	case <-w.Ready(): // what is ready comes first
		return w, nil
	case <-ended:
		return nil, ErrClosed // by Stop
	default:
	}
	err = w.notReady(ctx.Err())
	_ = w.Shutdown(ctx) // nothing runs; whether ctx has ended is in err
	return nil, err
}

// forget takes a worker that has ended from those that Stop stops.
func (m *Mesh) forget(w *Worker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers = slices.DeleteFunc(m.workers, func(other *Worker) bool { return other == w })
}

// Stop ends the mesh in the order that loses nothing: the workers finish what
// they run, the broker answers what is left, the client closes. If ctx ends
// before, what still runs is cut, and its error is returned; handlers that take no
// notice of their contexts aren't waited for. It may be called again, also while
// another call is waiting: each returns when the mesh has stopped or its own ctx
// ends, and returns nil where it has stopped already. Clients of [Mesh.NewClient]
// aren't closed.
func (m *Mesh) Stop(ctx context.Context) error {
	m.mu.Lock()
	m.stopped = true
	workers := slices.Clone(m.workers)
	m.mu.Unlock()
	select {
	case <-m.ended:
		return nil
	default:
	}
	var g errgroup.Group
	for _, w := range workers {
		g.Go(func() error { return w.Shutdown(ctx) })
	}
	errs := []error{g.Wait()}
	if m.broker != nil {
		errs = append(errs, m.broker.Shutdown(ctx))
		<-m.served
		if !errors.Is(m.servedErr, ErrClosed) { // otherwise it was stopped before it began
			errs = append(errs, m.servedErr)
		}
	}
	if m.client != nil {
		errs = append(errs, m.client.Close())
	}
	stopped := make(chan struct{})
	go func() {
		m.running.Wait()
		m.once.Do(func() { close(m.ended) })
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done(): // a handler takes no notice of its context
	}
	return errors.Join(errs...)
}
