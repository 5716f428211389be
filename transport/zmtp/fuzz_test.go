package zmtp

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// FuzzReader gives a reader any bytes in pieces of any size: what comes of them must
// not depend on the pieces, and no message is above the limits.
func FuzzReader(f *testing.F) {
	f.Add(message("MDPC02", "\x01", "tea", "{}"), byte(1))
	f.Add(append(message("", "a"), command(wire.AppendPing(nil, time.Second, nil))...), byte(3))
	f.Add(message(string(make([]byte, 20_000)), "b"), byte(200))
	f.Add(append([]byte{2}, 0, 0, 0, 0, 0, 0, 0x50, 0), byte(9))
	cfg := Config{MaxMessageBytes: 1 << 16, MaxFrames: 8}.withDefaults()
	read := func(b []byte, piece int) (got []transport.Message, commands int, failed bool) {
		r := reader{cfg: &cfg, command: func([]byte, []byte) error { commands++; return nil }}
		defer r.stop()
		for len(b) > 0 {
			b = b[bring(&r, b[:min(piece, len(b))]):]
			batch, err := r.cut()
			got = append(got, batch...)
			if err != nil {
				return got, commands, true
			}
			if piece%2 == 0 {
				r.wait()
				r.shed()
				r.resume()
			}
		}
		return got, commands, false
	}
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		all, commands, failed := read(b, 1<<20)
		pieces, c, fl := read(b, int(piece)+1)
		require.Equal(t, all, pieces)
		require.Equal(t, commands, c)
		require.Equal(t, failed, fl)
		for _, m := range all {
			require.LessOrEqual(t, m.Size(), cfg.MaxMessageBytes)
			require.True(t, len(m) > 0 && len(m) <= cfg.MaxFrames)
		}
	})
}

// FuzzListener gives a listener any bytes, before and after a handshake.
func FuzzListener(f *testing.F) {
	f.Add([]byte("GET /"), false)
	f.Add(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...), false)
	f.Add(message("MDPC02", "\x01", "tea", "{}"), true)
	f.Add(command(wire.AppendPing(nil, time.Second, []byte("x"))), true)
	z := New(Config{HandshakeTimeout: time.Second, MaxMessageBytes: 1 << 16})
	l, err := z.Listen(context.Background(), "tcp://127.0.0.1:*")
	require.NoError(f, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver { return &receiver{p, make(chan error, 1)} })
	}()
	f.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	f.Fuzz(func(t *testing.T, b []byte, greeted bool) {
		c, err := net.Dial("tcp", l.Addr()[len(sockets.TCP):])
		require.NoError(t, err)
		defer c.Close()
		if greeted {
			_, err = c.Write(append(greeting(wire.V31, wire.Null), ready(wire.DEALER)...))
			require.NoError(t, err)
		}
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, c)
		if err != nil {
			require.NotErrorIs(t, err, context.DeadlineExceeded, "the listener keeps a peer that is gone")
		}
	})
}
