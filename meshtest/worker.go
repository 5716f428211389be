package meshtest

import (
	"cmp"
	"context"
	"slices"

	"github.com/mdpmesh/mesh"
)

// worker is one worker of a mesh.
type worker struct {
	stop  context.CancelFunc // ends it at once
	ended chan struct{}      // closed when its last handler has returned
}

// Serve starts another worker, as Config.Worker says, and returns once it has
// registered. It ends with the mesh, or by its own Shutdown.
func (m *Mesh) Serve(services ...*mesh.Service) *mesh.Worker {
	m.t.Helper()
	cfg := m.cfg.Worker
	cfg.Instance = ""
	return m.AddWorker(cfg, services...)
}

// AddWorker starts another worker with a config of its own, and returns once it
// has registered. It ends with the mesh, or by its own Shutdown. Transport and
// Brokers of the config are set by the mesh; Instance is the worker's name.
func (m *Mesh) AddWorker(cfg mesh.WorkerConfig, services ...*mesh.Service) *mesh.Worker {
	m.t.Helper()
	name := m.name(cfg.Instance, "worker")
	m.claim(name, services)
	return m.addWorker(name, cfg, services)
}

// claim notes that the services are served for real.
func (m *Mesh) claim(name string, services []*mesh.Service) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range services {
		if m.stubs[s.Name()] != nil {
			m.t.Fatalf("meshtest: service %q has a stub; calls would go to both in turn", s.Name())
		}
		m.served[s.Name()] = name
	}
}

func (m *Mesh) addWorker(name string, cfg mesh.WorkerConfig, services []*mesh.Service) *mesh.Worker {
	m.t.Helper()
	cfg.Instance = name
	cfg.Transport, cfg.Brokers = m.network.as(name), m.endpoints()
	cfg.Logger = cmp.Or(cfg.Logger, m.logger)
	cfg.Interceptors = slices.Concat([]mesh.Interceptor{m.calls.record(name)}, cfg.Interceptors)
	run, err := mesh.NewWorker(cfg, services...)
	if err != nil {
		m.t.Fatalf("meshtest: %s: %v", name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &worker{stop: stop, ended: make(chan struct{})}
	m.mu.Lock()
	m.workers[name] = w
	m.mu.Unlock()
	go func() {
		defer close(w.ended)
		_ = run.Run(ctx) // it was told to end
	}()
	patient, cancel := m.patient()
	defer cancel()
	select {
	case <-run.Ready():
	case <-patient.Done():
		m.t.Fatalf("meshtest: %s didn't register within %v", name, m.cfg.Patience)
	}
	return run
}
