//go:build cgo && unix

package zmq

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/mdpmesh/mesh/transport"
)

// socket is a libzmq socket for which a goroutine can wait. It belongs to one
// goroutine at a time.
//
// libzmq signals its descriptor (ZMQ_FD) when there is something for the socket to
// do, once, until it was asked to do it: by a send or a receive that found nothing
// or by reading EVENTS. So whoever waits must have done that last.
type socket struct {
	*zmq4.Socket
	ready   chan struct{} // holds one item after the descriptor was signalled
	file    *os.File      // a duplicate of it, as libzmq closes its own
	watcher sync.WaitGroup
}

// newSocket opens a socket.
func newSocket(within *zmq4.Context, kind zmq4.Type) (*socket, error) {
	opened, err := within.NewSocket(kind)
	if err != nil {
		return nil, fmt.Errorf("zmq: no socket: %w", err)
	}
	s := &socket{Socket: opened, ready: make(chan struct{}, 1)}
	if err := errors.Join(opened.SetLinger(0), s.watch()); err != nil {
		_ = opened.Close() // nobody has used it
		return nil, fmt.Errorf("zmq: no socket: %w", err)
	}
	return s, nil
}

// watch has the runtime's poller look at the descriptor.
func (s *socket) watch() error {
	fd, err := s.GetFd()
	if err != nil {
		return err
	}
	duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.file = os.NewFile(uintptr(duplicate), "zmq")
	raw, err := s.file.SyscallConn()
	if err == nil {
		err = s.file.SetReadDeadline(time.Time{}) // fails if the poller doesn't take it
	}
	if err != nil {
		_ = s.file.Close() // nobody has used it
		return err
	}
	s.watcher.Go(func() {
		// One call for good: a new one would forget a signal that came before it.
		// It returns when the file is closed.
		_ = raw.Read(func(uintptr) bool {
			signal(s.ready)
			return false
		})
	})
	return nil
}

// signal puts an item into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// close closes the socket. What was sent before is still written by libzmq, for as
// long as the socket lingers.
func (s *socket) close() {
	_ = s.file.Close() // wakes the watcher; closing the socket wouldn't
	s.watcher.Wait()
	_ = s.Close() // it fails only for what isn't a socket
}

// is reports whether err is one of the system's that libzmq returned.
func is(err error, number syscall.Errno) bool {
	return err != nil && zmq4.AsErrno(err) == zmq4.Errno(number)
}

// readable asks libzmq whether there is a message, and has it do what waits to be
// done.
func (s *socket) readable() bool {
	state, err := s.GetEvents()
	return err == nil && state&zmq4.POLLIN != 0
}

// send sends a message, which goes to the peer with the routing id if the socket
// is a ROUTER. It fails with EAGAIN where libzmq holds enough for the peer, and
// with EHOSTUNREACH where it is gone, and has sent nothing then.
func (s *socket) send(id string, m transport.Message) error {
	if id != "" {
		if _, err := s.Send(id, zmq4.DONTWAIT|zmq4.SNDMORE); err != nil {
			return err
		}
	}
	last := len(m) - 1
	for i, frame := range m {
		flags := zmq4.DONTWAIT
		if i < last {
			flags |= zmq4.SNDMORE
		}
		if _, err := s.SendBytes(frame, flags); err != nil {
			return err
		}
	}
	return nil
}

// errTooLarge says that a message came that is larger than the limits allow.
var errTooLarge = fmt.Errorf("%w: a message above the limits (Config.MaxMessageBytes, Config.MaxFrames)", ErrProtocol)

// receive receives what is left of a message, at least one frame. It fails with
// EAGAIN where there is none, and with errTooLarge once it has taken one that is.
// If named, it returns the name that the ZAP handler gave to who sent it.
func (s *socket) receive(cfg *Config, named bool) (m transport.Message, user string, err error) {
	for frames, size := 0, 0; ; {
		var frame []byte // those of a message come together
		if named && frames == 0 {
			frame, user, err = s.receiveNamed()
		} else {
			frame, err = s.RecvBytes(zmq4.DONTWAIT)
		}
		if err != nil {
			return nil, "", err
		}
		frames, size = frames+1, size+len(frame)
		if frames <= cfg.MaxFrames && size <= cfg.MaxMessageBytes {
			m = append(m, frame)
		} else {
			m = nil
		}
		more, err := s.GetRcvmore()
		switch {
		case err != nil:
			return nil, "", err
		case more:
		case frames > cfg.MaxFrames || size > cfg.MaxMessageBytes:
			return nil, "", errTooLarge
		default:
			return m, user, nil
		}
	}
}

// userProperty is where libzmq has the name (RFC 27). The frame with the routing
// id doesn't always have it: libzmq 4.3.4 forgets it where EVENTS were read first.
const userProperty = "User-Id"

func (s *socket) receiveNamed() (frame []byte, user string, err error) {
	frame, properties, err := s.RecvBytesWithMetadata(zmq4.DONTWAIT, userProperty)
	return frame, properties[userProperty], err
}

const (
	// highWater is how many messages libzmq holds for each connection and
	// direction.
	highWater = 128
	// farewell is how long libzmq may take to accept what was flushed before a Close, and
	// a peer to end its side of a connection that this one has ended.
	farewell = time.Second
	// linger is how long libzmq goes on to send what it has accepted then. It
	// is "at once": long enough to hand it to the kernel.
	linger = 200 * time.Millisecond
	// never is the longest time that libzmq knows.
	never = (1<<31 - 1) * time.Millisecond
	// grace is how long after the end of a connection libzmq may show more of what
	// came over it.
	grace = 50 * time.Millisecond
	// tick is how often the owner looks at what doesn't wake it.
	tick = 2 * time.Millisecond
	// maxBatch is how many messages are received or sent at a time.
	maxBatch = 256
	// maxTurn is after how many bytes the receivers get what was received, so that no
	// more than this and one message is held for them at a time, rather than maxBatch
	// of the largest messages.
	maxTurn = 1 << 20
	// sealed is how much longer than its payload an encrypted frame is, with room
	// for the command's name (RFC 26, The MESSAGE Command).
	sealed = 64
)

// configure sets what listeners and connections have in common. What it sets holds
// for connections that begin afterwards.
func (s *socket) configure(c *Config) error {
	largest := int64(c.MaxMessageBytes)
	if c.Keys != nil {
		largest += sealed
	}
	errs := []error{
		s.SetSndhwm(highWater), s.SetRcvhwm(highWater), s.SetMaxmsgsize(largest), s.SetTcpKeepalive(1), // as package net does
		s.SetReconnectIvl(never), s.SetHandshakeIvl(max(c.HandshakeTimeout, time.Millisecond)),
	}
	if c.HeartbeatInterval > 0 {
		errs = append(errs, s.SetHeartbeatIvl(max(c.HeartbeatInterval, time.Millisecond)), s.SetHeartbeatTimeout(c.HeartbeatTimeout))
	}
	if c.Keys != nil {
		errs = append(errs, s.SetCurvePublickey(c.Keys.Public.String()), s.SetCurveSecretkey(c.Keys.Secret.Z85()))
	}
	return errors.Join(errs...)
}
