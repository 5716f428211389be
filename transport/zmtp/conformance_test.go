package zmtp

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// These tests listen on loopback, so they need sockets and real time.
func TestConformanceTCP(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
		t.Helper()
		return transporttest.Fixture{
			Transport:       New(Config{MaxMessageBytes: 1 << 20, MaxFrames: 200, MaxQueuedMessages: 5000}),
			Addr:            func() string { return "tcp://127.0.0.1:*" },
			BadAddrs:        []string{"tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:port", "tcp://127.0.0.1:70000", "tcp://::1:5", "tcp://a b:1"},
			MaxMessageBytes: 1 << 20,
			MaxFrames:       200,
			MaxQueued:       5000,
			Cut:             cut,
		}
	})
}

func TestConformanceIPC(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
		t.Helper()
		dir, n := t.TempDir(), 0
		return transporttest.Fixture{
			Transport: New(Config{}),
			Addr: func() string {
				n++
				return "ipc://" + filepath.Join(dir, string(rune('a'+n)))
			},
			BadAddrs: []string{"ipc://", "ipc://" + string(make([]byte, 200))},
			Cut:      cut,
		}
	})
}

// cut resets a connection, as a host does that has come up again.
func cut(c transport.Conn) {
	opened := c.(*conn).link.conn
	if tcp, ok := opened.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = opened.Close()
}

func TestWildcards(t *testing.T) {
	z := New(Config{})
	for _, addr := range []string{"tcp://*:*", "tcp://[::1]:0", "tcp://localhost:0", "ipc://*", "ipc://@mesh-test-abstract"} {
		l, err := z.Listen(t.Context(), addr)
		require.NoError(t, err, addr)
		c, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		require.NoError(t, err, l.Addr())
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	}
}
