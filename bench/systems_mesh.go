package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

var (
	echoTyped       = mesh.NewMethod[message, message]("echo.typed")
	echoTypedInline = mesh.NewMethod[message, message]("echo.typed_inline", mesh.Inline())
)

const (
	echoRaw       = "echo.raw"
	echoRawInline = "echo.raw_inline"
)

// echo returns the service that all of mesh's systems call.
func echo() *mesh.Service {
	raw := func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }
	typed := func(_ context.Context, m message) (message, error) { return m, nil }
	return mesh.NewService("echo").HandleRaw("raw", raw).HandleRaw("raw_inline", raw, mesh.Inline()).
		Handle(echoTyped.With(typed), echoTypedInline.With(typed))
}

// network returns the transport of one process, and the key by which it knows
// the broker, empty where there is none.
type network func(s setting) (t transport.Transport, serverKey string, err error)

var zmtpNetwork network = func(setting) (transport.Transport, string, error) {
	return zmtp.New(zmtp.Config{}), "", nil
}

// broker starts a broker on a free port.
func (n network) broker(ctx context.Context, s setting) (string, error) {
	t, _, err := n(s)
	if err != nil {
		return "", err
	}
	debug.SetGCPercent(400) // as "mesh broker" does
	return meshBroker(ctx, t, "tcp://127.0.0.1:*")
}

// worker starts workers, each with a connection and the capacity for all calls.
func (n network) worker(ctx context.Context, s setting) (string, error) {
	t, key, err := n(s)
	if err != nil {
		return "", err
	}
	return "", meshWorkers(ctx, t, transport.Endpoint{Addr: s.Address, ServerKey: key}, s)
}

// raw connects clients that send JSON which nobody reads.
func (n network) raw(ctx context.Context, s setting) ([]connection, error) {
	return n.connect(ctx, s, rawConnections(echoRaw))
}

// typed connects clients that call a method of Go types.
func (n network) typed(ctx context.Context, s setting) ([]connection, error) {
	return n.connect(ctx, s, typedConnections(echoTyped))
}

func (n network) connect(ctx context.Context, s setting, kind clientKind) ([]connection, error) {
	t, key, err := n(s)
	if err != nil {
		return nil, err
	}
	return meshClients(ctx, t, transport.Endpoint{Addr: s.Address, ServerKey: key}, s, kind)
}

// meshAlone runs everything in one process.
func meshAlone(kind clientKind) func(context.Context, setting) ([]connection, error) {
	return func(ctx context.Context, s setting) ([]connection, error) {
		m, err := mesh.Start(ctx, mesh.Config{})
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = m.Stop(context.Background()) })
		for range s.Workers {
			if _, err := m.AddWorker(ctx, mesh.WorkerConfig{Capacity: s.Capacity}, echo()); err != nil {
				return nil, err
			}
		}
		out := make([]connection, s.Clients)
		for i := range out {
			client, err := m.NewClient(mesh.ClientConfig{})
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = client.Close() })
			out[i] = kind(ctx, client)
		}
		return out, nil
	}
}

func meshBroker(ctx context.Context, t transport.Transport, address string) (string, error) {
	broker, err := mesh.NewBroker(mesh.BrokerConfig{})
	if err != nil {
		return "", err
	}
	listener, err := t.Listen(ctx, address)
	if err != nil {
		return "", err
	}
	go complain(ctx, func() error { return broker.Serve(ctx, listener) })
	return listener.Addr(), nil
}

func meshWorkers(ctx context.Context, t transport.Transport, to transport.Endpoint, s setting) error {
	for range s.Workers {
		worker, err := mesh.NewWorker(mesh.WorkerConfig{Transport: t, Brokers: []transport.Endpoint{to}, Capacity: s.Capacity}, echo())
		if err != nil {
			return err
		}
		go complain(ctx, func() error { return worker.Run(ctx) })
		select {
		case <-worker.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func meshClients(ctx context.Context, t transport.Transport, to transport.Endpoint, s setting, kind clientKind) ([]connection, error) {
	out := make([]connection, s.Clients)
	for i := range out {
		client, err := mesh.NewClient(mesh.ClientConfig{Transport: t, Brokers: []transport.Endpoint{to}})
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = client.Close() })
		out[i] = kind(ctx, client)
	}
	return out, nil
}

// clientKind says what a client calls.
type clientKind func(context.Context, *mesh.Client) connection

func rawConnections(method string) clientKind {
	return func(ctx context.Context, client *mesh.Client) connection {
		return func(size int) func() error {
			params := json.RawMessage(payload(size))
			return func() error {
				result, err := client.CallRaw(ctx, method, params)
				if err != nil {
					return err
				}
				return checkSize(len(result), size)
			}
		}
	}
}

func typedConnections(method *mesh.Method[message, message]) clientKind {
	return func(ctx context.Context, client *mesh.Client) connection {
		return func(size int) func() error {
			m := newMessage(size)
			return func() error {
				result, err := method.Call(ctx, client, m)
				if err != nil {
					return err
				}
				return checkSize(len(result.Text), len(m.Text))
			}
		}
	}
}

// complain says why something ended that should go on.
func complain(ctx context.Context, run func() error) {
	if err := run(); ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "bench: ended early:", err)
	}
}
