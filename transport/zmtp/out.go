package zmtp

import (
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

const (
	// copyBelow is the size from which a frame is written from where it is rather
	// than copied beside the others.
	copyBelow = 4 << 10
	// maxOut is about how many bytes are written at once.
	maxOut = 256 << 10
	// maxScratch is the largest scratch that is kept for reuse.
	maxScratch = 512 << 10
)

// out is what is being written: frames in the form in which they go out. Small
// frames are packed into scratch, large ones are referred to.
type out struct {
	scratch []byte
	packed  int // how much of scratch is in parts
	parts   []part
	large   int      // bytes of frames in parts
	vector  [][]byte // of what is left to be written

	messages int // in it
	cost     int // of these
}

// part is a piece of what is written: a range of scratch, or a frame.
type part struct {
	from, to int
	frame    []byte
}

// reset makes o empty, and keeps nothing of what it referred to.
func (o *out) reset() {
	clear(o.parts)
	clear(o.vector[:cap(o.vector)])
	o.scratch, o.packed, o.parts, o.large, o.vector = o.scratch[:0], 0, o.parts[:0], 0, o.vector[:0]
	o.messages, o.cost = 0, 0
}

// message adds the frames of m, whose last ones, joined of them, are one.
func (o *out) message(m transport.Message, joined int) {
	last := m[len(m)-joined:]
	for _, frame := range m[:len(m)-joined] {
		o.scratch = wire.AppendHeader(o.scratch, wire.More, len(frame))
		o.bytes(frame)
	}
	o.scratch = wire.AppendHeader(o.scratch, 0, last.Size())
	for _, piece := range last {
		o.bytes(piece)
	}
}

// bytes adds what is small, and refers to what isn't.
func (o *out) bytes(b []byte) {
	if len(b) < copyBelow {
		o.scratch = append(o.scratch, b...)
	} else {
		o.refer(b)
	}
}

// command adds a command.
func (o *out) command(body []byte) {
	o.scratch = wire.AppendHeader(o.scratch, wire.Command, len(body))
	o.scratch = append(o.scratch, body...)
}

// refer adds a frame's bytes without copying them.
func (o *out) refer(frame []byte) {
	o.pack()
	o.parts = append(o.parts, part{frame: frame})
	o.large += len(frame)
}

// size is how many bytes are in o.
func (o *out) size() int { return len(o.scratch) + o.large }

// pack makes a part of what scratch has beyond the last one.
func (o *out) pack() {
	if o.packed < len(o.scratch) {
		o.parts = append(o.parts, part{from: o.packed, to: len(o.scratch)})
		o.packed = len(o.scratch)
	}
}

// seal makes o ready to be written: scratch won't move any more.
func (o *out) seal() {
	o.pack()
	for i := range o.parts {
		p := &o.parts[i]
		if p.frame == nil {
			o.vector = append(o.vector, o.scratch[p.from:p.to])
		} else {
			o.vector = append(o.vector, p.frame)
		}
	}
}

// wrote takes n bytes away, which were written.
func (o *out) wrote(n int) {
	for n > 0 {
		first := o.vector[0]
		if n < len(first) {
			o.vector[0] = first[n:]
			return
		}
		n -= len(first)
		o.vector[0] = nil
		o.vector = o.vector[1:]
	}
}
