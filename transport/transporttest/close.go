package transporttest

import (
	"context"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// The other side gets what was flushed and no more, then the reason; this side
// is done at once.
func testConnClose(b *bed) {
	_, c, r := b.connect()
	send(b.t, c, number(0))
	send(b.t, c, number(1))
	require.NoError(b.t, c.Send(text("not flushed")))
	require.NoError(b.t, c.Close())
	require.NoError(b.t, c.Close(), "Close is idempotent")
	r.wantNumbers(0, 2)
	require.ErrorIs(b.t, r.end(), transport.ErrPeerClosed)
	require.Equal(b.t, 3, r.count())
	require.ErrorIs(b.t, r.Send(text("too late")), transport.ErrPeerClosed)
	r.Flush()
	require.NoError(b.t, r.Close())
	require.ErrorIs(b.t, c.wait(), transport.ErrClosed)
	require.ErrorIs(b.t, c.Send(text("too late")), transport.ErrClosed)
	c.Flush()
	require.ErrorIs(b.t, c.Serve(context.Background(), c.Receive), transport.ErrClosed, "it stays dead")
}

func testPeerClose(b *bed) {
	_, c, r := b.connect()
	send(b.t, r, number(0))
	send(b.t, r, number(1))
	require.NoError(b.t, r.Send(text("not flushed")))
	require.NoError(b.t, r.Close())
	require.NoError(b.t, r.Close(), "Close is idempotent")
	c.wantNumbers(0, 2)
	require.ErrorIs(b.t, c.wait(), transport.ErrPeerClosed)
	require.Equal(b.t, 2, c.count())
	require.ErrorIs(b.t, c.Send(text("too late")), transport.ErrPeerClosed)
	c.Flush()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	require.ErrorIs(b.t, c.Serve(ctx, c.Receive), transport.ErrPeerClosed, "the end comes before the context's")
	require.NoError(b.t, c.Close())
	require.ErrorIs(b.t, r.end(), transport.ErrClosed)
	require.ErrorIs(b.t, r.Send(text("too late")), transport.ErrClosed)
	r.Flush()
	require.Error(b.t, c.Serve(context.Background(), c.Receive), "it stays dead")
}

// However much was flushed before an end is closed, the other side gets it if it reads.
func testCloseAfterMany(b *bed) {
	const many = 1000
	_, c, r := b.connect()
	for _, end := range []struct {
		from transport.Link
		to   *recorder
	}{{r, c.recorder}, {c, nil}} {
		if end.to == nil { // the connection that the peer closed is over
			_, c, r = b.connect()
			end.from, end.to = c, r.recorder
		}
		for i := range many {
			require.NoError(b.t, end.from.Send(number(i)))
		}
		end.from.Flush()
		require.NoError(b.t, end.from.Close())
		end.to.wantNumbers(0, many)
	}
	br, c, r := b.connect()
	for i := range many {
		require.NoError(b.t, r.Send(number(i)))
	}
	r.Flush()
	require.NoError(b.t, br.Close())
	c.wantNumbers(0, many)
}

// What a peer was sent before it was closed waits for a Conn that isn't served
// yet.
func testListenerClose(b *bed) {
	br, c, r := b.connect()
	late := b.dial(br.Addr())
	send(b.t, late, text("hello"))
	other := br.next()
	other.want(text("hello"))
	send(b.t, r, text("bye"))
	send(b.t, other, text("bye"))
	require.NoError(b.t, br.Close())
	require.NoError(b.t, br.Close(), "Close is idempotent")
	require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), transport.ErrClosed)
	for _, peer := range []*remote{r, other} {
		require.ErrorIs(b.t, peer.end(), transport.ErrClosed)
		require.ErrorIs(b.t, peer.Send(text("too late")), transport.ErrClosed)
	}
	for _, conn := range []*local{c, late.start()} {
		conn.want(text("bye"))
		require.ErrorIs(b.t, conn.wait(), transport.ErrPeerClosed)
	}
	_, err := b.Transport.Dial(b.t.Context(), b.endpoint(br.Addr()))
	require.ErrorIs(b.t, err, transport.ErrRefused)
}

func testListenerCloseBeforeServe(b *bed) {
	l := b.listen()
	c := b.dial(l.Addr()).start()
	send(b.t, c, text("hello"))
	require.NoError(b.t, l.Close())
	require.Error(b.t, c.wait())
	accept := func(transport.Peer) transport.Receiver {
		b.t.Error("accept was called on a closed listener")
		return nil
	}
	require.ErrorIs(b.t, l.Serve(b.t.Context(), accept), transport.ErrClosed)
	b.listenAt(l.Addr())
}

// Each end may be closed by its own receiver; the call returns first.
func testCloseInReceive(b *bed) {
	var br *broker
	served := make(chan struct{})
	br = b.serveWith(b.listen(), func(r *remote) bool {
		r.on = func(batch []transport.Message) {
			switch string(batch[0][0]) {
			case "close peer":
				_ = r.Close()
			case "close listener":
				<-served
				_ = br.Close()
			default:
				_ = r.Send(batch[0])
				r.Flush()
			}
		}
		return true
	})
	close(served)
	dial := func(first string) (*local, *remote) {
		c := b.dial(br.Addr())
		c.on = func([]transport.Message) { _ = c.Close() }
		c.start()
		send(b.t, c, text(first))
		return c, br.next()
	}

	c, r := dial("close peer")
	require.ErrorIs(b.t, r.end(), transport.ErrClosed)
	require.ErrorIs(b.t, c.wait(), transport.ErrPeerClosed)

	c, r = dial("close yourself")
	require.ErrorIs(b.t, c.wait(), transport.ErrClosed)
	require.ErrorIs(b.t, r.end(), transport.ErrPeerClosed)

	c, r = dial("close listener")
	require.ErrorIs(b.t, r.end(), transport.ErrClosed)
	require.ErrorIs(b.t, c.wait(), transport.ErrPeerClosed)
	require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), transport.ErrClosed)
}

// Whoever closes at the same time as others send and close, each receiver hears
// one end and nobody waits for anybody.
func testCloseAllAtOnce(b *bed) {
	const rounds = 30
	br := b.serveWith(b.listen(), echo)
	for range rounds {
		c := b.dial(br.Addr()).start()
		send(b.t, c, text("hello"))
		r := br.next()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, link := range []transport.Link{c, r} {
			for range 2 {
				wg.Go(func() {
					<-start
					for range 1000 {
						if link.Send(text("flood")) != nil {
							return
						}
						link.Flush()
					}
				})
			}
			wg.Go(func() {
				<-start
				_ = link.Close()
			})
		}
		close(start)
		wg.Wait()
		require.True(b.t, isClose(r.end()))
		require.True(b.t, isClose(c.wait()))
	}
}

// A peer that vanishes doesn't disturb the others, and sending to it ends.
func testVanish(b *bed) {
	br := b.serveWith(b.listen(), echo)
	c := b.dial(br.Addr()).start()
	send(b.t, c, text("hello"))
	c.want(text("hello"))
	r := br.next()
	doomed := b.dial(br.Addr()).start()
	send(b.t, doomed, text("hello"))
	doomed.want(text("hello"))
	gone := br.next()

	b.cut(doomed.Conn)
	send(b.t, c, text("still here"))
	c.want(text("still here"))
	floodUntilDropped(b, gone, func() {})
	require.Error(b.t, gone.end())
	require.Error(b.t, doomed.wait())
	send(b.t, c, text("and still"))
	c.want(text("and still"))
	require.Equal(b.t, 3, r.count())
}
