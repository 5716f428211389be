//go:build !unix

package zmtp

import (
	"net"
	"syscall"
)

// socket is the same for systems on which a single system call can't be made: what
// is written goes to a goroutine that waits.
type socket struct {
	conn         net.Conn
	buffer       func() (first, next []byte)
	wait, resume func() // for systems where a read can be tried
}

func (s *socket) open(conn net.Conn) error {
	s.conn = conn
	return nil
}

func (s *socket) read() (int, error) {
	b, _ := s.buffer()
	return s.conn.Read(b)
}

func (s *socket) write([][]byte) (int, error) { return 0, syscall.EAGAIN }
