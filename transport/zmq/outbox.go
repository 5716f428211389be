//go:build cgo && unix

package zmq

import (
	"slices"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

// outbox is what waits to be given to libzmq for one connection, and why nothing
// is given any more.
type outbox struct {
	cfg *Config

	mu        sync.Mutex // guards what follows
	queue     []transport.Message
	flushed   int  // how many messages of queue may be sent
	bytes     int  // cost of queue and sending
	messages  int  // number of these
	scheduled bool // the owner was told to look, and hasn't yet
	behind    bool // libzmq took no more, and hasn't taken all since
	ended     error
	local     bool // it was this side that ended it
	dropped   bool // what is queued isn't sent any more

	sending []transport.Message // to be sent next; belongs to the socket's owner
}

// add queues m.
func (o *outbox) add(m transport.Message) error {
	cost, err := o.cfg.cost(m)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil {
		return o.ended
	}
	if !o.takes(cost) {
		return transport.ErrFull
	}
	o.queue = append(o.queue, m)
	o.bytes += cost
	o.messages++
	return nil
}

// ahead is how many times its bounds a queue may hold where libzmq wasn't found to take
// no more. Much may be sent before the owner looks, which may be whoever sends, and then
// it isn't the other side that is slow.
const ahead = 2

// takes reports whether there is room for a message that costs so much. The caller
// holds mu.
func (o *outbox) takes(cost int) bool {
	times := ahead
	if o.behind {
		times = 1
	}
	return o.messages == 0 || o.messages < times*o.cfg.MaxQueuedMessages && o.bytes+cost <= times*o.cfg.MaxQueuedBytes
}

// flush lets what is queued be sent, and reports whether the owner is to be told.
func (o *outbox) flush() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		o.flushed = len(o.queue)
	}
	if o.flushed == 0 || o.scheduled {
		return false
	}
	o.scheduled = true
	return true
}

// end ends the outbox for why, if nothing has ended it before. What was flushed may
// still be sent, unless drop is set.
func (o *outbox) end(why error, local, drop bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		o.ended, o.local = why, local
		o.trim(o.flushed)
	}
	if drop {
		o.dropped = true
		o.trim(0)
	}
}

// why returns why the outbox ended; nil: it hasn't.
func (o *outbox) why() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// trim forgets what is queued beyond the first n messages. The caller holds mu.
func (o *outbox) trim(n int) {
	clear(o.queue[n:])
	o.queue, o.flushed = o.queue[:n], n
}

// over reports whether this side ended the outbox, and whether what was flushed is
// dropped.
func (o *outbox) over() (ended, drop bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.local, o.dropped
}

// left reports whether something is to be sent.
func (o *outbox) left() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.dropped && len(o.sending)+o.flushed > 0
}

// look is for the owner to say that it looks now: who flushes after this tells it.
func (o *outbox) look() {
	o.mu.Lock()
	o.scheduled = false
	o.mu.Unlock()
}

// next returns the message to be sent next, nil if there is none. It is the
// owner's.
func (o *outbox) next() transport.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped {
		o.sending = nil
	} else if len(o.sending) == 0 && o.flushed > 0 {
		o.sending = o.queue[:o.flushed:o.flushed]
		o.queue = slices.Clone(o.queue[o.flushed:])
		o.flushed = 0
	}
	if len(o.sending) == 0 {
		return nil
	}
	return o.sending[0]
}

// sent takes away the message that next returned. It is the owner's.
func (o *outbox) sent() {
	m := o.sending[0]
	o.sending[0] = nil
	o.sending = o.sending[1:]
	o.mu.Lock()
	o.bytes -= weight(m)
	o.messages--
	o.behind = o.behind && len(o.sending)+o.flushed > 0
	o.mu.Unlock()
}

// fallBehind is told that libzmq took no more. It is the owner's.
func (o *outbox) fallBehind() {
	o.mu.Lock()
	o.behind = true
	o.mu.Unlock()
}
