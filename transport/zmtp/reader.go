package zmtp

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

const (
	// minChunk is the first and the smallest chunk that a reader reads to, and the
	// largest that an idle connection keeps: room for some signs of life. A busy one
	// has no smaller ones than busyChunk.
	minChunk  = 1 << 10
	busyChunk = 4 << 10
	maxChunk  = 64 << 10
	// minRead is the smallest room that is worth a read to a chunk of 2 KiB or more; a
	// smaller chunk is used up to the last quarter.
	minRead = 512
	// ownBelow is the size from which a frame gets memory of its own.
	ownBelow = 16 << 10
	// firstGrant is how much memory a large frame gets before a byte of it came.
	firstGrant = 256 << 10
	// frameChunk is how many frames the slices of messages are cut from, and
	// idleFrameChunk the same at a connection that isn't busy, which keeps what is left
	// of it.
	frameChunk     = 128
	idleFrameChunk = 16
	// keptBatch is the largest batch, in messages, that an idle connection keeps.
	keptBatch = 128
)

// ErrProtocol is wrapped by the reason why a connection ended where the peer sent
// something that ZMTP doesn't allow.
var ErrProtocol = errors.New("zmtp: protocol violated")

// reader cuts messages from what a connection brings. It belongs to the goroutine
// that reads.
type reader struct {
	cfg     *Config
	command func(name, data []byte) error // takes a command; it must not keep data

	waiting waiting

	chunk      []byte // what was read and isn't cut yet is chunk[begin:end]
	begin, end int
	size       int       // of the next chunk
	began      time.Time // when chunk was new
	busy       bool      // the one before was used up in less than keepChunk

	own     []byte // the large frame that is read, up to what has come
	ownSize int    // its size; 0: none is read
	ownMore bool
	large   bool // the last frame was a large one, so that the next may be, too

	message transport.Message // the frames that came of one that isn't complete
	bytes   int               // in these
	frames  [][]byte          // what messages are cut from
	cutSize int               // bytes in the frames of these
	batch   []transport.Message

	secrecy *secrecy // nil: NULL
	plain   []byte   // what decrypted frames are cut from
}

// buffer returns where to read to: first, and then next, so that one read brings the
// rest of a large frame and the header of what comes behind it.
func (r *reader) buffer() (first, next []byte) {
	if r.ownSize == 0 {
		return r.room(), nil
	}
	if len(r.own) == cap(r.own) {
		r.own = append(uncleared(min(2*cap(r.own), r.ownSize)), r.own...)
	}
	first = r.own[len(r.own):cap(r.own)]
	if cap(r.own) == r.ownSize {
		next = r.room()
	}
	return first, next
}

// room returns where to read to in the chunk.
func (r *reader) room() []byte {
	if room := cap(r.chunk) - r.end; room == 0 || room < min(minRead, cap(r.chunk)/4) {
		r.nextChunk()
	}
	room := cap(r.chunk)
	if r.large { // what comes behind the header is to go where it stays
		room = min(room, r.end+minRead)
	}
	return r.chunk[r.end:room]
}

// nextChunk goes on in another chunk. What was read and not cut moves there. What
// was encrypted nobody has any more, so that its chunk is used again.
func (r *reader) nextChunk() {
	rest, least, now := r.chunk[r.begin:r.end], minChunk, time.Now()
	r.busy = now.Sub(r.began) < keepChunk
	r.began = now
	if r.busy {
		least = busyChunk
	}
	r.size = min(max(r.size, least), max(maxChunk, len(rest)+minRead))
	next := r.chunk[:cap(r.chunk)]
	if r.secrecy == nil || len(next) < r.size {
		size := max(r.size, len(rest)+minRead)
		next = uncleared(size)[:size]
	}
	r.end = copy(next, rest)
	r.chunk, r.begin = next, 0
}

// waiting is what a reader that waits for the other side shares with the timer that
// takes its memory away.
type waiting struct {
	mu    sync.Mutex // guards what follows and, while now is set, the reader's chunk, batch and frames
	now   bool
	timer *time.Timer
	armed bool
}

// keepChunk is how long a reader may keep a chunk of more than minChunk, or a batch of
// more than keptBatch, before a timer looks whether it waits.
const keepChunk = time.Second

// wait is told that there is nothing to read. The rest of the chunk is for what
// comes next, unless that takes long: many idle connections hold little.
func (r *reader) wait() {
	w := &r.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = true
	if w.armed || len(r.chunk) <= minChunk && cap(r.batch) <= keptBatch {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(keepChunk, r.shed)
		return
	}
	w.timer.Reset(keepChunk)
}

// resume is told that there is something to read.
func (r *reader) resume() {
	w := &r.waiting
	w.mu.Lock()
	w.now = false
	w.mu.Unlock()
}

// shed takes the batch and the frames away from a reader that waits, and the chunk if
// there is nothing in it.
func (r *reader) shed() {
	w := &r.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	if !w.now {
		return
	}
	r.batch = nil
	if r.message == nil { // otherwise what has come of it is there
		r.frames = nil
	}
	if r.begin == r.end {
		r.chunk, r.begin, r.end = nil, 0, 0
	}
}

// stop ends the timer: nobody reads any more.
func (r *reader) stop() {
	w := &r.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.armed = false, false
	if w.timer != nil {
		w.timer.Stop()
	}
}

// took is told that n bytes were read to the buffer.
func (r *reader) took(n int) {
	if r.ownSize > 0 {
		first := min(n, cap(r.own)-len(r.own))
		r.own = r.own[:len(r.own)+first]
		r.end += n - first
		return
	}
	r.end += n
	// Chunks follow what a read brings: one message that is kept keeps a chunk, and
	// small ones need many calls where messages come in crowds.
	switch room := len(r.chunk) - (r.end - n); {
	case r.large:
	case n == room && n >= r.size/2:
		r.size = min(2*max(r.size, minChunk), maxChunk)
	case n < r.size/16:
		r.size = max(r.size/2, minChunk)
	}
}

// cut returns the messages that are complete. Where the peer broke the protocol it
// returns those before that, and the error. The slice is the reader's: who has taken
// the messages from it clears it, before there is anything to read again.
func (r *reader) cut() ([]transport.Message, error) {
	r.batch = r.batch[:0]
	for {
		more, err := r.frame()
		if err != nil || !more {
			return r.batch, err
		}
	}
}

// frame takes one frame, and reports whether there may be another.
func (r *reader) frame() (bool, error) {
	if r.ownSize > 0 {
		if len(r.own) < r.ownSize {
			return false, nil
		}
		body, more := r.own, r.ownMore
		r.own, r.ownSize = nil, 0
		return true, r.body(body, more)
	}
	have := r.chunk[r.begin:r.end]
	h, n, err := wire.ParseHeader(have, r.limit())
	if err != nil {
		return false, protocolError(err)
	}
	if n == 0 {
		return false, nil
	}
	switch {
	case h.Flags&wire.Command != 0:
		if len(have)-n < h.Size {
			return r.await(h, n)
		}
		r.begin += n + h.Size
		return true, r.runCommand(have[n : n+h.Size])
	case len(have)-n >= h.Size:
		r.begin += n + h.Size
		r.large = false
		return true, r.body(have[n:n+h.Size:n+h.Size], h.Flags&wire.More != 0)
	}
	return r.await(h, n)
}

// await makes room for a frame that hasn't come yet as a whole.
func (r *reader) await(h wire.Header, header int) (bool, error) {
	have := r.chunk[r.begin+header : r.end]
	switch {
	case h.Flags&wire.Command != 0 && h.Size > maxCommand && r.secrecy == nil:
		return false, commandError(h.Size)
	case h.Size >= ownBelow:
		if err := r.fits(h.Size); err != nil {
			return false, err
		}
		r.own = append(uncleared(min(h.Size, firstGrant)), have...)
		r.ownSize, r.ownMore = h.Size, h.Flags&wire.More != 0
		r.begin, r.large = r.end, true
	case r.begin+header+h.Size > cap(r.chunk):
		r.size = max(r.size, header+h.Size)
		r.nextChunk()
	}
	return false, nil
}

// maxCommand is the largest command that is taken: none that a peer may send
// after the handshake is nearly as large.
const maxCommand = 4 << 10

func commandError(size int) error { return fmt.Errorf("%w: a command of %d bytes", ErrProtocol, size) }

// limit is how large the next frame may be.
func (r *reader) limit() int { return r.cfg.MaxMessageBytes + r.secrecy.overhead() }

// fits says whether the message may have another frame of that size.
func (r *reader) fits(size int) error {
	if r.bytes+size > r.limit() {
		return fmt.Errorf("%w: a message of more than %d bytes", ErrProtocol, r.cfg.MaxMessageBytes)
	}
	return nil
}

// body takes the body of a frame that isn't a command.
func (r *reader) body(body []byte, more bool) error {
	if r.secrecy != nil {
		return r.unseal(body)
	}
	return r.add(body, more)
}

// add adds a frame to the message, which is complete with it unless there are more.
func (r *reader) add(body []byte, more bool) error {
	r.bytes += len(body)
	if r.bytes > r.cfg.MaxMessageBytes {
		return fmt.Errorf("%w: a message of more than %d bytes", ErrProtocol, r.cfg.MaxMessageBytes)
	}
	if len(r.message) >= r.cfg.MaxFrames {
		return fmt.Errorf("%w: a message of more than %d frames", ErrProtocol, r.cfg.MaxFrames)
	}
	if r.message == nil {
		r.message = r.newMessage()
	}
	r.message = append(r.message, body)
	if more {
		return nil
	}
	r.closeMessage()
	return nil
}

// newMessage returns room for the frames of a message: most have few. It is the
// rest of what messages are cut from.
func (r *reader) newMessage() transport.Message {
	const usual = 8
	if cap(r.frames)-len(r.frames) < usual {
		size := idleFrameChunk
		if r.busy {
			size = frameChunk
		}
		r.frames, r.cutSize = make([][]byte, 0, size), 0
	}
	at := len(r.frames)
	return r.frames[at:at:cap(r.frames)]
}

// closeMessage adds the message to the batch. Whoever keeps a message keeps all that
// share its slice, and so does the reader with the last ones: those have no more bytes
// than a chunk.
func (r *reader) closeMessage() {
	m := r.message
	switch room := r.frames[len(r.frames):cap(r.frames)]; {
	case cap(m) != len(room): // it outgrew that
		clear(room)
	case r.cutSize+r.bytes > maxChunk:
		m = slices.Clone(m)
		clear(room)
		r.frames, r.cutSize = nil, 0
	default:
		r.frames = r.frames[:len(r.frames)+len(m)]
		r.cutSize += r.bytes
	}
	r.batch = append(r.batch, slices.Clip(m))
	r.message, r.bytes = nil, 0
}

// runCommand takes a command.
func (r *reader) runCommand(body []byte) error {
	if r.secrecy != nil {
		return r.unseal(body) // as RFC 37 has it; libzmq sends messages
	}
	return r.plainCommand(body)
}

func (r *reader) plainCommand(body []byte) error {
	if len(body) > maxCommand {
		return commandError(len(body))
	}
	name, data, err := wire.ParseCommand(body)
	if err != nil {
		return protocolError(err)
	}
	return r.command(name, data)
}

func protocolError(err error) error { return fmt.Errorf("%w: %w", ErrProtocol, err) }
