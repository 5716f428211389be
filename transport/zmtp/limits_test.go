package zmtp

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// ended waits for the end of a connection that was opened by hand.
func ended(t testing.TB, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection lives on")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		e := listenEcho(t, Config{MaxConnections: 2})
		first := e.greeted(t)
		e.greeted(t)
		ended(t, e.raw(t))
		eventually(t, "the log", func() bool { return strings.Contains(e.log.String(), "Config.MaxConnections") })
		e.counts(t, Stats{Accepted: 3, Greeted: 2, Limited: 1})
		require.NoError(t, first.Close())
		require.ErrorIs(t, <-e.gone, transport.ErrPeerClosed)
		eventually(t, "room for another", func() bool {
			c, err := e.transport.Dial(t.Context(), transport.Endpoint{Addr: e.Addr()})
			return err == nil && c.Close() == nil
		})
	})
	t.Run("connections of one host", func(t *testing.T) {
		t.Parallel()
		e := listenEcho(t, Config{MaxConnectionsPerHost: 1})
		e.greeted(t)
		ended(t, e.raw(t))
		eventually(t, "the log", func() bool { return strings.Contains(e.log.String(), "Config.MaxConnectionsPerHost") })
	})
	t.Run("handshakes", func(t *testing.T) {
		t.Parallel()
		e := listenEcho(t, Config{MaxHandshakes: 2, HandshakeTimeout: patience})
		oldest := e.raw(t)
		_, err := io.ReadFull(oldest, make([]byte, wire.GreetingSize))
		require.NoError(t, err)
		second := e.raw(t)
		_, err = io.ReadFull(second, make([]byte, wire.GreetingSize))
		require.NoError(t, err)
		e.greeted(t)
		ended(t, oldest)
		_, err = second.Write(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...))
		require.NoError(t, err)
		_, err = io.ReadFull(second, make([]byte, len(ready(wire.ROUTER))))
		require.NoError(t, err, "only the oldest gave way")
	})
	t.Run("not yet served", func(t *testing.T) {
		t.Parallel()
		z := New(Config{MaxPending: 1})
		l, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		first, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		require.NoError(t, err)
		t.Cleanup(func() { _ = first.Close() })
		eventually(t, "the first waits", func() bool { return z.Stats() == Stats{Accepted: 1, Greeted: 1} })
		second, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		if err == nil { // its handshake was over when the listener saw that there is no room
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.ErrorIs(t, second.Serve(ctx, func([]transport.Message) {}), transport.ErrPeerClosed)
		}
		eventually(t, "the count", func() bool { return z.Stats() == Stats{Accepted: 2, Greeted: 1, Limited: 1} })
	})
}

// Connections whose handshake has ended, one way or the other, are forgotten, also while
// one lasts.
func TestHandshakesAreForgotten(t *testing.T) {
	t.Parallel()
	e := listenEcho(t, Config{HandshakeTimeout: patience})
	l := e.Listener.(*listener)
	waiting := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.oldest)
	}
	_, err := io.ReadFull(e.raw(t), make([]byte, wire.GreetingSize))
	require.NoError(t, err)
	for range 20 {
		e.greeted(t)
		require.NoError(t, e.raw(t).Close())
	}
	eventually(t, "the end of all but one", func() bool { return waiting() <= 2 })
}

// A PING is answered with its context, in ZMTP 3.1 and not before its turn among
// messages.
func TestPing(t *testing.T) {
	t.Parallel()
	e := listenEcho(t, Config{})
	c := e.greeted(t)
	_, err := c.Write(append(command(wire.AppendPing(nil, 0, []byte("context"))), message("m")...))
	require.NoError(t, err)
	want := append(command(wire.AppendPong(nil, []byte("context"))), message("m")...)
	got := make([]byte, len(want))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A silent peer is asked, and given up when it doesn't answer. One that answers
// lives.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	cfg := Config{HeartbeatInterval: 50 * time.Millisecond, HeartbeatTimeout: 500 * time.Millisecond}
	e := listenEcho(t, cfg)
	alive, err := e.transport.Dial(t.Context(), transport.Endpoint{Addr: e.Addr()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- alive.Serve(ctx, func([]transport.Message) {}) }()

	dead := e.greeted(t)
	header := make([]byte, 2)
	_, err = io.ReadFull(dead, header)
	require.NoError(t, err)
	ping := make([]byte, header[1])
	_, err = io.ReadFull(dead, ping)
	require.NoError(t, err)
	require.Equal(t, wire.AppendPing(nil, cfg.HeartbeatTimeout, nil), ping)
	ended(t, dead)
	require.ErrorIs(t, <-e.gone, ErrSilent)
	require.Equal(t, uint64(1), e.transport.Stats().Silent)

	old := e.raw(t)
	_, err = old.Write(append(greeting(wire.V30, wire.Null), ready(wire.DEALER)...))
	require.NoError(t, err)
	_, err = io.ReadFull(old, make([]byte, wire.GreetingSize+len(ready(wire.ROUTER))))
	require.NoError(t, err)
	require.NoError(t, old.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err = old.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "a peer of ZMTP 3.0 knows no PING, so it isn't asked")

	require.Empty(t, over, "the one that answers lives")
	cancel()
	require.ErrorIs(t, <-over, context.Canceled)
	require.NoError(t, alive.Close())
}

// A peer that names a time to live is given up when it keeps silent for longer.
func TestTimeToLive(t *testing.T) {
	t.Parallel()
	e := listenEcho(t, Config{})
	c := e.greeted(t)
	_, err := c.Write(command(wire.AppendPing(nil, 100*time.Millisecond, nil)))
	require.NoError(t, err)
	ended(t, c)
	why := <-e.gone
	require.ErrorIs(t, why, ErrSilent)
	require.ErrorContains(t, why, "100ms")
}

// garble returns what a broken or a hostile peer may send.
func garble(rng *rand.Rand) []byte {
	good := append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...)
	noise := make([]byte, rng.IntN(300))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	switch rng.IntN(6) {
	case 0:
		return noise
	case 1:
		return good[:rng.IntN(len(good))]
	case 2:
		bad := append([]byte(nil), good...)
		bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		return append(bad, noise...)
	case 3:
		return append(good, noise...)
	case 4:
		return append(append(good, message("MDPC02", "\x01", "echo", string(noise))...), noise...)
	default:
		return []byte("GET / HTTP/1.1\r\n\r\n")
	}
}

// Ten thousand connections that send rubbish, while others work: every good request
// is answered, and nothing is left behind.
func TestHostileConnections(t *testing.T) {
	const strangers, atOnce = 10_000, 50
	e := listenEcho(t, Config{HandshakeTimeout: 2 * time.Second, MaxMessageBytes: 1 << 20})
	stop := make(chan struct{})
	var answered atomic.Int64
	var good sync.WaitGroup
	for range 4 {
		c, err := e.transport.Dial(t.Context(), transport.Endpoint{Addr: e.Addr()})
		require.NoError(t, err)
		got := make(chan struct{}, 1)
		good.Go(func() { _ = c.Serve(context.Background(), func([]transport.Message) { got <- struct{}{} }) })
		good.Go(func() {
			defer c.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.Send(transport.Message{[]byte("good")}); err != nil {
					t.Errorf("a good request wasn't taken: %v", err)
					return
				}
				c.Flush()
				select {
				case <-got:
					answered.Add(1)
				case <-time.After(patience):
					t.Error("a good request wasn't answered")
					return
				}
			}
		})
	}
	var bad sync.WaitGroup
	var next atomic.Int64
	for worker := range atOnce {
		rng := rand.New(rand.NewPCG(uint64(worker), 1)) // #nosec G404 -- test data
		bad.Go(func() {
			for next.Add(1) <= strangers {
				c, err := net.Dial("tcp", strings.TrimPrefix(e.Addr(), sockets.TCP))
				if err != nil {
					t.Errorf("not accepted: %v", err)
					return
				}
				_, _ = c.Write(garble(rng))
				_ = c.(*net.TCPConn).SetLinger(0) // so that the test doesn't use up all ports
				_ = c.Close()
			}
		})
	}
	bad.Wait()
	close(stop)
	good.Wait()
	require.Positive(t, answered.Load())
	eventually(t, "the end of every connection", func() bool {
		l := e.Listener.(*listener)
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.census.Total == 0 && len(l.greeting) == 0 && len(l.peers) == 0
	})
	eventually(t, "the end of their goroutines", func() bool { return runtime.NumGoroutine() < 50 })
	e.serves(t)
}
