// Package transporttest is the conformance suite of package transport. Each
// implementation runs it in its tests; what it checks is what callers may rely
// on, and where the contract's words leave a question open the suite decides it.
//
// The suite waits for events, never for a time to pass, and keeps every message
// that it receives in order to see that no memory is reused. It measures time
// in one place only, to show that a peer that doesn't read holds nobody up.
package transporttest

import (
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh/transport"
)

// Fixture is what the suite needs to know of an implementation. Each case gets a
// new one.
type Fixture struct {
	// Transport is what is tested.
	Transport transport.Transport
	// Addr returns an address to listen at that nobody uses. It may be a
	// wildcard.
	Addr func() string
	// Endpoint returns how to dial a listener whose Addr is addr. If nil, the
	// address is enough.
	Endpoint func(addr string) transport.Endpoint
	// BadAddrs are addresses of the transport's own scheme that Listen and Dial
	// must refuse.
	BadAddrs []string
	// MaxMessageBytes is the largest message that Send takes. If zero, it isn't
	// tested.
	MaxMessageBytes int
	// MaxFrames is the largest number of frames that Send takes. If zero, it
	// isn't tested.
	MaxFrames int
	// MaxQueued is how many messages a connection's queue takes. If zero, bursts that
	// are larger aren't tested.
	MaxQueued int
	// Cut makes the dialler's end vanish without a goodbye, as a crash does. If
	// nil, Close stands in.
	Cut func(transport.Conn)
}

// cases is the suite, in the order in which it runs.
var cases = []struct {
	name string
	run  func(*bed)
}{
	{"Open/Addr", testAddr},
	{"Open/BadAddress", testBadAddress},
	{"Open/AddressInUse", testAddressInUse},
	{"Open/Refused", testRefused},
	{"Open/CancelledDial", testCancelledDial},
	{"Open/ContextBoundsTheCallOnly", testContextBoundsCall},
	{"Open/Identity", testIdentity},
	{"Open/TurnedAway", testTurnedAway},
	{"Open/Reopen", testReopen},

	{"Message/Shapes", testShapes},
	{"Message/Empty", testEmptyMessage},
	{"Message/Large", testLargeMessages},
	{"Message/Limits", testLimits},
	{"Message/Order", testOrder},
	{"Message/NothingBeforeFlush", testNothingBeforeFlush},
	{"Message/OneToMany", testOneToMany},
	{"Message/NoReuse", testNoReuse},
	{"Message/Copied", testCopied},
	{"Message/Joined", testJoined},

	{"Serve/SentBefore", testSentBeforeServe},
	{"Serve/ClosedBefore", testClosedBeforeServe},
	{"Serve/GreetInAccept", testGreetInAccept},
	{"Serve/ConnAgain", testConnServeAgain},
	{"Serve/ConnCancelledBefore", testConnCancelledBefore},
	{"Serve/ConnWaitsForReceiver", testConnWaitsForReceiver},
	{"Serve/ListenerWaitsForReceiver", testListenerWaitsForReceiver},
	{"Serve/ListenerCancelled", testListenerCancelled},

	{"Close/Conn", testConnClose},
	{"Close/Peer", testPeerClose},
	{"Close/Listener", testListenerClose},
	{"Close/ListenerBeforeServe", testListenerCloseBeforeServe},
	{"Close/InReceive", testCloseInReceive},
	{"Close/AllAtOnce", testCloseAllAtOnce},
	{"Close/AfterMany", testCloseAfterMany},
	{"Close/Vanish", testVanish},

	{"Slow/Peer", testSlowPeer},
	{"Slow/Listener", testSlowListener},
	{"Slow/Burst", testBurst},

	{"Concurrent/Conns", testConcurrentConns},
	{"Concurrent/OneConn", testConcurrentSenders},
	{"Concurrent/OnePeer", testConcurrentPeerSenders},
	{"Concurrent/Reentrant", testReentrant},
}

// Run runs the suite in real time, one case after the other, and fails a case
// that leaves a goroutine behind. It must not be called from a parallel test,
// whose neighbours would look like leaks.
func Run(t *testing.T, newTransport func(t *testing.T) Fixture) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			c.run(&bed{t: t, Fixture: newTransport(t)})
		})
	}
}

// RunInBubble runs the suite with each case in a testing/synctest bubble, where
// a goroutine that is left behind is a panic. It is for transports that need
// nothing from outside the process.
func RunInBubble(t *testing.T, newTransport func(t *testing.T) Fixture) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.run(&bed{t: t, Fixture: newTransport(t), bubble: true})
			})
		})
	}
}
