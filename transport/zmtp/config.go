package zmtp

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// The defaults of a [Config].
const (
	DefaultMaxQueuedMessages     = 64 << 10
	DefaultMaxQueuedBytes        = 64 << 20
	DefaultMaxMessageBytes       = 20 << 20 // more than a broker takes, which says so; a transport can only hang up
	DefaultMaxFrames             = 1 << 10
	DefaultMaxPending            = 4 << 10
	DefaultMaxConnections        = 64 << 10
	DefaultMaxConnectionsPerHost = 32 << 10
	DefaultMaxHandshakes         = 1 << 10
	DefaultHandshakeTimeout      = 5 * time.Second
	DefaultHeartbeatTimeout      = 30 * time.Second
)

// frameOverhead is what a frame costs in a queue beside its bytes.
const frameOverhead = sockets.FrameOverhead

// Config says how a [Transport] works. The zero value speaks the NULL mechanism,
// which protects nothing, with useful limits.
type Config struct {
	// Keys are this end's own keys for CURVE (RFC 26). With keys, listeners take
	// no peers but those whose key Authenticate knows, and Dial wants every
	// endpoint to have the broker's ServerKey; nothing is sent in clear. If nil,
	// the mechanism is NULL.
	Keys *curve.KeyPair
	// Authenticate says who has a public key, by the name that Identity has and
	// that rights go by, and whether it may connect at all. It is called by many
	// goroutines at a time and should answer from memory. If nil, listeners with
	// Keys refuse everybody.
	Authenticate func(key curve.Key) (name string, ok bool)
	// MaxQueuedMessages bounds the messages that wait to be written to one
	// connection. If zero, DefaultMaxQueuedMessages.
	MaxQueuedMessages int
	// MaxQueuedBytes bounds the bytes that wait to be written to one connection;
	// each frame counts with 24 bytes more than it has. An empty queue takes any
	// message that the other limits allow. If zero, DefaultMaxQueuedBytes.
	MaxQueuedBytes int
	// MaxMessageBytes bounds the bytes in the frames of one message, both ways. A
	// peer that sends a larger one is disconnected. If zero,
	// DefaultMaxMessageBytes.
	MaxMessageBytes int
	// MaxFrames bounds the frames of one message, both ways. If zero,
	// DefaultMaxFrames.
	MaxFrames int
	// MaxPending bounds the connections that a listener holds, handshake done,
	// before its Serve has accepted them; more are closed. If zero,
	// DefaultMaxPending.
	MaxPending int
	// MaxConnections bounds the connections of one listener, those included whose
	// handshake goes on. More are closed at once. If zero, DefaultMaxConnections.
	MaxConnections int
	// MaxConnectionsPerHost bounds those of one IPv4 address, or of one IPv6 network
	// of 64 bits, in which a host may take any. If zero, DefaultMaxConnectionsPerHost.
	MaxConnectionsPerHost int
	// MaxHandshakes bounds the handshakes that go on at a listener at a time. If
	// there are more, the oldest is closed. If zero, DefaultMaxHandshakes.
	MaxHandshakes int
	// HandshakeTimeout bounds the handshake of a connection that was accepted, and
	// that of a dialled one as well as the context of Dial. If zero,
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// HeartbeatInterval is how often a connection on which nothing is heard is
	// asked for a sign of life with PING (RFC 37). If zero, never: Majordomo has
	// heartbeats of its own, and the kernel notices hosts that are gone.
	HeartbeatInterval time.Duration
	// HeartbeatTimeout is how long a connection that is asked may be silent before
	// it is given up. If zero, DefaultHeartbeatTimeout.
	HeartbeatTimeout time.Duration
	// Logger hears of peers that break the protocol and of handshakes that fail,
	// at a limited rate. Nothing that a peer sent is logged. If nil, nobody does.
	Logger *slog.Logger
}

// withDefaults returns c with every zero replaced.
func (c Config) withDefaults() Config {
	c.MaxQueuedMessages = cmp.Or(c.MaxQueuedMessages, DefaultMaxQueuedMessages)
	c.MaxQueuedBytes = cmp.Or(c.MaxQueuedBytes, DefaultMaxQueuedBytes)
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, DefaultMaxMessageBytes)
	c.MaxFrames = cmp.Or(c.MaxFrames, DefaultMaxFrames)
	c.MaxPending = cmp.Or(c.MaxPending, DefaultMaxPending)
	c.MaxConnections = cmp.Or(c.MaxConnections, DefaultMaxConnections)
	c.MaxConnectionsPerHost = cmp.Or(c.MaxConnectionsPerHost, DefaultMaxConnectionsPerHost)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, DefaultMaxHandshakes)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, DefaultHandshakeTimeout)
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, DefaultHeartbeatTimeout)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Keys != nil {
		c.Keys = new(*c.Keys) // the caller's may change
	}
	return c
}

// validate returns an error that names the first field that can't be meant.
func (c Config) validate() error { return (*sockets.Config)(&c).Validate("zmtp") }

// cost returns what m, which is so many frames, counts for in a queue, or an error for
// a message that must not be sent.
func (c *Config) cost(m transport.Message, frames int) (int, error) {
	return (*sockets.Config)(c).Cost("zmtp", m, frames)
}
