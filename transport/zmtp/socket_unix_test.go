//go:build unix

package zmtp

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mdpmesh/mesh/transport"
)

// opened returns the two ends of a connection, as a listener and a dialler have them.
func opened(t *testing.T, network, addr string) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen(network, addr)
	require.NoError(t, err)
	defer l.Close()
	dialled, err = net.Dial(network, l.Addr().String())
	require.NoError(t, err)
	accepted, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = dialled.Close()
		_ = accepted.Close()
	})
	return dialled, accepted
}

// newSocket returns a socket that reads to b.
func newSocket(t *testing.T, conn net.Conn, b []byte) *socket {
	t.Helper()
	s := &socket{buffer: func() ([]byte, []byte) { return b, nil }, wait: func() {}, resume: func() {}}
	require.NoError(t, s.open(conn))
	return s
}

// The runtime isn't told of the calls that a socket makes, so one that waited would
// hold up the whole process. The flag that forbids it belongs to each connection.
func TestSocketNeverBlocks(t *testing.T) {
	t.Parallel()
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		dialled, accepted := opened(t, network, addr)
		for _, conn := range []net.Conn{dialled, accepted} {
			s := newSocket(t, conn, nil)
			require.NoError(t, s.raw.Control(func(fd uintptr) {
				flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
				require.NoError(t, err)
				require.NotZero(t, flags&unix.O_NONBLOCK)
			}))
		}

		// Nobody reads, so the kernel takes only so much, and then says so at once.
		b := make([]byte, 10)
		s := newSocket(t, dialled, b)
		for _, pieces := range [][][]byte{{make([]byte, 1<<20)}, {make([]byte, 1<<20), make([]byte, 1<<20)}} {
			var err error
			for err == nil {
				_, err = s.write(pieces)
			}
			require.ErrorIs(t, err, unix.EAGAIN)
		}

		// There is nothing to read, and those that wait for it hold up nobody.
		waiting, read := make(chan struct{}), make(chan error)
		s.wait = sync.OnceFunc(func() { close(waiting) })
		go func() {
			_, err := s.read()
			read <- err
		}()
		<-waiting
		runtime.GC() // stops the world, which a blocked call wouldn't let it
		_, err := accepted.Write([]byte("tea"))
		require.NoError(t, err)
		require.NoError(t, <-read)
		require.Equal(t, "tea", string(b[:3]))
		require.NoError(t, accepted.Close())
		for err == nil {
			_, err = s.read()
		}
		require.Error(t, err)
	}
}

// What is read goes to one place, and then to the next.
func TestSocketReadsPieces(t *testing.T) {
	t.Parallel()
	dialled, accepted := opened(t, "tcp", "127.0.0.1:0")
	s := newSocket(t, dialled, nil)
	first, next := make([]byte, 3), make([]byte, 5)
	s.buffer = func() ([]byte, []byte) { return first, next }
	_, err := accepted.Write([]byte("teapots"))
	require.NoError(t, err)
	n, err := s.read()
	require.NoError(t, err)
	if runtime.GOOS == "linux" {
		require.Equal(t, 7, n)
		require.Equal(t, "pots", string(next[:4]))
	} else {
		require.Equal(t, 3, n)
	}
	require.Equal(t, "tea", string(first))
}

// What is written arrives, also in more pieces than one system call takes, and where
// the kernel takes less than there is.
func TestSocketWritesPieces(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2, maxVector, maxVector + 1, 3*maxVector + 7} {
		dialled, accepted := opened(t, "tcp", "127.0.0.1:0")
		s := newSocket(t, dialled, nil)
		pieces := make([][]byte, count)
		for i := range pieces {
			pieces[i] = make([]byte, 1+i%1000)
			_, _ = rand.Read(pieces[i])
		}
		want := slices.Concat(pieces...)
		got := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(accepted)
			got <- all
		}()
		o := out{vector: pieces}
		for len(o.vector) > 0 {
			n, err := s.write(o.vector)
			o.wrote(n)
			if err != nil {
				require.ErrorIs(t, err, unix.EAGAIN)
				runtime.Gosched()
			}
		}
		require.Nil(t, s.vector, "the socket keeps nothing of what it wrote")
		for _, p := range s.pieces[:cap(s.pieces)] {
			require.Zero(t, p)
		}
		require.NoError(t, dialled.Close())
		require.True(t, bytes.Equal(want, <-got))
	}
}

// A message of more pieces than one system call takes, and of more bytes than the
// kernel takes at once, arrives.
func TestMessageOfManyPieces(t *testing.T) {
	t.Parallel()
	c := dialEcho(t)
	m := make(transport.Message, DefaultMaxFrames)
	for i := range m {
		m[i] = make([]byte, (i%3)*copyBelow) // some empty
		_, _ = rand.Read(m[i])
	}
	require.NoError(t, c.Send(m))
	c.Flush()
	err := c.Serve(t.Context(), func(batch []transport.Message) {
		require.True(t, slices.EqualFunc(m, batch[0], bytes.Equal))
		_ = c.Close()
	})
	require.ErrorIs(t, err, transport.ErrClosed)
}

// While it waits a connection holds nothing of the last message, with CURVE or without.
func TestIdleConnectionForgets(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(*testing.T) *conn{"NULL": dialEcho, "CURVE": dialCurveEcho} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t)
			got := make(chan weak.Pointer[byte], 1)
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() {
				served <- c.Serve(ctx, func(batch []transport.Message) { got <- weak.Make(&batch[0][0][0]) })
			}()
			require.NoError(t, c.Send(transport.Message{make([]byte, 1<<20)}))
			c.Flush()
			body := <-got
			w := &c.in.waiting
			eventually(t, "waiting", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.now
			})
			runtime.GC()
			require.Nil(t, body.Value())
			cancel()
			require.ErrorIs(t, <-served, context.Canceled)
		})
	}
}

// The timer may take a reader's memory away at any time while it waits: nothing is
// lost or garbled, and the race detector has nothing to say.
func TestShedWhileReading(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(*testing.T) *conn{"NULL": dialEcho, "CURVE": dialCurveEcho} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t)
			over, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-over:
						return
					case <-time.After(20 * time.Microsecond):
						c.in.shed()
					}
				}
			}()
			const rounds = 100
			round := 0
			m := func() transport.Message { // below and above ownBelow
				return transport.Message{bytes.Repeat([]byte{byte(round)}, 3*round*round), []byte("end")}
			}
			send := func() {
				require.NoError(t, c.Send(m()))
				c.Flush()
			}
			send()
			err := c.Serve(t.Context(), func(batch []transport.Message) {
				require.Equal(t, []transport.Message{m()}, batch)
				if round++; round == rounds {
					_ = c.Close()
					return
				}
				send()
			})
			require.ErrorIs(t, err, transport.ErrClosed)
			require.Equal(t, rounds, round)
			close(over)
			<-stopped
		})
	}
}
