//go:build !cgo || !unix

package zmq_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmq"
)

// Where libzmq isn't there, what needs it says so and no more.
func TestStub(t *testing.T) {
	t.Parallel()
	z := zmq.New(zmq.Config{})
	_, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
	require.ErrorIs(t, err, zmq.ErrUnavailable)
	require.ErrorContains(t, err, "cgo")
	require.Zero(t, z.Stats())
	_, err = z.Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1"})
	require.ErrorIs(t, err, zmq.ErrUnavailable)
}
