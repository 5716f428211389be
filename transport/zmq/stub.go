//go:build !cgo || !unix

package zmq

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
)

// Transport stands in for the one that has libzmq: its methods fail with
// [ErrUnavailable].
type Transport struct{}

var _ transport.Transport = (*Transport)(nil)

// New returns a Transport whose methods fail.
func New(Config) *Transport { return &Transport{} }

// Stats returns zeros: nothing listens.
func (*Transport) Stats() Stats { return Stats{} }

// Listen fails with [ErrUnavailable].
func (*Transport) Listen(_ context.Context, addr string) (transport.Listener, error) {
	return nil, fmt.Errorf("zmq: listen %q: %w", addr, ErrUnavailable)
}

// Dial fails with [ErrUnavailable].
func (*Transport) Dial(_ context.Context, to transport.Endpoint) (transport.Conn, error) {
	return nil, fmt.Errorf("zmq: dial %q: %w", to.Addr, ErrUnavailable)
}
