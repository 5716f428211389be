//go:build cgo && unix

package zmq

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// relay carries the bytes of one connection between the peer, with which it has
// the outer connection, and libzmq, with which it has the inner one.
//
// Each direction ends for itself, so that the last bytes arrive: where the peer
// ends the connection libzmq still reads what came before, and where libzmq ends it
// the peer does. A peer that is libzmq itself, over ipc, throws away what it hasn't read
// yet once neither direction is open.
type relay struct {
	outer net.Conn

	mu      sync.Mutex // guards what follows
	waiting net.Listener
	inner   net.Conn // nil: libzmq hasn't come yet
	aborted bool
}

// run carries bytes until both sides have ended. libzmq comes to the listener.
func (r *relay) run(waiting *net.UnixListener, patience time.Duration) {
	defer r.abort()
	_ = waiting.SetDeadline(time.Now().Add(patience)) // it fails only once it is closed
	inner, err := waiting.Accept()
	_ = waiting.Close() // it waits for one
	if err != nil || !r.begin(inner) {
		return
	}
	var inwards sync.WaitGroup
	var g greetingHead
	inwards.Go(func() { carry(inner, r.outer, g.pass) })
	carry(r.outer, inner, nil)
	// libzmq has ended, and the peer may take a while to see it. Nobody wants what it
	// still sends.
	_ = r.outer.SetReadDeadline(time.Now().Add(farewell)) // it fails only once it is closed
	inwards.Wait()
}

// begin takes libzmq's connection, unless the relay was aborted.
func (r *relay) begin(inner net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inner = inner
	if r.aborted {
		_ = inner.Close() // nobody has used it
	}
	return !r.aborted
}

// abort ends both connections at once.
func (r *relay) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aborted = true
	_ = r.outer.Close() // both may have been closed before
	if r.waiting != nil {
		_ = r.waiting.Close()
	}
	if r.inner != nil {
		_ = r.inner.Close()
	}
}

// finish bounds how long the peer may take for what libzmq still has for it.
func (r *relay) finish() {
	_ = r.outer.SetWriteDeadline(time.Now().Add(linger)) // it fails only once it is closed
}

// greetingHead looks at the begin of what a peer sends: a greeting of ZMTP 3 (RFC
// 23, RFC 37). What isn't one must not reach libzmq 4.3, which takes it for an older
// version, and aborts the process if it learns who the peer is after this side has
// given the peer up.
type greetingHead struct{ seen int }

// The bytes of a greeting that tell its version.
const (
	greetingFirst     = 0  // 0xff, or it is ZMTP 1
	greetingSignature = 9  // 0x7f; an even byte makes it ZMTP 1
	greetingVersion   = 10 // the major version
)

// pass reports whether b may be what follows.
func (g *greetingHead) pass(b []byte) bool {
	for _, c := range b {
		switch {
		case g.seen > greetingVersion:
			return true
		case g.seen == greetingFirst && c != 0xff, g.seen == greetingSignature && c&1 == 0, g.seen == greetingVersion && c < 3:
			return false
		}
		g.seen++
	}
	return true
}

// carry copies what comes from one connection to the other, and then ends that
// direction of it. If to takes no more, what comes is thrown away: its end is still
// of interest. If pass is set, it has to agree to what comes.
func carry(to, from net.Conn, pass func([]byte) bool) {
	defer closeWrite(to)
	raw, err := from.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	refused := false
	for {
		chunk, err := readChunk(raw)
		if chunk == nil {
			if err != nil {
				return
			}
			continue
		}
		if pass != nil && !pass(*chunk) {
			return
		}
		if !refused {
			_, err = to.Write(*chunk)
			refused = err != nil
		}
		chunks.Put(chunk)
	}
}

// closeWrite tells the other side that nothing more comes.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other side may have ended it
	}
}

// chunkSize is how much is read at a time.
const chunkSize = 64 << 10

var chunks = sync.Pool{New: func() any {
	b := make([]byte, chunkSize)
	return &b
}}

// readChunk reads what there is, into a chunk from chunks. It takes one only once
// there is something, so that an idle connection holds none.
func readChunk(raw syscall.RawConn) (chunk *[]byte, err error) {
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		chunk = chunks.Get().(*[]byte)
		*chunk = (*chunk)[:cap(*chunk)]
		n, err := syscall.Read(int(fd), *chunk)
		if n > 0 {
			*chunk = (*chunk)[:n]
			return true
		}
		chunks.Put(chunk)
		chunk = nil
		switch {
		case err == nil:
			readErr = io.EOF
		case errors.Is(err, syscall.EAGAIN):
			return false
		case !errors.Is(err, syscall.EINTR):
			readErr = err
		}
		return true
	})
	return chunk, errors.Join(err, readErr)
}
