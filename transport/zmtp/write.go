package zmtp

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// writer says who writes.
type writer uint8

const (
	nobody  writer = iota
	flusher        // a goroutine that flushed; it doesn't wait
	backlog        // a goroutine of its own, which waits for the other side
)

const (
	// linger is how long the other side may take for what was flushed before Close.
	linger = time.Second
	// maxFlushes is how many times a goroutine that flushed writes for others before
	// it leaves the rest to a writer.
	maxFlushes = 16
	// maxAsides is how many commands may wait. They are all of the kind that says the
	// same again.
	maxAsides = 16
	// maxSpare is the largest slice for messages that is kept for reuse.
	maxSpare = 1024
)

var _ transport.Copier = (*link)(nil)

// CopiesBelow returns the size of a frame from which it is written from where it is.
func (k *link) CopiesBelow() int {
	if k.secrecy != nil {
		return 0 // encrypted by whoever writes
	}
	return copyBelow
}

// offer puts m in line, whose last frames, joined of them, are one. Where there is no room
// it has what waits written first: a crowd of messages may come before anybody flushes,
// and then it isn't the other side that is slow.
func (k *link) offer(m transport.Message, joined int) error {
	err := k.enqueue(m, joined)
	if err == transport.ErrFull { //nolint:errorlint // the sentinel itself, on the hot path
		k.Flush()
		err = k.enqueue(m, joined)
	}
	return err
}

// enqueue puts m in line, in the form in which it goes out. What is to be encrypted is
// kept as it is: that takes too long for whoever sends.
func (k *link) enqueue(m transport.Message, joined int) error {
	cost, err := k.cfg.cost(m, len(m)-joined+1)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		return k.ended
	}
	if k.messages > 0 && (k.messages >= k.cfg.MaxQueuedMessages || k.bytes+cost > k.cfg.MaxQueuedBytes) {
		return transport.ErrFull
	}
	k.bytes += cost
	k.messages++
	if k.secrecy != nil {
		k.sealing = append(k.sealing, m)
		return nil
	}
	o := k.room()
	o.message(m, joined)
	o.cost += cost
	o.messages++
	return nil
}

// sendCommand has a command written soon.
func (k *link) sendCommand(body []byte) {
	k.mu.Lock()
	if k.ended != nil || k.asides >= maxAsides {
		k.mu.Unlock()
		return
	}
	k.asides++
	k.due = k.due || !k.waits() // otherwise it goes with what is about to be flushed
	if k.secrecy != nil {
		k.commands = append(k.commands, body)
	} else {
		k.room().command(body)
	}
	k.startWriting()
}

// room returns what takes more of what is to be written. The caller holds mu.
func (k *link) room() *out {
	if n := len(k.ready); n > 0 && k.ready[n-1].size() < maxOut {
		return k.ready[n-1]
	}
	o := k.pool.Get().(*out)
	k.ready = append(k.ready, o)
	return o
}

// Flush writes what was queued as far as the other side takes it at once.
func (k *link) Flush() {
	k.mu.Lock()
	k.due = k.waits()
	k.startWriting()
}

// waits reports that something is to be written. The caller holds mu.
func (k *link) waits() bool { return len(k.ready)+len(k.sealing)+len(k.commands) > 0 }

// startWriting makes the caller the writer if nobody is and there is something to
// write. The caller holds mu, which startWriting gives back.
func (k *link) startWriting() {
	if k.writer != nobody || !k.due {
		k.mu.Unlock()
		return
	}
	k.writer = flusher
	k.mu.Unlock()
	k.write()
}

// write writes until nothing is left or the other side takes no more. It never
// waits. The caller is the writer.
func (k *link) write() {
	for n := 1; ; n++ {
		o := k.take()
		if o == nil || n > maxFlushes && k.leaveBacklog(o) {
			return
		}
		for len(o.vector) > 0 {
			n, err := k.socket.write(o.vector)
			o.wrote(n)
			if err == nil {
				continue
			}
			if !errors.Is(err, syscall.EAGAIN) || !k.leaveBacklog(o) {
				k.failed(err)
				k.release(o)
			}
			return
		}
		k.wrote(o)
	}
}

// leaveBacklog has a goroutine go on with o and with what comes after it, and wait
// for the other side. It returns false where the link has ended: then nobody may be
// there any more to wait for the goroutine.
func (k *link) leaveBacklog(o *out) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		return false
	}
	k.writer = backlog
	k.tasks.Go(func() { k.drain(o) })
	return true
}

// drain writes until nothing is left, waiting for the other side. It ends with the
// connection, which whoever closes it knows to be the case.
func (k *link) drain(o *out) {
	for o != nil {
		buffers := net.Buffers(o.vector)
		if _, err := buffers.WriteTo(k.conn); err != nil {
			k.failed(err)
			k.release(o)
			return
		}
		k.wrote(o)
		o = k.take()
	}
}

// take returns what is to be written next. If there is nothing, nobody writes any
// more.
func (k *link) take() *out {
	k.mu.Lock()
	if k.dropped || !k.due {
		k.stopped(k.ended != nil)
		k.mu.Unlock()
		return nil
	}
	k.asides = 0
	if k.secrecy != nil {
		return k.takeSealed()
	}
	o := k.ready[0]
	left := copy(k.ready, k.ready[1:])
	k.ready[left] = nil
	k.ready, k.due = k.ready[:left], left > 0
	k.mu.Unlock()
	o.seal()
	return o
}

// takeSealed encrypts about as much as is written at once. The caller holds mu, which
// takeSealed gives back.
func (k *link) takeSealed() *out {
	o := k.pool.Get().(*out)
	batch, most := k.sealing, maxOut
	for o.messages < len(batch) && most > 0 {
		m := batch[o.messages]
		size := m.Size()
		most -= size
		o.cost += size + frameOverhead*len(m)
		o.messages++
	}
	batch = batch[:o.messages:o.messages] // and no room beyond that: what waits is there
	commands := k.commands
	k.commands = nil
	if k.sealing = k.sealing[o.messages:]; len(k.sealing) == 0 {
		k.sealing, k.spare, k.due = k.spare, nil, false
	}
	k.mu.Unlock()
	if err := k.secrecy.encrypt(o, commands, batch); err != nil {
		k.failed(err)
		k.release(o)
		return nil
	}
	o.seal()
	clear(batch)
	if cap(batch) <= maxSpare {
		k.mu.Lock()
		k.spare = batch[:0]
		k.mu.Unlock()
	}
	return o
}

// wrote counts what was written as no longer waiting.
func (k *link) wrote(o *out) {
	k.mu.Lock()
	k.bytes -= o.cost
	k.messages -= o.messages
	k.mu.Unlock()
	k.release(o)
}

// stopped makes nobody the writer. The caller holds mu.
func (k *link) stopped(hangup bool) {
	k.writer = nobody
	if hangup {
		k.hangup(k.dropped)
	}
}

// failed is told that nothing can be written any more. What the other side sent
// before is still read.
func (k *link) failed(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writer = nobody
	if k.ended == nil {
		k.ended = reason(err)
	} else {
		_ = k.conn.Close()
	}
	k.drop()
}

// drop forgets what is queued. The caller holds mu.
func (k *link) drop() {
	k.dropped, k.due = true, false
	k.ready, k.sealing, k.spare, k.commands = nil, nil, nil, nil
}

// release gives back what was written.
func (k *link) release(o *out) {
	if cap(o.scratch) > maxScratch {
		return
	}
	o.reset()
	k.pool.Put(o)
}
