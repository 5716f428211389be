package inproc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

const (
	scheme   = "inproc://"
	wildcard = "*"
)

var _ transport.Transport = (*Network)(nil)

// Network is an in-memory network: a name space of addresses and the
// connections between them. It needs no closing; what nobody refers to any more
// is collected. Its methods may be called from many goroutines at once.
type Network struct {
	cfg    Config
	cfgErr error // why Listen and Dial fail; nil for a valid Config

	mu        sync.Mutex // guards the fields below
	listeners map[string]*listener
	names     int // wildcard names given out
	links     int // connections made, for their identities
}

// New returns a Network without any listener. A Config with a negative field is
// reported by Listen and Dial.
func New(cfg Config) *Network {
	return &Network{
		cfg:       cfg.withDefaults(),
		cfgErr:    cfg.validate(),
		listeners: make(map[string]*listener),
	}
}

// Listen takes an address of the form "inproc://name". The name "*" picks a free
// one, which the listener's Addr tells. Any other form, and a name that is taken,
// is [transport.ErrAddress].
func (n *Network) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	l, err := n.listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("inproc: listen %q: %w", addr, err)
	}
	return l, nil
}

// Dial connects to a listener of this Network. The connection can be used at
// once, whether or not the listener's Serve has accepted it. An Endpoint with a
// ServerKey is refused as a bad address, since nothing here could check it. Where
// nobody listens, or too many connections wait to be accepted, the error is
// [transport.ErrRefused].
func (n *Network) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	return n.dialAs(ctx, to, "")
}

// As returns a view of the Network whose dialled connections the listeners see
// as authenticated under name (Identity.Name). Whoever holds the Network vouches
// for the name; there is no secret to prove.
func (n *Network) As(name string) transport.Transport {
	return &namedDialler{Network: n, name: name}
}

// namedDialler is a Network whose connections carry a name.
type namedDialler struct {
	*Network
	name string
}

func (d *namedDialler) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	return d.dialAs(ctx, to, d.name)
}

func (n *Network) dialAs(ctx context.Context, to transport.Endpoint, name string) (transport.Conn, error) {
	c, err := n.dial(ctx, to, name)
	if err != nil {
		return nil, fmt.Errorf("inproc: dial %q: %w", to.Addr, err)
	}
	return c, nil
}

func (n *Network) listen(ctx context.Context, addr string) (*listener, error) {
	if n.cfgErr != nil {
		return nil, n.cfgErr
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := parse(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if name == wildcard {
		name = n.freeName()
	} else if n.listeners[name] != nil {
		return nil, fmt.Errorf("%w: already in use", transport.ErrAddress)
	}
	l := newListener(n, name)
	n.listeners[name] = l
	return l, nil
}

func (n *Network) dial(ctx context.Context, to transport.Endpoint, identity string) (*conn, error) {
	if n.cfgErr != nil {
		return nil, n.cfgErr
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if to.ServerKey != "" {
		return nil, fmt.Errorf("%w: a server key can't be checked in process", transport.ErrAddress)
	}
	name, err := parse(to.Addr)
	if err != nil {
		return nil, err
	}
	if name == wildcard {
		return nil, fmt.Errorf("%w: a wildcard can't be dialled", transport.ErrAddress)
	}
	n.mu.Lock()
	l := n.listeners[name]
	n.links++
	number := n.links
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("%w: nobody listens", transport.ErrRefused)
	}
	c := newLink(&n.cfg, l, transport.Identity{
		Name:  identity,
		Addr:  to.Addr + "#" + strconv.Itoa(number),
		Local: true,
	})
	if err := l.add(c); err != nil {
		return nil, err
	}
	return (*conn)(c), nil
}

// freeName returns a name that no listener has. The caller holds mu.
func (n *Network) freeName() string {
	for {
		n.names++
		name := "auto-" + strconv.Itoa(n.names)
		if n.listeners[name] == nil {
			return name
		}
	}
}

// free gives the name of l up, unless another listener has taken it since.
func (n *Network) free(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[l.name] == l {
		delete(n.listeners, l.name)
	}
}

// parse returns the name in an address, or the wildcard.
func parse(addr string) (string, error) {
	name, ok := strings.CutPrefix(addr, scheme)
	switch {
	case !ok:
		return "", fmt.Errorf("%w: want inproc://name", transport.ErrAddress)
	case name == "":
		return "", fmt.Errorf("%w: the name is empty", transport.ErrAddress)
	case name != wildcard && strings.Contains(name, wildcard):
		return "", fmt.Errorf("%w: a wildcard stands alone", transport.ErrAddress)
	}
	return name, nil
}
