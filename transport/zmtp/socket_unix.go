//go:build unix

package zmtp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxVector is how many pieces one system call takes on every system.
const maxVector = 1024

// socket makes single system calls on a connection that the runtime's poller
// watches. One goroutine at a time may read, and one may write.
type socket struct {
	raw       syscall.RawConn
	readOnce  func(fd uintptr) bool // made once, as a new one is an allocation
	writeOnce func(fd uintptr) bool

	buffer   func() (first, next []byte) // where to read to; asked once there is something
	wait     func()                      // told when there is nothing
	resume   func()                      // told when there may be something again
	waits    bool
	vector   [][]byte
	pieces   []iovec
	readN    int
	readErr  error
	writeN   int
	writeErr error
}

// open makes s one of the connection.
func (s *socket) open(conn net.Conn) error {
	opened, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("zmtp: a %T has no socket", conn)
	}
	raw, err := opened.SyscallConn()
	if err != nil {
		return err
	}
	s.raw = raw
	s.readOnce = func(fd uintptr) bool {
		if s.waits {
			s.waits = false
			s.resume()
		}
		for {
			first, next := s.buffer()
			s.readN, s.readErr = readNow(int(fd), first, next)
			switch {
			case errors.Is(s.readErr, unix.EINTR):
			case errors.Is(s.readErr, unix.EAGAIN):
				s.waits = true
				s.wait()
				return false
			default:
				return true
			}
		}
	}
	s.writeOnce = func(fd uintptr) bool {
		for {
			v := s.vector
			s.writeN, s.pieces, s.writeErr = writeNow(int(fd), v[:min(len(v), maxVector)], s.pieces)
			if !errors.Is(s.writeErr, unix.EINTR) {
				return true
			}
		}
	}
	return nil
}

// read waits until there is something to read, and reads it.
func (s *socket) read() (int, error) {
	if err := s.raw.Read(s.readOnce); err != nil {
		return 0, err
	}
	switch {
	case s.readErr != nil:
		return 0, s.readErr
	case s.readN == 0:
		return 0, io.EOF
	}
	return s.readN, nil
}

// write writes what the kernel takes at once. The error is EAGAIN where that isn't
// all and no other error is met.
func (s *socket) write(v [][]byte) (int, error) {
	s.vector = v
	err := s.raw.Write(s.writeOnce)
	s.vector = nil
	if err != nil {
		return 0, err
	}
	return max(s.writeN, 0), s.writeErr
}
