package faulty

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// unnamed is what a dialler without a name is called.
const unnamed = "conn"

var _ transport.Transport = (*Transport)(nil)

// Transport is a transport with faults. Its methods may be called from many
// goroutines at once.
type Transport struct {
	inner  transport.Transport
	cfg    Config
	cfgErr error // why Listen and Dial fail; nil for a valid Config
	start  time.Time

	traceMu sync.Mutex // held while Config.Trace runs

	mu       sync.Mutex // guards the fields below; taken before the mutexes of a conn's directions
	up, down Faults
	links    []*conn // that haven't ended below, in the order in which they were made
	numbers  map[string]int
	parts    []*part
	healed   chan struct{} // closed and replaced when a partition ends
}

// New wraps inner. A Config that isn't valid is reported by Listen and Dial.
func New(inner transport.Transport, cfg Config) *Transport {
	return &Transport{
		inner:   inner,
		cfg:     cfg,
		cfgErr:  cfg.validate(),
		start:   time.Now(),
		up:      cfg.Up.withDefaults(),
		down:    cfg.Down.withDefaults(),
		numbers: make(map[string]int),
		healed:  make(chan struct{}),
	}
}

// Listen listens at the transport below. The listener has no faults of its own;
// those are at the diallers' ends.
func (t *Transport) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	if t.cfgErr != nil {
		return nil, t.cfgErr
	}
	return t.inner.Listen(ctx, addr)
}

// Dial dials through the transport below. While a partition keeps either end
// from hearing the other it waits, until the partition heals or ctx ends.
func (t *Transport) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	return t.dial(ctx, t.inner, unnamed, to)
}

// As returns a view of the Transport whose dialler is called name. If the
// transport below has a method As(name string) transport.Transport, as package
// inproc has, the connections are dialled through what it returns.
func (t *Transport) As(name string) transport.Transport {
	inner := t.inner
	if n, ok := inner.(interface {
		As(name string) transport.Transport
	}); ok {
		inner = n.As(name)
	}
	return &namedDialler{Transport: t, inner: inner, name: name}
}

// namedDialler is a Transport whose dialler has a name.
type namedDialler struct {
	*Transport
	inner transport.Transport
	name  string
}

func (d *namedDialler) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	return d.dial(ctx, d.inner, d.name, to)
}

// SetFaults changes the faults of all links, for messages from now on.
func (t *Transport) SetFaults(up, down Faults) error {
	if err := cmp.Or(up.validate("up"), down.validate("down")); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.down = up.withDefaults(), down.withDefaults()
	for _, c := range t.links {
		c.up.setFaults(t.up)
		c.down.setFaults(t.down)
	}
	return nil
}

// Close ends every link, also those that crashes and partitions keep alive
// below. It is for the end of a test.
func (t *Transport) Close() error {
	t.mu.Lock()
	links := slices.Clone(t.links)
	t.mu.Unlock()
	for _, c := range links {
		_ = c.Close()
		c.release()
	}
	return nil
}

func (t *Transport) dial(ctx context.Context, inner transport.Transport, name string, to transport.Endpoint) (transport.Conn, error) {
	if t.cfgErr != nil {
		return nil, t.cfgErr
	}
	if err := t.awaitPath(ctx, name, to.Addr); err != nil {
		err = fmt.Errorf("faulty: dial %q through a partition: %w", to.Addr, err)
		t.trace(Event{Kind: Dialled, From: name, To: to.Addr, Err: err})
		return nil, err
	}
	below, err := inner.Dial(ctx, to)
	if err != nil {
		t.trace(Event{Kind: Dialled, From: name, To: to.Addr, Err: err})
		return nil, err
	}
	return t.link(below, name, to.Addr), nil
}

// awaitPath waits until no partition is between a dialler and an address.
func (t *Transport) awaitPath(ctx context.Context, name, addr string) error {
	for {
		t.mu.Lock()
		dialler, listener := end{name, name}, end{addr, addr}
		parted := t.parted(dialler, listener) || t.parted(listener, dialler)
		healed := t.healed
		t.mu.Unlock()
		if !parted {
			return nil
		}
		select {
		case <-healed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// link makes the dialler's end of a new link.
func (t *Transport) link(below transport.Conn, name, addr string) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.numbers[name]++
	c := &conn{
		t:     t,
		inner: below,
		name:  name,
		label: fmt.Sprintf("%s#%d", name, t.numbers[name]),
		addr:  addr,
		ended: make(chan struct{}),
	}
	c.up.inner, c.up.deaf, c.up.closed = below, c.down.parted, func() { t.forget(c) }
	c.up.schedule = t.schedule(t.up, c, "up", c.label, c.addr)
	c.down.full, c.down.changed, c.down.idle = c.overflow, make(chan struct{}, 1), sync.NewCond(&c.down.mu)
	c.down.schedule = t.schedule(t.down, c, "down", c.addr, c.label)
	t.links = append(t.links, c)
	t.trace(Event{Kind: Dialled, From: c.label, To: c.addr})
	t.apply(c)
	return c
}

// schedule returns what decides on the messages from one end of c to the other.
func (t *Transport) schedule(faults Faults, c *conn, direction, from, to string) schedule {
	h := fnv.New64a()
	_, _ = h.Write([]byte(direction + " " + c.label))
	return schedule{
		faults:  faults,
		rng:     rand.New(rand.NewPCG(t.cfg.Seed, h.Sum64())), // #nosec G404 -- faults are to be repeatable
		maxHeld: cmp.Or(t.cfg.MaxHeld, DefaultMaxHeld),
		trace: func(kind Kind, m transport.Message, delay time.Duration, err error) {
			t.trace(Event{Kind: kind, From: from, To: to, Message: m, Delay: delay, Err: err})
		},
	}
}

// forget drops a link that has ended below.
func (t *Transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.links = slices.DeleteFunc(t.links, func(other *conn) bool { return other == c })
}

// trace gives an event to Config.Trace.
func (t *Transport) trace(e Event) {
	if t.cfg.Trace == nil {
		return
	}
	t.traceMu.Lock()
	defer t.traceMu.Unlock()
	e.At = time.Since(t.start)
	t.cfg.Trace(e)
}
