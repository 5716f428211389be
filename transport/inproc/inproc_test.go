package inproc_test

import (
	"testing"

	"github.com/mdpmesh/mesh/transport/inproc"
	"github.com/mdpmesh/mesh/transport/transporttest"
)

func fixture(*testing.T) transporttest.Fixture {
	const maxMessageBytes, maxFrames, maxQueued = 8 << 20, 100, 5000
	return transporttest.Fixture{
		Transport: inproc.New(inproc.Config{
			MaxQueuedMessages: maxQueued,
			MaxQueuedBytes:    16 << 20,
			MaxMessageBytes:   maxMessageBytes,
			MaxFrames:         maxFrames,
		}),
		Addr:            func() string { return "inproc://*" },
		BadAddrs:        []string{"inproc://", "inproc://tea*", "inproc:tea"},
		MaxMessageBytes: maxMessageBytes,
		MaxFrames:       maxFrames,
		MaxQueued:       maxQueued,
	}
}

func TestConformance(t *testing.T)         { transporttest.Run(t, fixture) }
func TestConformanceInBubble(t *testing.T) { transporttest.RunInBubble(t, fixture) }
