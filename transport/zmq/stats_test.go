//go:build cgo && unix

package zmq_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmq"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// counts waits until what is asked, of either library, has counted just that.
func counts(t *testing.T, z transport.Transport, want zmq.Stats) {
	t.Helper()
	counted := func() zmq.Stats {
		if z, ok := z.(*zmq.Transport); ok {
			return z.Stats()
		}
		s := z.(*zmtp.Transport).Stats()
		return zmq.Stats{
			Accepted: s.Accepted, Greeted: s.Greeted, Limited: s.Limited, Strangers: s.Strangers,
			Failed: s.Failed, Violated: s.Violated, Slow: s.Slow,
		}
	}
	for end := time.Now().Add(30 * time.Second); counted() != want && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	require.Equal(t, want, counted())
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// wiretap stands between one dialler and a listener.
type wiretap struct {
	addr           string
	dialler, other way // what the dialler says, and the listener
}

// way is one direction of a wiretap.
type way struct {
	forge atomic.Bool // change the last byte of what is said

	mu   sync.Mutex
	said bytes.Buffer
}

func tap(t *testing.T, addr string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wiretap{addr: "tcp://" + l.Addr().String()}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		dialler, err := l.Accept()
		if err != nil {
			return
		}
		listener, err := net.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
		if err != nil {
			_ = dialler.Close()
			return
		}
		tasks.Go(func() { w.other.pass(dialler, listener) })
		w.dialler.pass(listener, dialler)
	})
	t.Cleanup(func() {
		_ = l.Close()
		tasks.Wait()
	})
	return w
}

// pass copies what is said until either end has ended, and ends both.
func (w *way) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	chunk := make([]byte, 64<<10)
	for {
		n, err := from.Read(chunk)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.said.Write(chunk[:n])
		w.mu.Unlock()
		if w.forge.Load() {
			chunk[n-1] ^= 1
		}
		if _, err := to.Write(chunk[:n]); err != nil {
			return
		}
	}
}

func (w *way) recorded() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.said.Bytes())
}

// A handshake that was recorded and one that is cut off are refused, counted and logged.
func TestCurveReplayed(t *testing.T) {
	server, client := newKeys(t), newKeys(t)
	log := new(logBuffer)
	z := zmq.New(zmq.Config{Keys: server, Authenticate: allow(client, "tea"), Logger: slog.New(slog.NewTextHandler(log, nil))})
	addr, peers := serve(t, z)
	wire := tap(t, addr)
	dials := zmq.New(zmq.Config{Keys: client})
	c, err := dials.Dial(t.Context(), transport.Endpoint{Addr: wire.addr, ServerKey: server.Public.String()})
	require.NoError(t, err)
	defer c.Close()
	await(t, peers)
	want := zmq.Stats{Accepted: 1, Greeted: 1}
	counts(t, z, want)

	said := wire.dialler.recorded()
	require.Greater(t, len(said), 64, "a greeting and a handshake")
	require.Empty(t, log.String())
	for _, n := range []int{len(said), len(said) - 1, 64 + 100, 64, 32, 1} {
		raw, err := net.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
		require.NoError(t, err)
		_, err = raw.Write(said[:n])
		require.NoError(t, err)
		require.NoError(t, raw.(*net.TCPConn).CloseWrite())
		_, _ = io.Copy(io.Discard, raw) // until the listener ends it
		require.NoError(t, raw.Close())
		want.Accepted++
		want.Failed++
		counts(t, z, want)
	}
	require.Contains(t, log.String(), "connection ended")
}

// A message that was changed on its way ends the connection, at either end, is counted
// and logged.
func TestCurveForged(t *testing.T) {
	server, client := newKeys(t), newKeys(t)
	log := new(logBuffer)
	z := zmq.New(zmq.Config{Keys: server, Authenticate: allow(client, "tea"), Logger: slog.New(slog.NewTextHandler(log, nil))})
	dial := func(addr string) transport.Conn {
		c, err := zmq.New(zmq.Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: addr, ServerKey: server.Public.String()})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	forged := transport.Message{[]byte("changed on its way")}
	t.Run("to the listener", func(t *testing.T) {
		addr, peers := serve(t, z)
		wire := tap(t, addr)
		c := dial(wire.addr)
		p := await(t, peers)
		wire.dialler.forge.Store(true)
		require.NoError(t, c.Send(forged))
		c.Flush()
		require.ErrorIs(t, await(t, p.gone), zmq.ErrProtocol)
		require.Empty(t, p.got)
		counts(t, z, zmq.Stats{Accepted: 1, Greeted: 1, Violated: 1})
		require.Contains(t, log.String(), "CURVE")
		require.NotContains(t, log.String(), "its way")
	})
	t.Run("to one that isn't served yet", func(t *testing.T) {
		l, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
		require.NoError(t, err)
		wire := tap(t, l.Addr())
		c := dial(wire.addr)
		counts(t, z, zmq.Stats{Accepted: 2, Greeted: 2, Violated: 1})
		wire.dialler.forge.Store(true)
		require.NoError(t, c.Send(forged))
		c.Flush()
		counts(t, z, zmq.Stats{Accepted: 2, Greeted: 2, Violated: 2})
		good := dial(l.Addr())
		shown, served := make(chan transport.Peer, 2), make(chan error, 1)
		go func() {
			served <- l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
				shown <- p
				return nil
			})
		}()
		await(t, shown)
		require.ErrorIs(t, good.Serve(t.Context(), func([]transport.Message) {}), transport.ErrPeerClosed)
		require.NoError(t, l.Close())
		require.ErrorIs(t, await(t, served), transport.ErrClosed)
		require.Empty(t, shown, "who was sent away is never shown")
	})
	t.Run("to the dialler", func(t *testing.T) {
		addr, peers := serve(t, z)
		wire := tap(t, addr)
		c := dial(wire.addr)
		p := await(t, peers)
		wire.other.forge.Store(true)
		require.NoError(t, p.Send(forged))
		p.Flush()
		err := c.Serve(t.Context(), func([]transport.Message) { t.Error("it was received") })
		require.ErrorIs(t, err, zmq.ErrProtocol)
	})
}

// A peer that reads too slowly is counted when it is dropped.
func TestSlowIsCounted(t *testing.T) {
	z := zmq.New(zmq.Config{MaxQueuedMessages: 1})
	addr, peers := serve(t, z)
	c, err := zmq.New(zmq.Config{}).Dial(t.Context(), transport.Endpoint{Addr: addr})
	require.NoError(t, err)
	defer c.Close()
	p := await(t, peers)
	for err == nil {
		err = p.Send(transport.Message{[]byte("too many, and never flushed")})
	}
	require.ErrorIs(t, err, transport.ErrSlowPeer)
	require.ErrorIs(t, await(t, p.gone), transport.ErrSlowPeer)
	counts(t, z, zmq.Stats{Accepted: 1, Greeted: 1, Slow: 1})
}

// What ends with its listener, or by itself, did no wrong.
func TestEndsAreNotCounted(t *testing.T) {
	z := zmq.New(zmq.Config{})
	l, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
	require.NoError(t, err)
	c, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
	require.NoError(t, err)
	defer c.Close()
	raw, err := net.Dial("tcp", strings.TrimPrefix(l.Addr(), "tcp://"))
	require.NoError(t, err)
	defer raw.Close()
	_, err = raw.Read(make([]byte, 1)) // libzmq greets it
	require.NoError(t, err)
	counts(t, z, zmq.Stats{Accepted: 2, Greeted: 1})
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Serve(context.Background(), nil), transport.ErrClosed)
	_, _ = io.Copy(io.Discard, raw) // until the listener ends it
	counts(t, z, zmq.Stats{Accepted: 2, Greeted: 1})
}
