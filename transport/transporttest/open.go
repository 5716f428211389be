package transporttest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// Addr tells where to dial, also where the address had a wildcard.
func testAddr(b *bed) {
	one, two := b.serve(b.listen()), b.serve(b.listen())
	require.NotEqual(b.t, one.Addr(), two.Addr())
	for _, br := range []*broker{one, two} {
		c := b.dial(br.Addr())
		send(b.t, c, text(br.Addr()))
		br.next().want(text(br.Addr()))
	}
}

func testBadAddress(b *bed) {
	for _, addr := range append([]string{"", "nosuchscheme://x"}, b.BadAddrs...) {
		_, err := b.Transport.Listen(b.t.Context(), addr)
		require.ErrorIs(b.t, err, transport.ErrAddress, "Listen at %q", addr)
		_, err = b.Transport.Dial(b.t.Context(), b.endpoint(addr))
		require.ErrorIs(b.t, err, transport.ErrAddress, "Dial to %q", addr)
	}
}

// A second listener is refused and the first isn't disturbed.
func testAddressInUse(b *bed) {
	br, c, r := b.connect()
	_, err := b.Transport.Listen(b.t.Context(), br.Addr())
	require.ErrorIs(b.t, err, transport.ErrAddress)
	send(b.t, c, text("still here"))
	r.want(text("still here"))
	b.dial(br.Addr())
}

func testRefused(b *bed) {
	l := b.listen()
	require.NoError(b.t, l.Close())
	_, err := b.Transport.Dial(b.t.Context(), b.endpoint(l.Addr()))
	require.ErrorIs(b.t, err, transport.ErrRefused)
}

func testCancelledDial(b *bed) {
	l := b.listen()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	_, err := b.Transport.Dial(ctx, b.endpoint(l.Addr()))
	require.ErrorIs(b.t, err, context.Canceled)
}

// What Listen and Dial opened outlives the context that they were given.
func testContextBoundsCall(b *bed) {
	ctx, cancel := context.WithCancel(b.t.Context())
	l, err := b.Transport.Listen(ctx, b.Addr())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = l.Close() })
	br := b.serve(l)
	c, err := b.Transport.Dial(ctx, b.endpoint(l.Addr()))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.Close() })
	cancel()
	b.settle()
	send(b.t, c, text("after"))
	br.next().want(text("after"))
	b.dial(l.Addr())
}

// An identity is the same for as long as the peer lives, and its address tells
// peers apart.
func testIdentity(b *bed) {
	br := b.serve(b.listen())
	send(b.t, b.dial(br.Addr()), text("one"))
	one := br.next()
	send(b.t, b.dial(br.Addr()), text("two"))
	two := br.next()
	require.NotEmpty(b.t, one.Identity().Addr)
	require.NotEqual(b.t, one.Identity().Addr, two.Identity().Addr)
	before := one.Identity()
	require.NoError(b.t, one.Close())
	require.Error(b.t, one.end())
	require.Equal(b.t, before, one.Identity())
}

// A nil receiver closes the peer and no other.
func testTurnedAway(b *bed) {
	turn := 0
	br := b.serveWith(b.listen(), func(*remote) bool {
		turn++
		return turn != 2
	})
	first := b.dial(br.Addr()).start()
	send(b.t, first, text("first"))
	r := br.next()
	r.want(text("first"))

	second := b.dial(br.Addr()).start()
	require.ErrorIs(b.t, second.wait(), transport.ErrPeerClosed)
	require.ErrorIs(b.t, second.Send(text("too late")), transport.ErrPeerClosed)

	send(b.t, first, text("again"))
	r.want(text("again"))
	third := b.dial(br.Addr())
	send(b.t, third, text("third"))
	br.next().want(text("third"))
}

// An address can be taken again once it is free, and nothing of the old
// listener comes back to life.
func testReopen(b *bed) {
	l := b.listen()
	addr := l.Addr()
	var old []*local
	for round := range 10 {
		br := b.serve(l)
		c := b.dial(addr).start()
		send(b.t, c, number(round))
		r := br.next()
		r.wantNumbers(round, round+1)
		send(b.t, r, number(round))
		c.wantNumbers(round, round+1)
		if round%2 == 0 {
			require.NoError(b.t, br.Close())
			require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), transport.ErrClosed)
		} else {
			br.cancel()
			require.ErrorIs(b.t, await(b.t, br.served, "the end of Listener.Serve"), context.Canceled)
		}
		require.ErrorIs(b.t, r.end(), transport.ErrClosed)
		err := c.wait()
		require.Error(b.t, err)
		require.NotErrorIs(b.t, err, context.Canceled, "the connection ended, not its context")
		old = append(old, c)
		l = b.listenAt(addr)
	}
	for _, c := range old {
		require.Error(b.t, c.Send(text("from the dead")))
	}
}
