package zmtp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// link is one connection after its handshake: the queue of what is to be written,
// and the state that both ends have. What is read is the reader's.
type link struct {
	cfg     *Config
	pool    *sync.Pool      // of *out
	tasks   *sync.WaitGroup // what the link started; nothing is added once it has ended
	conn    net.Conn
	socket  socket
	secrecy *secrecy // nil: NULL
	in      reader
	pulse   pulse
	version wire.Version // of the other side

	mu       sync.Mutex // guards what follows; not held while anything is written
	queue    []transport.Message
	spare    []transport.Message // empty, to become queue
	commands [][]byte            // to be written before messages
	flushed  int                 // how many messages of queue may be written
	bytes    int                 // cost of what is queued or being written
	messages int                 // number of these
	writer   writer
	ended    error // why this side can't send any more; nil while it can
	dropped  bool  // what is queued isn't written any more

	closed atomic.Bool // by this side: what comes isn't received any more
}

// open makes k the link over a connection. tasks counts what it starts.
func (k *link) open(t *Transport, opened net.Conn, tasks *sync.WaitGroup) error {
	k.cfg, k.pool, k.tasks, k.conn = &t.cfg, &t.pool, tasks, opened
	k.pulse.link = k
	k.in.cfg, k.in.command = &t.cfg, k.command
	k.socket.buffer, k.socket.wait, k.socket.resume = k.in.buffer, k.in.wait, k.in.resume
	return k.socket.open(opened)
}

// receive gives what the connection brings to deliver until it ends, and returns
// why it did.
func (k *link) receive(deliver func([]transport.Message)) error {
	k.pulse.start()
	defer k.pulse.stop()
	defer k.in.stop()
	for {
		batch, err := k.in.cut()
		if len(batch) > 0 && !k.closed.Load() {
			deliver(batch)
		}
		clear(batch) // nothing that was delivered is held until something comes
		if err != nil {
			return err
		}
		n, err := k.socket.read()
		if err != nil {
			return err
		}
		k.pulse.reads.Add(1)
		k.in.took(n)
	}
}

// command takes a command that the other side sent after the handshake. One that
// nobody knows is ignored (RFC 37).
func (k *link) command(name, data []byte) error {
	switch string(name) {
	case wire.Ping:
		ttl, context, err := wire.ParsePing(data)
		if err != nil {
			return protocolError(err)
		}
		k.pulse.pinged(ttl)
		k.sendCommand(wire.AppendPong(nil, context))
	case wire.Error:
		said, err := wire.ParseReason(data)
		if err != nil {
			return protocolError(err)
		}
		return &RefusedError{Reason: said}
	}
	return nil
}

// writer says who writes.
type writer uint8

const (
	nobody  writer = iota
	flusher        // a goroutine that flushed; it doesn't wait
	backlog        // a goroutine of its own, which waits for the other side
)

// linger is how long the other side may take for what was flushed before Close.
const linger = time.Second

// maxFlushes is how many times a goroutine that flushed writes for others before
// it leaves the rest to a writer.
const maxFlushes = 16

func (k *link) enqueue(m transport.Message) error {
	cost, err := k.cfg.cost(m)
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
	k.queue = append(k.queue, m)
	k.bytes += cost
	k.messages++
	return nil
}

// Flush writes what was queued as far as the other side takes it at once.
func (k *link) Flush() {
	k.mu.Lock()
	k.flushed = len(k.queue)
	k.startWriting()
}

// startWriting makes the caller the writer if nobody is and there is something to
// write. The caller holds mu, which startWriting gives back.
func (k *link) startWriting() {
	if k.writer != nobody || k.flushed == 0 && len(k.commands) == 0 {
		k.mu.Unlock()
		return
	}
	k.writer = flusher
	k.mu.Unlock()
	k.write()
}

// sendCommand has a command written soon. One that comes while too many wait is
// dropped: they are all of the kind that says the same again.
func (k *link) sendCommand(body []byte) {
	const most = 16
	k.mu.Lock()
	if k.ended != nil || len(k.commands) >= most {
		k.mu.Unlock()
		return
	}
	k.commands = append(k.commands, body)
	k.startWriting()
}

// write writes until nothing is left or the other side takes no more. It never
// waits. The caller is the writer.
func (k *link) write() {
	o := k.pool.Get().(*out)
	for n := 1; ; n++ {
		if n > maxFlushes && k.leaveBacklog(o, 0, 0) {
			return
		}
		cost, count := k.take(o)
		if count < 0 {
			k.release(o)
			return
		}
		for len(o.vector) > 0 {
			n, err := k.socket.write(o.vector)
			o.wrote(n)
			if err == nil {
				continue
			}
			if !errors.Is(err, syscall.EAGAIN) {
				k.failed(err)
				k.release(o)
				return
			}
			if !k.leaveBacklog(o, cost, count) {
				k.failed(err)
				k.release(o)
			}
			return
		}
		k.wrote(cost, count)
		o.reset()
	}
}

// leaveBacklog has a goroutine go on with o and with what comes after it, and wait
// for the other side. It returns false where the link has ended: then nobody may be
// there any more to wait for the goroutine.
func (k *link) leaveBacklog(o *out, cost, count int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		return false
	}
	k.writer = backlog
	k.tasks.Go(func() { k.drain(o, cost, count) })
	return true
}

// drain writes until nothing is left, waiting for the other side. It ends with the
// connection, which whoever closes it knows to be the case.
func (k *link) drain(o *out, cost, count int) {
	defer k.release(o)
	for {
		buffers := net.Buffers(o.vector)
		if _, err := buffers.WriteTo(k.conn); err != nil {
			k.failed(err)
			return
		}
		k.wrote(cost, count)
		o.reset()
		if cost, count = k.take(o); count < 0 {
			return
		}
	}
}

// take puts what may be written into o, and returns what it costs and how many
// messages it has. If there is nothing, nobody writes any more and count is below
// zero.
func (k *link) take(o *out) (cost, count int) {
	k.mu.Lock()
	if k.dropped || k.flushed == 0 && len(k.commands) == 0 {
		k.stopped(k.ended != nil)
		k.mu.Unlock()
		return 0, -1
	}
	commands := k.commands
	k.commands = nil
	batch, most := k.queue[:k.flushed], maxOut
	for count < len(batch) && most > 0 {
		size := batch[count].Size()
		most -= size
		cost += size + frameOverhead*len(batch[count])
		count++
	}
	if count == len(k.queue) {
		k.queue, k.spare = k.spare[:0], nil
	} else {
		rest := k.queue[count:]
		k.spare = append(k.spare[:0], rest...)
		k.queue, k.spare = k.spare, nil
		clear(rest)
	}
	k.flushed -= count
	k.mu.Unlock()

	batch = batch[:count]
	err := k.encode(o, commands, batch)
	clear(batch)
	k.giveBack(batch)
	if err != nil {
		k.failed(err)
		return 0, -1
	}
	return cost, count
}

// encode puts commands and messages into o as they go out.
func (k *link) encode(o *out, commands [][]byte, batch []transport.Message) error {
	defer o.seal()
	if k.secrecy == nil {
		for _, c := range commands {
			o.command(c)
		}
		for _, m := range batch {
			o.message(m)
		}
		return nil
	}
	for _, c := range commands {
		if err := k.secrecy.command(o, c); err != nil {
			return err
		}
	}
	for _, m := range batch {
		if err := k.secrecy.message(o, m); err != nil {
			return err
		}
	}
	return nil
}

// giveBack keeps the slice that a batch was in.
func (k *link) giveBack(batch []transport.Message) {
	const most = 1024
	if cap(batch) > most {
		return
	}
	k.mu.Lock()
	if k.spare == nil {
		k.spare = batch[:0]
	}
	k.mu.Unlock()
}

// wrote counts what was written as no longer waiting.
func (k *link) wrote(cost, count int) {
	k.mu.Lock()
	k.bytes -= cost
	k.messages -= count
	k.mu.Unlock()
}

// stopped makes nobody the writer. The caller holds mu.
func (k *link) stopped(hangup bool) {
	k.writer = nobody
	if hangup {
		_ = k.conn.Close() // the reader, if there is one, says that it ended
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
	k.dropped = true
	k.queue, k.spare, k.commands, k.flushed = nil, nil, nil, 0
}

func (k *link) release(o *out) {
	if cap(o.scratch) > maxScratch {
		return
	}
	o.reset()
	k.pool.Put(o)
}

// end ends the link for why, if nothing has ended it before. What was flushed is
// still written, if the other side takes it soon, unless drop is set.
func (k *link) end(why error, drop bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended == nil {
		k.ended = why
	}
	k.closed.Store(true)
	if !drop && k.writer != nobody {
		clear(k.queue[k.flushed:])
		k.queue = k.queue[:k.flushed]
		if k.writer == backlog {
			_ = k.conn.SetWriteDeadline(time.Now().Add(linger)) // or it has failed, and the writer says so
		}
		return // whoever writes closes
	}
	k.drop()
	_ = k.conn.Close() // it was closed before, or nobody can do anything about it
}

// why returns why the link ended.
func (k *link) why() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ended
}

// reason returns what an error of the network means.
func reason(err error) error {
	switch {
	case errors.Is(err, ErrProtocol), errors.Is(err, transport.ErrRefused):
		return err
	case errors.Is(err, io.EOF):
		return transport.ErrPeerClosed
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
		return transport.ErrClosed
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", transport.ErrPeerClosed, err)
	}
	return fmt.Errorf("zmtp: %w", err)
}
