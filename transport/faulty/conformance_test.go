package faulty

import (
	"testing"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
	"github.com/mdpmesh/mesh/transport/transporttest"
)

// Without faults the wrapped transport keeps the contract.
func TestConformance(t *testing.T)         { transporttest.Run(t, fixture) }
func TestConformanceInBubble(t *testing.T) { transporttest.RunInBubble(t, fixture) }

func fixture(t *testing.T) transporttest.Fixture {
	t.Helper()
	const maxMessageBytes, maxFrames, maxQueued = 8 << 20, 100, 5000
	net := New(inproc.New(inproc.Config{
		MaxQueuedMessages: maxQueued,
		MaxQueuedBytes:    16 << 20,
		MaxMessageBytes:   maxMessageBytes,
		MaxFrames:         maxFrames,
	}), Config{})
	t.Cleanup(func() { _ = net.Close() })
	return transporttest.Fixture{
		Transport:       net,
		Addr:            func() string { return "inproc://*" },
		BadAddrs:        []string{"inproc://"},
		MaxMessageBytes: maxMessageBytes,
		MaxFrames:       maxFrames,
		MaxQueued:       maxQueued,
		Cut:             func(c transport.Conn) { net.Crash(c.(*conn).label) },
	}
}
