package meshtest

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
)

// The defaults of a [Config].
const (
	DefaultPatience    = 30 * time.Second
	DefaultMaxMessages = 10_000
)

// Config says what a mesh is like. The zero value is that of [New].
type Config struct {
	// Brokers is how many brokers there are. All workers and clients know all of
	// them, and begin with the first. If zero, 1.
	Brokers int
	// Broker is the config of each broker. ID is set by the mesh; Observe is
	// called, too.
	Broker mesh.BrokerConfig
	// Worker is the config of the workers that [Mesh.Serve] and [Mesh.Stub]
	// start. Transport and Brokers are set by the mesh, and so is Instance.
	Worker mesh.WorkerConfig
	// Client is the config of the first client. Transport and Brokers are set by
	// the mesh.
	Client mesh.ClientConfig
	// Seed makes the faults of [Mesh.SetFaults] what they are. If zero, a random
	// one, which the log of a failed test tells.
	Seed uint64
	// LosePartitioned makes what is sent into a partition be lost. If false it
	// comes when the partition is healed.
	LosePartitioned bool
	// Patience is how long [Mesh.Wait] waits, and how long something of the mesh
	// may take to start and to end before the test fails. If zero,
	// DefaultPatience.
	Patience time.Duration
	// MaxMessages is how many messages are kept to be shown when the test
	// failed; the last ones are. If zero, DefaultMaxMessages.
	MaxMessages int
}

// Mesh is a mesh that belongs to a test. Its methods may be called from many
// goroutines, but those that can fail the test (all that start something, those
// that take a name, and Wait) only where the test may call FailNow. A name that no
// end has fails it.
type Mesh struct {
	t        testing.TB
	cfg      Config
	start    time.Time
	network  *network
	messages *messageLog
	events   *eventLog
	calls    *callLog
	logger   *slog.Logger
	brokers  []*broker
	client   *mesh.Client

	mu      sync.Mutex // guards what follows
	workers map[string]*worker
	clients map[string]*mesh.Client
	served  map[string]string             // by service, the worker that serves it
	stubs   map[string]map[string]*player // by service, then method
	numbers map[string]int                // names given out
}

// New starts a mesh with one broker, one client, and one worker of the services
// where there are any. It returns once the worker has registered. The mesh stops
// when the test ends.
func New(t testing.TB, services ...*mesh.Service) *Mesh {
	t.Helper()
	return Config{}.New(t, services...)
}

// New starts a mesh like the function of that name, but as c says.
func (c Config) New(t testing.TB, services ...*mesh.Service) *Mesh {
	t.Helper()
	if c.Brokers < 0 || c.Patience < 0 || c.MaxMessages < 0 {
		t.Fatalf("meshtest: a field of Config is negative: %d brokers, patience %v, %d messages", c.Brokers, c.Patience, c.MaxMessages)
	}
	c.Brokers = cmp.Or(c.Brokers, 1)
	c.Seed = cmp.Or(c.Seed, rand.Uint64()) //nolint:gosec // of faults, not of secrets
	c.Patience = cmp.Or(c.Patience, DefaultPatience)
	c.MaxMessages = cmp.Or(c.MaxMessages, DefaultMaxMessages)
	start := time.Now()
	m := &Mesh{
		t: t, cfg: c, start: start, calls: &callLog{start: start}, events: newEventLog(), messages: &messageLog{limit: c.MaxMessages},
		logger:  slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		workers: make(map[string]*worker), clients: make(map[string]*mesh.Client),
		served: make(map[string]string), stubs: make(map[string]map[string]*player), numbers: make(map[string]int),
	}
	m.network = newNetwork(c, m.messages.add)
	t.Cleanup(m.end)
	for i := range c.Brokers {
		b := &broker{mesh: m, name: "broker-" + strconv.Itoa(i+1)}
		m.brokers = append(m.brokers, b)
		b.start()
	}
	m.client = m.NewClient(c.Client)
	if len(services) > 0 {
		m.Serve(services...)
	}
	return m
}

// Client returns the first client.
func (m *Mesh) Client() *mesh.Client { return m.client }

// NewClient returns another client, which is closed with the mesh or before.
// Transport and Brokers of the config are set by the mesh. A Logger that is nil
// is that of the test.
func (m *Mesh) NewClient(cfg mesh.ClientConfig) *mesh.Client {
	m.t.Helper()
	name := m.name(cfg.Name, "client")
	cfg.Transport, cfg.Brokers = m.network.as(name), m.endpoints()
	cfg.Logger = cmp.Or(cfg.Logger, m.logger)
	c, err := mesh.NewClient(cfg)
	if err != nil {
		m.t.Fatalf("meshtest: %s: %v", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients[name] = c
	return c
}

// Broker returns the current run of the first broker, or its last one where it is
// down.
func (m *Mesh) Broker() *mesh.Broker { return m.brokers[0].current() }

// Brokers returns the current runs of all brokers, and the last one of each that
// is down.
func (m *Mesh) Brokers() []*mesh.Broker {
	all := make([]*mesh.Broker, len(m.brokers))
	for i, b := range m.brokers {
		all[i] = b.current()
	}
	return all
}

// endpoints returns where the brokers are.
func (m *Mesh) endpoints() []transport.Endpoint {
	all := make([]transport.Endpoint, len(m.brokers))
	for i, b := range m.brokers {
		all[i] = transport.Endpoint{Addr: b.addr()}
	}
	return all
}

// name takes the name that is wanted, or where none is, the next one of its kind.
func (m *Mesh) name(wanted, kind string) string {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if wanted == "" {
		m.numbers[kind]++
		wanted = kind + "-" + strconv.Itoa(m.numbers[kind])
	}
	if !m.network.join(wanted) {
		m.t.Fatalf("meshtest: two ends of the mesh are called %q", wanted)
	}
	return wanted
}

// patient returns a context that ends when the mesh's patience does.
func (m *Mesh) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), m.cfg.Patience)
}
