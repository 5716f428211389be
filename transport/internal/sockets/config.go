package sockets

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

// Config has the fields of zmtp.Config and of zmq.Config, which say what they
// mean. Either is converted to it.
type Config struct {
	Keys                  *curve.KeyPair
	Authenticate          func(key curve.Key) (name string, ok bool)
	MaxQueuedMessages     int
	MaxQueuedBytes        int
	MaxMessageBytes       int
	MaxFrames             int
	MaxPending            int
	MaxConnections        int
	MaxConnectionsPerHost int
	MaxHandshakes         int
	HandshakeTimeout      time.Duration
	HeartbeatInterval     time.Duration
	HeartbeatTimeout      time.Duration
	Logger                *slog.Logger
}

// Validate returns an error that names the first field that can't be meant, for
// the package of that name.
func (c *Config) Validate(name string) error {
	for _, limit := range []struct {
		field string
		value int64
	}{
		{"MaxQueuedMessages", int64(c.MaxQueuedMessages)},
		{"MaxQueuedBytes", int64(c.MaxQueuedBytes)},
		{"MaxMessageBytes", int64(c.MaxMessageBytes)},
		{"MaxFrames", int64(c.MaxFrames)},
		{"MaxPending", int64(c.MaxPending)},
		{"MaxConnections", int64(c.MaxConnections)},
		{"MaxConnectionsPerHost", int64(c.MaxConnectionsPerHost)},
		{"MaxHandshakes", int64(c.MaxHandshakes)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"HeartbeatInterval", int64(c.HeartbeatInterval)},
		{"HeartbeatTimeout", int64(c.HeartbeatTimeout)},
	} {
		if limit.value < 0 {
			return fmt.Errorf("%s: Config.%s is negative", name, limit.field)
		}
	}
	if c.Keys == nil {
		return nil
	}
	if err := c.Keys.Check(); err != nil {
		return fmt.Errorf("%s: Config.Keys: %w", name, err)
	}
	return nil
}

// FrameOverhead is what a frame holds beside its bytes: its slice header.
const FrameOverhead = 24

// Cost returns what m, which is so many frames, counts for in a queue, or an error for
// a message that must not be sent by the package of that name.
func (c *Config) Cost(name string, m transport.Message, frames int) (int, error) {
	if len(m) == 0 {
		return 0, transport.ErrEmpty
	}
	size := m.Size()
	if frames > c.MaxFrames || size > c.MaxMessageBytes {
		return 0, fmt.Errorf("%s: %d bytes in %d frames, at most %d in %d are allowed: %w",
			name, size, frames, c.MaxMessageBytes, c.MaxFrames, transport.ErrTooLarge)
	}
	return size + FrameOverhead*frames, nil
}

// ServerKey returns the key that the broker at the endpoint must have; nil: there
// is no CURVE. It fails unless this side has its own (Config.Keys) just where the
// broker has one, so that nothing goes out in clear that wasn't meant to.
func ServerKey(to transport.Endpoint, own *curve.KeyPair) (*curve.Key, error) {
	switch {
	case to.ServerKey == "" && own == nil:
		return nil, nil
	case to.ServerKey == "":
		return nil, fmt.Errorf("%w: Config.Keys is set, so the endpoint needs the broker's ServerKey", transport.ErrAddress)
	case own == nil:
		return nil, fmt.Errorf("%w: the endpoint has a ServerKey, so Config.Keys is needed", transport.ErrAddress)
	}
	key, err := curve.ParseKey(to.ServerKey)
	if err != nil {
		return nil, fmt.Errorf("%w: ServerKey: %w", transport.ErrAddress, err)
	}
	return &key, nil
}
