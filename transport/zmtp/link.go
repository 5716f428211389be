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

	mu       sync.Mutex          // guards what follows; not held while anything is written
	ready    []*out              // to be written, in order; the last may take more
	sealing  []transport.Message // with CURVE: to be encrypted and written; nothing is in ready then
	spare    []transport.Message // empty, to become sealing
	commands [][]byte            // with CURVE: likewise, and before those
	asides   int                 // commands that wait
	due      bool                // what waits may be written
	bytes    int                 // cost of what is queued or being written
	messages int                 // number of these
	writer   writer
	reading  bool  // receive goes on
	parting  bool  // nothing more is written, and what comes is read to its end
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
	k.setReading(true)
	defer k.setReading(false)
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
		if !k.due {
			k.ready, k.sealing, k.commands = nil, nil, nil // nobody has flushed it
		}
		if k.writer == backlog {
			_ = k.conn.SetWriteDeadline(time.Now().Add(linger)) // or it has failed, and the writer says so
		}
		return // whoever writes closes
	}
	k.drop()
	k.hangup(drop)
}

func (k *link) setReading(so bool) {
	k.mu.Lock()
	k.reading = so
	k.mu.Unlock()
}

// hangup closes the connection: at once, or where it is to be orderly with an end that
// the other side reads behind all that was written. A socket that is closed with
// something unread in it resets the connection, and what is still on its way may be lost
// with that. So the reader goes on, for linger at most, and whoever calls it closes the
// rest when it has ended. The caller holds mu.
func (k *link) hangup(drop bool) {
	if half, ok := k.conn.(interface{ CloseWrite() error }); ok && !drop && k.reading {
		k.parting = k.parting || half.CloseWrite() == nil && k.conn.SetReadDeadline(time.Now().Add(linger)) == nil
		if k.parting {
			return
		}
	}
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
