// Package endtoend is a suite of whole meshes: brokers, workers and clients over a
// transport. Each transport that is not only for tests passes it, in memory and over
// sockets alike, so it runs in real time and waits for events, never for time.
package endtoend

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// Fixture is what the suite needs to know of a transport. Each case gets a new one.
type Fixture struct {
	// Broker listens, Peer dials. They may be the same.
	Broker, Peer transport.Transport
	// Addr is where a broker is to listen; a wildcard, or a new one with each call.
	Addr func() string
	// ServerKey is what a peer must know of the broker; empty: nothing.
	ServerKey string
	// Name is what the broker knows peers by; empty: they aren't authenticated.
	Name string
}

var cases = []struct {
	name string
	run  func(*bed)
}{
	{"Typed", testTyped},
	{"Errors", testErrors},
	{"Identity", testIdentity},
	{"Many", testMany},
	{"Large", testLarge},
	{"Stream", testStream},
	{"StreamNobodyReads", testStreamNobodyReads},
	{"Cancel", testCancel},
	{"Deadline", testDeadline},
	{"Notify", testNotify},
	{"Opaque", testOpaque},
	{"Keyed", testKeyed},
	{"WorkerLost", testWorkerLost},
	{"WorkerStops", testWorkerStops},
	{"BrokerStops", testBrokerStops},
	{"BrokerComesBack", testBrokerComesBack},
}

// Run runs the suite, one case after the other, and fails a case that leaves a
// goroutine behind. It must not be called from a parallel test.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			t.Cleanup(cancel)
			c.run(&bed{T: t, Fixture: newFixture(t), ctx: ctx, heartbeat: heartbeat})
		})
	}
}

// patience is how long a case may take before it fails. It is no part of what is
// tested.
const patience = time.Minute

// bed is what one case runs on.
type bed struct {
	*testing.T
	Fixture
	ctx       context.Context //nolint:containedctx // of the case: it ends with it
	heartbeat mesh.Heartbeat  // of its brokers
}

// heartbeat is short, so that a case that loses a peer isn't long, and long enough for
// a machine that has much to do.
var heartbeat = mesh.Heartbeat{Interval: 100 * time.Millisecond, Liveness: 20}

// broker is a broker that runs.
type broker struct {
	*mesh.Broker
	endpoint transport.Endpoint
	events   *mesh.Subscription
}

// broker starts a broker that ends with the case.
func (b *bed) broker(addr string) *broker {
	b.Helper()
	l, err := b.Broker.Listen(b.ctx, addr)
	require.NoError(b, err)
	br, err := mesh.NewBroker(mesh.BrokerConfig{Heartbeat: b.heartbeat})
	require.NoError(b, err)
	events := br.Subscribe(0)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = br.Serve(context.Background(), l) // the case sees how it ends
	}()
	b.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = br.Shutdown(over) // it may have ended in the case
		<-served
	})
	return &broker{br, transport.Endpoint{Addr: l.Addr(), ServerKey: b.ServerKey}, events}
}

// await waits for an event.
func (b *bed) await(br *broker, kind mesh.EventKind) mesh.Event {
	b.Helper()
	for {
		select {
		case e, ok := <-br.events.Events():
			require.True(b, ok, "the broker ended before an event: %v", kind)
			if e.Kind == kind {
				return e
			}
		case <-b.ctx.Done():
			require.FailNow(b, "waited in vain for an event", "%v", kind)
		}
	}
}

// worker starts a worker that ends with the case, and returns once it has
// registered.
func (b *bed) worker(brokers []*broker, services ...*mesh.Service) *mesh.Worker {
	b.Helper()
	w, err := mesh.NewWorker(mesh.WorkerConfig{
		Transport: b.Peer, Brokers: endpoints(brokers), Errors: applicationErrors(),
		Redial: mesh.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond},
	}, services...)
	require.NoError(b, err)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = w.Run(context.Background()) // likewise
	}()
	b.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = w.Shutdown(over) // it may have ended in the case
		<-ran
	})
	select {
	case <-w.Ready():
	case <-b.ctx.Done():
		require.FailNow(b, "the worker never registered")
	}
	return w
}

// client returns a client that ends with the case.
func (b *bed) client(brokers ...*broker) *mesh.Client {
	b.Helper()
	c, err := mesh.NewClient(mesh.ClientConfig{
		Transport: b.Peer, Brokers: endpoints(brokers), Name: "claimed", Errors: applicationErrors(),
		Redial: mesh.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond},
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func endpoints(brokers []*broker) []transport.Endpoint {
	var all []transport.Endpoint
	for _, br := range brokers {
		all = append(all, br.endpoint)
	}
	return all
}

// start starts a broker, a worker and a client.
func (b *bed) start(services ...*mesh.Service) (*broker, *mesh.Client) {
	b.Helper()
	br := b.broker(b.Addr())
	b.worker([]*broker{br}, services...)
	return br, b.client(br)
}
