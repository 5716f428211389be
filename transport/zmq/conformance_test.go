//go:build cgo && unix

package zmq_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/transporttest"
	"github.com/mdpmesh/mesh/transport/zmq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	maxBytes  = 1 << 20
	maxFrames = 200
	maxQueued = 5000
)

// These tests listen on loopback, so they need sockets and real time.
func TestConformanceTCP(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
		t.Helper()
		return transporttest.Fixture{
			Transport:       zmq.New(zmq.Config{MaxMessageBytes: maxBytes, MaxFrames: maxFrames, MaxQueuedMessages: maxQueued}),
			Addr:            tcp(t),
			BadAddrs:        []string{"tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:port", "tcp://127.0.0.1:70000", "tcp://::1:5", "tcp://a b:1"},
			MaxMessageBytes: maxBytes,
			MaxFrames:       maxFrames,
			MaxQueued:       maxQueued,
		}
	})
}

func TestConformanceIPC(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
		t.Helper()
		return transporttest.Fixture{
			Transport: zmq.New(zmq.Config{}),
			Addr:      ipc(t),
			BadAddrs:  []string{"ipc://", "ipc://" + string(make([]byte, 200))},
		}
	})
}

func TestConformanceCurve(t *testing.T) {
	for name, addr := range map[string]func(testing.TB) func() string{"tcp": tcp, "ipc": ipc} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
				t.Helper()
				server, client := newKeys(t), newKeys(t)
				return transporttest.Fixture{
					Transport: split{
						dials:   zmq.New(zmq.Config{Keys: client, MaxMessageBytes: maxBytes, MaxFrames: maxFrames}),
						listens: zmq.New(zmq.Config{Keys: server, Authenticate: allow(client, "client"), MaxMessageBytes: maxBytes, MaxFrames: maxFrames}),
					},
					Addr: addr(t),
					Endpoint: func(addr string) transport.Endpoint {
						return transport.Endpoint{Addr: addr, ServerKey: server.Public.String()}
					},
					MaxMessageBytes: maxBytes,
					MaxFrames:       maxFrames,
				}
			})
		})
	}
}

func tcp(testing.TB) func() string { return func() string { return "tcp://127.0.0.1:*" } }

// ipc returns addresses in a directory whose name is short enough for a socket.
func ipc(t testing.TB) func() string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh-test-") //nolint:usetesting // the test's own would have the name of the test in it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := 0
	return func() string {
		n++
		return "ipc://" + filepath.Join(dir, strconv.Itoa(n))
	}
}

func newKeys(t testing.TB) *curve.KeyPair {
	t.Helper()
	keys, err := curve.Generate(rand.Reader)
	require.NoError(t, err)
	return &keys
}

// allow lets one key in, by a name.
func allow(keys *curve.KeyPair, name string) func(curve.Key) (string, bool) {
	return func(public curve.Key) (string, bool) { return name, public == keys.Public }
}
