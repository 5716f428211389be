package meshtest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/faulty"
	"github.com/mdpmesh/mesh/transport/inproc"
)

const scheme = "inproc://"

// network connects the ends of a mesh: an in-memory network with faults, where
// workers and clients can be dead and brokers down.
type network struct {
	faults *faulty.Transport

	mu   sync.Mutex         // guards what follows
	dead map[string]bool    // workers and clients by name; true where killed or crashed
	down map[string]*outage // by address of a broker
}

// outage is the time for which a broker is down.
type outage struct {
	silent bool          // it crashed: dials wait; otherwise they are refused
	over   chan struct{} // closed at the end
}

func newNetwork(c Config, trace func(faulty.Event)) *network {
	return &network{
		faults: faulty.New(inproc.New(inproc.Config{}), faulty.Config{Seed: c.Seed, LosePartitioned: c.LosePartitioned, Trace: trace}),
		dead:   make(map[string]bool), down: make(map[string]*outage),
	}
}

// join takes a name for a worker or a client, if nobody has it.
func (n *network) join(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.dead[name]; taken {
		return false
	}
	n.dead[name] = false
	return true
}

// knows reports whether a worker or client has the name.
func (n *network) knows(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, taken := n.dead[name]
	return taken
}

// bury makes all further dials of a worker or a client fail.
func (n *network) bury(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[name] = true
}

// takeDown takes a broker's address down. If it crashed, nobody is told.
func (n *network) takeDown(addr string, crashed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endOutage(addr)
	n.down[addr] = &outage{silent: crashed, over: make(chan struct{})}
}

// bringUp lets a broker's address be dialled.
func (n *network) bringUp(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endOutage(addr)
}

// endOutage ends what takeDown began. The caller holds mu.
func (n *network) endOutage(addr string) {
	if o := n.down[addr]; o != nil {
		close(o.over)
		delete(n.down, addr)
	}
}

// as returns the transport of a worker or a client.
func (n *network) as(name string) transport.Transport {
	return &dialler{Transport: n.faults.As(name), network: n, name: name}
}

// dialler is the transport of one worker or client.
type dialler struct {
	transport.Transport
	network *network
	name    string
}

// Dial connects to a broker that is up, and waits for one that crashed.
func (d *dialler) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	for {
		wait, err := d.network.path(d.name, to.Addr)
		switch {
		case err != nil:
			return nil, err
		case wait == nil:
			return d.dial(ctx, to)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *dialler) dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	conn, err := d.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	// What was killed meanwhile didn't take this connection with it.
	if wait, err := d.network.path(d.name, to.Addr); err != nil || wait != nil {
		_ = conn.Close() // it was never used
		return nil, fmt.Errorf("%w: one end is gone", transport.ErrRefused)
	}
	return conn, nil
}

// path says why name can't dial addr: it can't at all, or not before wait is
// closed.
func (n *network) path(name, addr string) (wait <-chan struct{}, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.down[addr]
	switch {
	case n.dead[name]:
		return nil, faulty.ErrCrashed
	case o == nil:
		return nil, nil
	case o.silent:
		return o.over, nil
	}
	return nil, fmt.Errorf("%w: %s is down", transport.ErrRefused, strings.TrimPrefix(addr, scheme))
}
