package transport

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Schemes is a transport that leaves each address to the transport of its
// scheme: the part before "://". An address without a scheme, or with one that
// has no transport here, is [ErrAddress].
//
//	transport.Schemes{"inproc": network, "tcp": tcp}
type Schemes map[string]Transport

var _ Transport = Schemes(nil)

// Listen listens at addr by the transport of its scheme.
func (s Schemes) Listen(ctx context.Context, addr string) (Listener, error) {
	t, err := s.of(addr)
	if err != nil {
		return nil, err
	}
	return t.Listen(ctx, addr)
}

// Dial connects to the endpoint by the transport of its address's scheme.
func (s Schemes) Dial(ctx context.Context, to Endpoint) (Conn, error) {
	t, err := s.of(to.Addr)
	if err != nil {
		return nil, err
	}
	return t.Dial(ctx, to)
}

func (s Schemes) of(addr string) (Transport, error) {
	scheme, _, ok := strings.Cut(addr, "://")
	if !ok {
		return nil, fmt.Errorf("%w: %q has no scheme, such as tcp://", ErrAddress, addr)
	}
	if t := s[scheme]; t != nil {
		return t, nil
	}
	known := slices.Sorted(maps.Keys(s))
	return nil, fmt.Errorf("%w: no transport for scheme %q; there are: %s", ErrAddress, scheme, strings.Join(known, ", "))
}
