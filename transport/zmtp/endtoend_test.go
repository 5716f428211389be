package zmtp

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/mdpmesh/mesh/internal/endtoend"
)

func TestEndToEnd(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		endtoend.Run(t, func(*testing.T) endtoend.Fixture {
			z := New(Config{})
			return endtoend.Fixture{Broker: z, Peer: z, Addr: func() string { return "tcp://127.0.0.1:*" }}
		})
	})
	t.Run("IPC", func(t *testing.T) {
		endtoend.Run(t, func(t *testing.T) endtoend.Fixture {
			t.Helper()
			z, dir, n := New(Config{}), t.TempDir(), 0
			return endtoend.Fixture{Broker: z, Peer: z, Addr: func() string {
				n++
				return "ipc://" + filepath.Join(dir, strconv.Itoa(n))
			}}
		})
	})
	t.Run("CURVE", func(t *testing.T) {
		endtoend.Run(t, func(t *testing.T) endtoend.Fixture {
			t.Helper()
			server, client := newKeys(t), newKeys(t)
			return endtoend.Fixture{
				Broker: New(Config{Keys: server, Authenticate: allow(client, "peer")}), Peer: New(Config{Keys: client}),
				ServerKey: server.Public.String(), Name: "peer", Addr: func() string { return "tcp://127.0.0.1:*" },
			}
		})
	})
}
