//go:build cgo && unix

package zmq

import (
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// turn bounds what an owner receives before it hands it on.
type turn struct{ messages, bytes int }

// add counts a message; nil: one that is held for nobody.
func (t *turn) add(m transport.Message) {
	t.messages++
	t.bytes += weight(m)
}

// over reports whether the turn is to end.
func (t *turn) over() bool { return t.messages >= maxBatch || t.bytes >= maxTurn }

// weight returns what m holds in bytes.
func weight(m transport.Message) int { return m.Size() + sockets.FrameOverhead*len(m) }
