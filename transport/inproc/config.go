package inproc

import (
	"cmp"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
)

// The defaults of a [Config].
const (
	DefaultMaxQueuedMessages = 64 << 10
	DefaultMaxQueuedBytes    = 64 << 20
	DefaultMaxMessageBytes   = 16 << 20
	DefaultMaxFrames         = 1 << 10
	DefaultMaxPending        = 64 << 10
)

// frameOverhead is what a frame holds beside its bytes: its slice header.
const frameOverhead = 24

// Config bounds what a [Network] holds. The zero value is useful.
type Config struct {
	// MaxQueuedMessages bounds the messages that wait in one direction of one
	// connection, and twice as many where none was flushed and isn't received yet. If
	// zero, DefaultMaxQueuedMessages.
	MaxQueuedMessages int
	// MaxQueuedBytes bounds the bytes that wait in one direction of one
	// connection, likewise; each frame counts with 24 bytes more than it has. An empty
	// queue takes any message that the other limits allow. If zero,
	// DefaultMaxQueuedBytes.
	MaxQueuedBytes int
	// MaxMessageBytes bounds the bytes in the frames of one message. If zero,
	// DefaultMaxMessageBytes.
	MaxMessageBytes int
	// MaxFrames bounds the frames of one message. If zero, DefaultMaxFrames.
	MaxFrames int
	// MaxPending bounds the connections that a listener holds before its Serve
	// has accepted them; more are refused. If zero, DefaultMaxPending.
	MaxPending int
}

// withDefaults returns c with every zero replaced.
func (c Config) withDefaults() Config {
	return Config{
		MaxQueuedMessages: cmp.Or(c.MaxQueuedMessages, DefaultMaxQueuedMessages),
		MaxQueuedBytes:    cmp.Or(c.MaxQueuedBytes, DefaultMaxQueuedBytes),
		MaxMessageBytes:   cmp.Or(c.MaxMessageBytes, DefaultMaxMessageBytes),
		MaxFrames:         cmp.Or(c.MaxFrames, DefaultMaxFrames),
		MaxPending:        cmp.Or(c.MaxPending, DefaultMaxPending),
	}
}

// validate returns an error that names the first field that can't be meant.
func (c Config) validate() error {
	for _, limit := range []struct {
		field string
		value int
	}{
		{"MaxQueuedMessages", c.MaxQueuedMessages},
		{"MaxQueuedBytes", c.MaxQueuedBytes},
		{"MaxMessageBytes", c.MaxMessageBytes},
		{"MaxFrames", c.MaxFrames},
		{"MaxPending", c.MaxPending},
	} {
		if limit.value < 0 {
			return fmt.Errorf("inproc: Config.%s is %d, must not be negative", limit.field, limit.value)
		}
	}
	return nil
}

// cost returns what m counts for in a queue, or an error for a message that
// must not be sent.
func (c *Config) cost(m transport.Message) (int, error) {
	if len(m) == 0 {
		return 0, transport.ErrEmpty
	}
	size := m.Size()
	if len(m) > c.MaxFrames || size > c.MaxMessageBytes {
		return 0, fmt.Errorf("inproc: %d bytes in %d frames, at most %d in %d are allowed: %w",
			size, len(m), c.MaxMessageBytes, c.MaxFrames, transport.ErrTooLarge)
	}
	return size + frameOverhead*len(m), nil
}
