//go:build cgo && unix

package zmq_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmq"
)

// These tests listen on loopback, so they need sockets and real time.
func TestWildcards(t *testing.T) {
	z := zmq.New(zmq.Config{})
	for _, addr := range []string{"tcp://*:*", "tcp://[::1]:0", "tcp://localhost:0", "ipc://*", "ipc://@mesh-zmq-test-abstract"} {
		if strings.Contains(addr, "@") && runtime.GOOS != "linux" {
			continue
		}
		l, err := z.Listen(t.Context(), addr)
		require.NoError(t, err, addr)
		c, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		require.NoError(t, err, l.Addr())
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	}
}

func TestConfig(t *testing.T) {
	one, two := newKeys(t), newKeys(t)
	for want, cfg := range map[string]zmq.Config{
		"zmq: Config.MaxFrames is negative": {MaxFrames: -1},
		"zmq: Config.Keys: ":                {Keys: &curve.KeyPair{Public: one.Public, Secret: two.Secret}},
	} {
		_, err := zmq.New(cfg).Listen(t.Context(), "tcp://127.0.0.1:*")
		require.ErrorContains(t, err, want)
		_, err = zmq.New(cfg).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1"})
		require.ErrorContains(t, err, want)
	}
	_, err := zmq.New(zmq.Config{Keys: one}).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1"})
	require.ErrorIs(t, err, transport.ErrAddress, "a dialler with keys needs to know the broker's")
	_, err = zmq.New(zmq.Config{}).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1", ServerKey: one.Public.String()})
	require.ErrorIs(t, err, transport.ErrAddress, "and one that knows it needs keys")
}

// accepted is what a listener showed.
type accepted struct {
	transport.Peer
	got  chan transport.Message
	gone chan error
}

func (a accepted) Receive(batch []transport.Message) {
	for _, m := range batch {
		a.got <- m
	}
}

func (a accepted) Gone(reason error) { a.gone <- reason }

// serve listens and serves until the test ends.
func serve(t *testing.T, z transport.Transport) (string, <-chan accepted) {
	t.Helper()
	l, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
	require.NoError(t, err)
	peers, served := make(chan accepted, 100), make(chan error, 1)
	go func() {
		served <- l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
			a := accepted{p, make(chan transport.Message, 100), make(chan error, 1)}
			peers <- a
			return a
		})
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.ErrorIs(t, await(t, served), transport.ErrClosed)
	})
	return l.Addr(), peers
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		require.FailNow(t, "waited in vain")
		panic("unreachable")
	}
}

// Nobody gets in without a key that is known, whichever library speaks at either
// end, and who gets in has its name.
func TestAuthentication(t *testing.T) {
	server, known, stranger := newKeys(t), newKeys(t), newKeys(t)
	for _, ends := range [][2]library{{byZMQ, byZMQ}, {byZMQ, byZMTP}, {byZMTP, byZMQ}} {
		t.Run(ends[1].name+" to "+ends[0].name, func(t *testing.T) {
			open, shut, bare := ends[0].open(server, allow(known, "tea")), ends[0].open(server, nil), ends[0].open(nil, nil)
			addr, peers := serve(t, open)
			closed, _ := serve(t, shut)
			plain, _ := serve(t, bare)
			dial := func(keys *curve.KeyPair, addr string, serverKey *curve.Key) (transport.Conn, error) {
				to := transport.Endpoint{Addr: addr}
				if serverKey != nil {
					to.ServerKey = serverKey.String()
				}
				return ends[1].open(keys, nil).Dial(t.Context(), to)
			}
			c, err := dial(known, addr, &server.Public)
			require.NoError(t, err)
			require.Equal(t, "tea", await(t, peers).Identity().Name)
			require.NoError(t, c.Close())

			_, err = dial(stranger, addr, &server.Public)
			require.ErrorIs(t, err, transport.ErrRefused, "a key that isn't known")
			require.ErrorContains(t, err, "400")
			require.ErrorContains(t, err, "this key", "it is told")
			_, err = dial(known, closed, &server.Public)
			require.ErrorIs(t, err, transport.ErrRefused, "nobody is known")
			require.ErrorContains(t, err, "400")
			_, err = dial(known, addr, &stranger.Public)
			require.Error(t, err, "the broker is another one")
			_, err = dial(nil, addr, nil)
			require.Error(t, err, "a dialler without CURVE")
			_, err = dial(known, plain, &server.Public)
			require.Error(t, err, "a broker without CURVE")
			require.Empty(t, peers)
			counts(t, open, zmq.Stats{Accepted: 4, Greeted: 1, Strangers: 1, Failed: 2})
			counts(t, shut, zmq.Stats{Accepted: 1, Strangers: 1})
			counts(t, bare, zmq.Stats{Accepted: 1, Failed: 1})
		})
	}
}

// What peers call themselves counts for nothing: two by one name are two, and one
// that has none of ours is as good.
func TestForeignPeers(t *testing.T) {
	addr, peers := serve(t, zmq.New(zmq.Config{}))
	within, err := zmq4.NewContext()
	require.NoError(t, err)
	var sockets []*zmq4.Socket
	defer func() {
		for _, s := range sockets {
			require.NoError(t, s.Close())
		}
		require.NoError(t, within.Term())
	}()
	for _, kind := range []zmq4.Type{zmq4.DEALER, zmq4.DEALER, zmq4.REQ, zmq4.REQ} {
		s, err := within.NewSocket(kind)
		require.NoError(t, err)
		sockets = append(sockets, s)
		require.NoError(t, s.SetLinger(0))
		require.NoError(t, s.SetIdentity("the same"))
		require.NoError(t, s.SetRcvtimeo(30*time.Second))
		require.NoError(t, s.Connect(addr))
		_, err = s.SendMessage("hello", kind.String())
		require.NoError(t, err)
		p := await(t, peers)
		m := await(t, p.got)
		require.Equal(t, kind.String(), string(m[len(m)-1]))
		require.NoError(t, p.Send(m))
		p.Flush()
		got, err := s.RecvMessage(0)
		require.NoError(t, err)
		require.Equal(t, []string{"hello", kind.String()}, got)
	}
}

// A peer that sends more than is allowed is gone, and the others don't notice.
func TestTooLarge(t *testing.T) {
	listens, z := zmq.New(zmq.Config{MaxMessageBytes: 1000, MaxFrames: 3}), zmq.New(zmq.Config{})
	addr, peers := serve(t, listens)
	good, err := z.Dial(t.Context(), transport.Endpoint{Addr: addr})
	require.NoError(t, err)
	defer good.Close()
	other := await(t, peers)
	for _, m := range []transport.Message{{make([]byte, 1001)}, {make([]byte, 600), make([]byte, 600)}, {{}, {}, {}, {}}} {
		c, err := z.Dial(t.Context(), transport.Endpoint{Addr: addr})
		require.NoError(t, err)
		p := await(t, peers)
		require.NoError(t, c.Send(m))
		c.Flush()
		require.Error(t, await(t, p.gone))
		require.ErrorIs(t, c.Serve(t.Context(), func([]transport.Message) {}), transport.ErrPeerClosed)
		require.Empty(t, p.got)
	}
	require.NoError(t, good.Send(transport.Message{[]byte("still here")}))
	good.Flush()
	require.Equal(t, "still here", string(await(t, other.got)[0]))
	// Of the single large frame libzmq doesn't say why the connection ended.
	counts(t, listens, zmq.Stats{Accepted: 4, Greeted: 4, Violated: 2})
}

// What doesn't speak ZMTP gets nowhere, at either end, and keeps nobody waiting.
func TestNoZMTP(t *testing.T) {
	timeout := 200 * time.Millisecond
	z := zmq.New(zmq.Config{HandshakeTimeout: timeout, MaxHandshakes: 2})
	addr, peers := serve(t, z)
	var opened []net.Conn
	for _, says := range []string{
		"", "GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 100), "\xff", "\x01\x00\x01\x00x",
		"\xff12345678\x7e\x03\x01", "\xff12345678\x7f\x01\x05\x00\x00\x00\x01x", "\xff12345678\x7f\x00\x05\x00\x00", "\xff12345678\x7f\x03\x00NULL",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = c.Write([]byte(says))
		require.NoError(t, err)
		opened = append(opened, c)
	}
	for _, c := range opened {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
		for {
			if _, err := c.Read(make([]byte, 1000)); err != nil {
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is still connected")
				break
			}
		}
	}
	require.Empty(t, peers)
	require.Eventually(t, func() bool {
		s := z.Stats()
		return s.Limited+s.Failed == uint64(len(opened))
	}, 30*time.Second, time.Millisecond)
	require.Positive(t, z.Stats().Failed)

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	_, err = z.Dial(t.Context(), transport.Endpoint{Addr: "tcp://" + silent.Addr().String()})
	require.ErrorIs(t, err, transport.ErrRefused)
	ctx, cancel := context.WithTimeout(t.Context(), timeout/4)
	defer cancel()
	_, err = z.Dial(ctx, transport.Endpoint{Addr: "tcp://" + silent.Addr().String()})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLimits(t *testing.T) {
	dial := func(addr string) error {
		c, err := zmq.New(zmq.Config{}).Dial(t.Context(), transport.Endpoint{Addr: addr})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Close() })
		return nil
	}
	for name, cfg := range map[string]zmq.Config{
		"connections": {MaxConnections: 2}, "of one host": {MaxConnectionsPerHost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			z := zmq.New(cfg)
			addr, peers := serve(t, z)
			require.NoError(t, dial(addr))
			require.NoError(t, dial(addr))
			require.ErrorIs(t, dial(addr), transport.ErrRefused)
			counts(t, z, zmq.Stats{Accepted: 3, Greeted: 2, Limited: 1})
			require.NoError(t, await(t, peers).Close())
			require.Eventually(t, func() bool { return dial(addr) == nil }, 30*time.Second, time.Millisecond)
		})
	}
	t.Run("pending", func(t *testing.T) {
		z := zmq.New(zmq.Config{MaxPending: 1})
		l, err := z.Listen(t.Context(), "tcp://127.0.0.1:*")
		require.NoError(t, err)
		defer l.Close()
		require.NoError(t, dial(l.Addr()))
		counts(t, z, zmq.Stats{Accepted: 1, Greeted: 1}) // it is pending, not only the next
		c, err := z.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		if err == nil { // the handshake ends before the listener looks
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.ErrorIs(t, c.Serve(ctx, func([]transport.Message) {}), transport.ErrPeerClosed)
		}
		counts(t, z, zmq.Stats{Accepted: 2, Greeted: 1, Limited: 1})
	})
}

// Closing never hangs, whatever the other side does, and leaves no descriptor.
func TestNothingLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are counted in /proc")
	}
	count := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(all)
	}
	server, client := newKeys(t), newKeys(t)
	for _, keys := range []struct{ server, client *curve.KeyPair }{{}, {server, client}} {
		listens := zmq.New(zmq.Config{Keys: keys.server, Authenticate: allow(client, "")})
		dials := zmq.New(zmq.Config{Keys: keys.client})
		round := func() {
			l, err := listens.Listen(t.Context(), "tcp://127.0.0.1:*")
			require.NoError(t, err)
			peers, served := make(chan transport.Peer, 1), make(chan error, 1)
			go func() {
				served <- l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
					peers <- p
					return accepted{p, make(chan transport.Message, 100), make(chan error, 1)}
				})
			}()
			to := transport.Endpoint{Addr: l.Addr()}
			if keys.server != nil {
				to.ServerKey = keys.server.Public.String()
			}
			c, err := dials.Dial(t.Context(), to)
			require.NoError(t, err)
			p := await(t, peers)
			for range 200 { // the connection isn't served, so much of this stays here
				require.NoError(t, p.Send(transport.Message{make([]byte, 256<<10)}))
			}
			p.Flush()
			start := time.Now()
			require.NoError(t, l.Close())
			require.ErrorIs(t, await(t, served), transport.ErrClosed)
			require.Less(t, time.Since(start), 10*time.Second)
			require.NoError(t, c.Close())
			require.Error(t, c.Serve(t.Context(), func([]transport.Message) {}))
			_, err = dials.Dial(t.Context(), to)
			require.ErrorIs(t, err, transport.ErrRefused)
		}
		round() // what the runtime and the library keep
		before := count()
		for range 5 {
			round()
		}
		require.Eventually(t, func() bool { return count() <= before }, 30*time.Second, time.Millisecond,
			"there were %d descriptors", before)
	}
}
