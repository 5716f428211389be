package meshtest

import (
	"cmp"
	"context"
	"sync"

	"github.com/mdpmesh/mesh"
)

// broker is one broker of a mesh, through all its runs.
type broker struct {
	mesh *Mesh
	name string

	mu    sync.Mutex // guards what follows
	run   *mesh.Broker
	cut   context.CancelFunc // ends the run without a goodbye
	ended chan struct{}      // closed when the run has ended
}

func (b *broker) addr() string { return scheme + b.name }

func (b *broker) current() *mesh.Broker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run
}

// start begins a run.
func (b *broker) start() {
	m := b.mesh
	m.t.Helper()
	cfg := m.cfg.Broker
	cfg.ID = b.name
	cfg.Logger = cmp.Or(cfg.Logger, m.logger)
	observe := cfg.Observe
	cfg.Observe = func(batch []mesh.Event) {
		m.events.add(b.name, m.start, batch)
		if observe != nil {
			observe(batch)
		}
	}
	run, err := mesh.NewBroker(cfg)
	if err != nil {
		m.t.Fatalf("meshtest: %s: %v", b.name, err)
	}
	ctx, cut := context.WithCancel(context.Background())
	l, err := m.network.faults.Listen(ctx, b.addr())
	if err != nil {
		cut()
		m.t.Fatalf("meshtest: %s: %v", b.name, err)
	}
	ended := make(chan struct{})
	b.mu.Lock()
	b.run, b.cut, b.ended = run, cut, ended
	b.mu.Unlock()
	go func() {
		defer close(ended)
		_ = run.Serve(ctx, l) // it was told to end
	}()
	m.network.bringUp(b.addr())
}

// stop ends the run without a goodbye, and returns when nothing of it is left.
func (b *broker) stop() {
	b.mu.Lock()
	cut, ended := b.cut, b.ended
	b.mu.Unlock()
	if cut == nil {
		return // it never ran
	}
	cut()
	<-ended
}

// Restart starts a broker again that was killed, crashed or shut down: another run
// at the same address, which knows nothing of the earlier one.
func (m *Mesh) Restart(name string) {
	m.t.Helper()
	b := m.broker(name)
	if b == nil {
		m.t.Fatalf("meshtest: no broker is called %q", name)
	}
	select {
	case <-b.ended:
	default:
		m.t.Fatalf("meshtest: %s runs; kill, crash or shut it down before", name)
	}
	b.start()
}

// broker returns the broker of that name, or nil.
func (m *Mesh) broker(name string) *broker {
	for _, b := range m.brokers {
		if b.name == name {
			return b
		}
	}
	return nil
}
