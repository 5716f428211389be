package zmtp

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/transporttest"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

func newKeys(t testing.TB) *curve.KeyPair {
	t.Helper()
	pair, err := curve.Generate(rand.Reader)
	require.NoError(t, err)
	return &pair
}

// allow lets one key in, by a name.
func allow(keys *curve.KeyPair, name string) func(curve.Key) (string, bool) {
	return func(k curve.Key) (string, bool) { return name, k == keys.Public }
}

func TestConformanceCurve(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
		t.Helper()
		server, client := newKeys(t), newKeys(t)
		return transporttest.Fixture{
			Transport: split{
				Transport: New(Config{Keys: client, MaxMessageBytes: 1 << 20, MaxFrames: 200}),
				listens:   New(Config{Keys: server, Authenticate: allow(client, "client"), MaxMessageBytes: 1 << 20, MaxFrames: 200}),
			},
			Addr: func() string { return "tcp://127.0.0.1:*" },
			Endpoint: func(addr string) transport.Endpoint {
				return transport.Endpoint{Addr: addr, ServerKey: server.Public.String()}
			},
			MaxMessageBytes: 1 << 20,
			MaxFrames:       200,
			Cut:             cut,
		}
	})
}

// split is a transport that listens by another.
type split struct {
	*Transport
	listens *Transport
}

func (s split) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	return s.listens.Listen(ctx, addr)
}

// rawCurve opens a connection and says the bytes of a handshake that was recorded.
func rawCurve(t *testing.T, e *echoing, said []byte) {
	t.Helper()
	c := e.raw(t)
	_, err := c.Write(said)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	_, _ = io.Copy(io.Discard, c) // ends with the connection
}

// Whoever hasn't the right keys is turned away, counted and logged, and is told why
// where the protocol has a word for it.
func TestCurveRefused(t *testing.T) {
	t.Parallel()
	server, client, stranger := newKeys(t), newKeys(t), newKeys(t)
	start := func(t *testing.T) *echoing {
		t.Helper()
		return listenEcho(t, Config{Keys: server, Authenticate: allow(client, "web"), HandshakeTimeout: patience})
	}
	endpoint := func(e *echoing) transport.Endpoint {
		return transport.Endpoint{Addr: e.Addr(), ServerKey: server.Public.String()}
	}
	t.Run("an unknown key", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		_, err := New(Config{Keys: stranger}).Dial(t.Context(), endpoint(e))
		require.ErrorIs(t, err, transport.ErrRefused)
		require.ErrorContains(t, err, "the broker doesn't know this key")
		e.counts(t, Stats{Accepted: 1, Strangers: 1})
		eventually(t, "the log", func() bool { return strings.Contains(e.log.String(), "unknown key") })
		require.NotContains(t, e.log.String(), stranger.Secret.Z85())
	})
	t.Run("no key", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		_, err := New(Config{}).Dial(t.Context(), transport.Endpoint{Addr: e.Addr()})
		require.ErrorIs(t, err, ErrMechanism)
		require.ErrorContains(t, err, "CURVE")
		e.counts(t, Stats{Accepted: 1, Failed: 1})
	})
	t.Run("a client with keys doesn't speak in clear", func(t *testing.T) {
		t.Parallel()
		_, err := New(Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1"})
		require.ErrorIs(t, err, transport.ErrAddress)
		require.ErrorContains(t, err, "ServerKey")
		_, err = New(Config{}).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1", ServerKey: server.Public.String()})
		require.ErrorContains(t, err, "Config.Keys is needed")
		_, err = New(Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: "tcp://127.0.0.1:1", ServerKey: "short"})
		require.ErrorIs(t, err, transport.ErrAddress)
	})
	t.Run("another server than the one that was meant", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		_, err := New(Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: e.Addr(), ServerKey: stranger.Public.String()})
		require.Error(t, err)
		e.counts(t, Stats{Accepted: 1, Failed: 1})
	})
	t.Run("a listener that knows nobody", func(t *testing.T) {
		t.Parallel()
		e := listenEcho(t, Config{Keys: server})
		_, err := New(Config{Keys: client}).Dial(t.Context(), endpoint(e))
		require.ErrorIs(t, err, transport.ErrRefused)
		e.counts(t, Stats{Accepted: 1, Strangers: 1})
	})
	t.Run("a handshake that was recorded, and one that is cut off anywhere", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		said := recorded(t, e, client, server)
		e.counts(t, Stats{Accepted: 1, Greeted: 1})
		rawCurve(t, e, said)
		e.counts(t, Stats{Accepted: 2, Greeted: 1, Failed: 1})
		cuts := uint64(0)
		for at := 0; at < len(said); at += 7 {
			rawCurve(t, e, said[:at])
			cuts++
		}
		eventually(t, "the count", func() bool {
			return e.transport.Stats() == Stats{Accepted: 2 + cuts, Greeted: 1, Failed: 1 + cuts}
		})
		c, err := New(Config{Keys: client}).Dial(t.Context(), endpoint(e))
		require.NoError(t, err, "the right ones are served on")
		require.NoError(t, c.Close())
	})
}

// A command of a peer that was let in is no larger than one in clear may be.
func TestCurveLimitsCommands(t *testing.T) {
	t.Parallel()
	server, client := newKeys(t), newKeys(t)
	e := listenEcho(t, Config{Keys: server, Authenticate: allow(client, "web")})
	c, err := New(Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: e.Addr(), ServerKey: server.Public.String()})
	require.NoError(t, err)
	defer c.Close()
	unknown := wire.AppendCommand(nil, "HUGO")
	c.(*conn).sendCommand(append(unknown, make([]byte, maxCommand-len(unknown))...))
	c.(*conn).sendCommand(append(unknown, make([]byte, maxCommand+1-len(unknown))...))
	why := <-e.gone
	require.ErrorIs(t, why, ErrProtocol)
	require.ErrorContains(t, why, "a command of 4097 bytes")
}

// What is on the wire says nothing of what is sent.
func TestCurveHides(t *testing.T) {
	t.Parallel()
	server, client := newKeys(t), newKeys(t)
	e := listenEcho(t, Config{Keys: server, Authenticate: allow(client, "web")})
	said := recorded(t, e, client, server)
	require.NotContains(t, string(said), "confidential")
	require.Greater(t, len(said), 600)
}

// recorded returns what a client said that got through the handshake and sent one
// message.
func recorded(t *testing.T, e *echoing, client, server *curve.KeyPair) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	said := make(chan []byte, 1)
	go func() {
		var b bytes.Buffer
		defer func() { said <- b.Bytes() }()
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", strings.TrimPrefix(e.Addr(), sockets.TCP))
		if err != nil {
			_ = in.Close()
			return
		}
		go func() {
			_, _ = io.Copy(in, out)
			_ = in.Close()
		}()
		_, _ = io.Copy(io.MultiWriter(out, &b), in)
		_ = out.Close()
	}()
	c, err := New(Config{Keys: client}).Dial(t.Context(), transport.Endpoint{Addr: sockets.TCP + l.Addr().String(), ServerKey: server.Public.String()})
	require.NoError(t, err)
	require.NoError(t, c.Send(transport.Message{[]byte("confidential")}))
	c.Flush()
	require.NoError(t, c.Close())
	require.NoError(t, l.Close())
	return <-said
}
