//go:build cgo

package zmq_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/mdpmesh/mesh/internal/endtoend"
	"github.com/mdpmesh/mesh/transport/zmq"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// Whole meshes, also with peers that speak ZMTP in Go at a broker on libzmq, and the
// reverse.
func TestEndToEnd(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		endtoend.Run(t, func(*testing.T) endtoend.Fixture {
			z := zmq.New(zmq.Config{})
			return endtoend.Fixture{Broker: z, Peer: z, Addr: func() string { return "tcp://127.0.0.1:*" }}
		})
	})
	t.Run("IPC, peers in Go", func(t *testing.T) {
		endtoend.Run(t, func(t *testing.T) endtoend.Fixture {
			t.Helper()
			dir, n := t.TempDir(), 0
			return endtoend.Fixture{Broker: zmq.New(zmq.Config{}), Peer: zmtp.New(zmtp.Config{}), Addr: func() string {
				n++
				return "ipc://" + filepath.Join(dir, strconv.Itoa(n))
			}}
		})
	})
	t.Run("CURVE, broker in Go", func(t *testing.T) {
		endtoend.Run(t, func(t *testing.T) endtoend.Fixture {
			t.Helper()
			server, client := newKeys(t), newKeys(t)
			return endtoend.Fixture{
				Broker: zmtp.New(zmtp.Config{Keys: server, Authenticate: allow(client, "peer")}), Peer: zmq.New(zmq.Config{Keys: client}),
				ServerKey: server.Public.String(), Name: "peer", Addr: func() string { return "tcp://127.0.0.1:*" },
			}
		})
	})
}
