package majordomo

import (
	"cmp"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// arena cuts the slices that outgoing messages are made of from chunks, so that
// a message costs a fraction of an allocation. Chunks are never used again; the
// collector takes each when the last message cut from it is gone, so they are
// kept small.
type arena struct {
	frameChunk [][]byte
	byteChunk  []byte
	byteSize   int // of a chunk; 0: arenaBytes
}

// MaxReused is the size up to which memory of messages to connections that copy is
// used again. Such a connection keeps nothing of frames of that size.
const MaxReused = 2 << 10

// JoinFrom is the size in bytes from which params and results aren't copied into their
// envelope where the connection joins frames (transport.Joiner): it is sent in Pieces.
const JoinFrom = MaxReused

// Pieces returns the pieces of an envelope: what comes before the params or the result,
// these, and what closes it.
func Pieces(head, value []byte) [3][]byte { return [...][]byte{head, value, closing} }

var closing = []byte(jsonrpc.Closing)

const (
	arenaFrames = 128
	arenaBytes  = 1024
	// roomBytes is the size of chunks that are used again in each step.
	roomBytes = 4 * MaxReused
)

// frames returns an empty slice with capacity n.
func (a *arena) frames(n int) [][]byte {
	if n > arenaFrames/4 {
		return make([][]byte, 0, n)
	}
	if cap(a.frameChunk)-len(a.frameChunk) < n {
		a.frameChunk = make([][]byte, 0, arenaFrames)
	}
	at := len(a.frameChunk)
	a.frameChunk = a.frameChunk[:at+n]
	return a.frameChunk[at : at : at+n]
}

// rewind makes the arena cut from the beginning again, over what it has cut. Only a
// session does so, between two steps, with what went to connections that copy. It
// keeps hold of none of the frames.
func (a *arena) rewind() {
	clear(a.frameChunk)
	a.frameChunk, a.byteChunk = a.frameChunk[:0], a.byteChunk[:0]
}

// bytes returns an empty slice with capacity n.
func (a *arena) bytes(n int) []byte {
	size := cmp.Or(a.byteSize, arenaBytes)
	if n > size/4 {
		return make([]byte, 0, n)
	}
	if cap(a.byteChunk)-len(a.byteChunk) < n {
		a.byteChunk = make([]byte, 0, size)
	}
	at := len(a.byteChunk)
	a.byteChunk = a.byteChunk[:at+n]
	return a.byteChunk[at : at : at+n]
}
