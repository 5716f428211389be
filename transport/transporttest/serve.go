package transporttest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// What was sent before the other end was served is received once it is.
func testSentBeforeServe(b *bed) {
	l := b.listen()
	c := b.dial(l.Addr())
	for i := range 10 {
		send(b.t, c, number(i))
	}
	br := b.serve(l)
	r := br.next()
	r.wantNumbers(0, 10)
	for i := range 10 {
		send(b.t, r, number(i))
	}
	b.settle()
	require.Zero(b.t, c.count(), "received without Serve")
	c.start().wantNumbers(0, 10)
	send(b.t, c, number(10))
	r.wantNumbers(10, 11)
}

// A peer that came and went before Serve is seen all the same.
func testClosedBeforeServe(b *bed) {
	l := b.listen()
	c := b.dial(l.Addr())
	for i := range 3 {
		send(b.t, c, number(i))
	}
	require.NoError(b.t, c.Close())
	b.settle()
	r := b.serve(l).next()
	r.wantNumbers(0, 3)
	require.ErrorIs(b.t, r.end(), transport.ErrPeerClosed)
}

// A peer can be sent to as soon as accept sees it, and closed.
func testGreetInAccept(b *bed) {
	turn := 0
	br := b.serveWith(b.listen(), func(r *remote) bool {
		turn++
		send(b.t, r, text("welcome"))
		if turn == 2 {
			require.NoError(b.t, r.Close())
		}
		return true
	})
	first := b.dial(br.Addr()).start()
	first.want(text("welcome"))
	send(b.t, first, text("thanks"))
	br.next().want(text("thanks"))

	second := b.dial(br.Addr()).start()
	second.want(text("welcome"))
	require.ErrorIs(b.t, second.wait(), transport.ErrPeerClosed)
	require.ErrorIs(b.t, br.next().end(), transport.ErrClosed)
}

// A Conn's Serve may end with its context and begin again; the connection lives
// on and nothing is lost, doubled or read in between.
func testConnServeAgain(b *bed) {
	_, c, r := b.connect()
	next := 0
	for round := range 20 {
		for range 5 {
			send(b.t, r, number(next))
			next++
		}
		require.ErrorIs(b.t, c.stop(), context.Canceled)
		before := c.count()
		for range 5 {
			send(b.t, r, number(next))
			next++
		}
		if round == 0 {
			b.settle()
		}
		require.Equal(b.t, before, c.count(), "received without Serve")
		send(b.t, c, number(round)) // sending needs no Serve
		r.wantNumbers(round, round+1)
		c.start()
	}
	c.wantNumbers(0, next)
}

// A context that has ended already lets nothing be read.
func testConnCancelledBefore(b *bed) {
	br := b.serve(b.listen())
	c := b.dial(br.Addr())
	send(b.t, c, text("hello"))
	send(b.t, br.next(), text("wait"))
	b.settle()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	require.ErrorIs(b.t, c.Serve(ctx, c.Receive), context.Canceled)
	require.Zero(b.t, c.count())
	c.start().want(text("wait"))
}

// Serve doesn't return while the receiver runs, on whatever goroutine.
func testConnWaitsForReceiver(b *bed) {
	br := b.serve(b.listen())
	c := b.dial(br.Addr())
	entered, leave := make(chan struct{}), make(chan struct{})
	c.on = func([]transport.Message) {
		entered <- struct{}{}
		<-leave
	}
	c.start()
	send(b.t, c, text("hello"))
	r := br.next()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = r.Send(text("reply"))
		r.Flush()
	}()
	await(b.t, entered, "the receiver")
	c.cancel()
	b.settle()
	require.Empty(b.t, c.served, "Serve returned while its receiver was running")
	close(leave)
	require.ErrorIs(b.t, c.wait(), context.Canceled)
	await(b.t, sent, "the sender")
}

func testListenerWaitsForReceiver(b *bed) {
	entered, leave := make(chan struct{}), make(chan struct{})
	br := b.serveWith(b.listen(), func(r *remote) bool {
		r.on = func([]transport.Message) {
			entered <- struct{}{}
			<-leave
		}
		return true
	})
	c := b.dial(br.Addr()).start()
	r := br.next()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = c.Send(text("request"))
		c.Flush()
	}()
	await(b.t, entered, "the receiver")
	require.NoError(b.t, br.Close())
	b.settle()
	require.Empty(b.t, br.served, "Serve returned while a receiver was running")
	close(leave)
	require.ErrorIs(b.t, r.end(), transport.ErrClosed)
	require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), transport.ErrClosed)
	await(b.t, sent, "the sender")
}

// The end of a Listener's Serve is a Close: nobody is left connected and the
// address is free.
func testListenerCancelled(b *bed) {
	br, c, r := b.connect()
	br.cancel()
	require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), context.Canceled)
	require.ErrorIs(b.t, r.end(), transport.ErrClosed)
	require.ErrorIs(b.t, c.wait(), transport.ErrPeerClosed)
	_, err := b.Transport.Dial(b.t.Context(), b.endpoint(br.Addr()))
	require.ErrorIs(b.t, err, transport.ErrRefused)
	again := b.serve(b.listenAt(br.Addr()))
	require.NoError(b.t, br.Close(), "it has no say over the address any more")
	send(b.t, b.dial(br.Addr()), text("hello"))
	again.next().want(text("hello"))
}
