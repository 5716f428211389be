package transporttest

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// Frames come as they went, empty ones too, wherever they stand.
func testShapes(b *bed) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	_, c, r := b.connect()
	shapes := []transport.Message{
		text(""),
		text("", ""),
		text("", "MDPC01"),
		text("MDPC02", ""),
		text("a", "", "b"),
		text("", "", "", "", ""),
		{all},
		{all, {}, {0}, {0, 0}, {0xff}},
		slices.Repeat(text("x"), 100),
	}
	send(b.t, c, shapes...)
	send(b.t, r, shapes...)
	for _, got := range [][]transport.Message{r.take(len(shapes)), c.take(len(shapes))} {
		for i, m := range got {
			require.Len(b.t, m, len(shapes[i]), "shape %d", i)
			for j, f := range m {
				require.True(b.t, bytes.Equal(shapes[i][j], f), "shape %d, frame %d", i, j)
			}
		}
	}
}

// A message without frames is refused and does no harm.
func testEmptyMessage(b *bed) {
	_, c, r := b.connect()
	for _, empty := range []transport.Message{nil, {}} {
		require.ErrorIs(b.t, c.Send(empty), transport.ErrEmpty)
		require.ErrorIs(b.t, r.Send(empty), transport.ErrEmpty)
	}
	send(b.t, c, text("up"))
	r.want(text("up"))
	send(b.t, r, text("down"))
	c.want(text("down"))
}

func testLargeMessages(b *bed) {
	_, c, r := b.connect()
	largest := cmp.Or(b.MaxMessageBytes, 4<<20)
	rng := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- test data
	var sent []transport.Message
	for _, size := range []int{1, 255, 256, 1<<16 - 1, 1 << 16, 1 << 20, 4 << 20} {
		body := make([]byte, min(size, largest))
		for i := range body {
			body[i] = byte(rng.Uint32())
		}
		sent = append(sent, transport.Message{body[:len(body)/2], body[len(body)/2:]})
	}
	for _, m := range sent {
		send(b.t, c, m)
		require.Equal(b.t, sum(m), sum(r.next()))
		send(b.t, r, m)
		require.Equal(b.t, sum(m), sum(c.next()))
	}
}

// What is at the limit passes; what is above it is refused and the connection
// lives on.
func testLimits(b *bed) {
	_, c, r := b.connect()
	ends := []struct {
		name string
		from transport.Link
		to   *recorder
	}{{"Conn", c, r.recorder}, {"Peer", r, c.recorder}}
	for _, end := range ends {
		if b.MaxMessageBytes > 0 {
			body := make([]byte, b.MaxMessageBytes)
			send(b.t, end.from, transport.Message{body})
			require.Len(b.t, end.to.next()[0], len(body), end.name)
			require.ErrorIs(b.t, end.from.Send(transport.Message{body, {1}}), transport.ErrTooLarge, end.name)
		}
		if b.MaxFrames > 0 {
			frames := make(transport.Message, b.MaxFrames+1)
			send(b.t, end.from, frames[1:])
			require.Len(b.t, end.to.next(), b.MaxFrames, end.name)
			require.ErrorIs(b.t, end.from.Send(frames), transport.ErrTooLarge, end.name)
		}
		send(b.t, end.from, text("next"))
		end.to.want(text("next"))
	}
}

// Messages come in the order of Send in both directions at the same time,
// however they are cut into flushes.
func testOrder(b *bed) {
	const messages = 3000
	_, c, r := b.connect()
	filler := make([]byte, 2000)
	flood := func(to transport.Link, seed uint64) <-chan error {
		done := make(chan error, 1)
		go func() {
			rng := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- test data
			for i := range messages {
				if err := to.Send(number(i, filler[:rng.IntN(len(filler))])); err != nil {
					done <- err
					return
				}
				if rng.IntN(10) == 0 {
					to.Flush()
				}
			}
			to.Flush()
			done <- nil
		}()
		return done
	}
	up, down := flood(c, 1), flood(r, 2)
	require.NoError(b.t, await(b.t, up, "the sender"))
	require.NoError(b.t, await(b.t, down, "the sender"))
	r.wantNumbers(0, messages)
	c.wantNumbers(0, messages)
}

func testNothingBeforeFlush(b *bed) {
	_, c, r := b.connect()
	before := r.count()
	require.NoError(b.t, c.Send(text("up")))
	require.NoError(b.t, r.Send(text("down")))
	b.settle()
	require.Equal(b.t, before, r.count())
	require.Zero(b.t, c.count())
	c.Flush()
	r.want(text("up"))
	r.Flush()
	c.want(text("down"))
	c.Flush() // with nothing queued
	r.Flush()
	send(b.t, c, text("next"))
	r.want(text("next"))
}

// One message may be sent to many at the same time.
func testOneToMany(b *bed) {
	const peers = 10
	br := b.serve(b.listen())
	var conns []*local
	var remotes []*remote
	for range peers {
		c := b.dial(br.Addr()).start()
		send(b.t, c, text("hello"))
		conns = append(conns, c)
		remotes = append(remotes, br.next())
	}
	m := text("for", "", "everyone")
	before := sum(m)
	for _, r := range remotes {
		require.NoError(b.t, r.Send(m))
		require.NoError(b.t, r.Send(m))
	}
	for _, r := range remotes {
		r.Flush()
	}
	for _, c := range conns {
		c.want(m, m)
	}
	require.Equal(b.t, before, sum(m))
}

// A message that was kept isn't overwritten by what comes after it, nor is one
// that was sent. Every recorder of the suite checks the former; this case gives
// it reason to fail.
func testNoReuse(b *bed) {
	const rounds = 300
	_, c, r := b.connect()
	var sent []transport.Message
	var sums []uint64
	for i := range rounds {
		m := number(i, bytes.Repeat([]byte{byte(i)}, 1+i*7%1500), nil, bytes.Repeat([]byte{byte(i)}, i%60))
		sent = append(sent, m)
		sums = append(sums, sum(m))
		send(b.t, c, m)
		got := r.take(1)
		send(b.t, r, got...) // what was received is sent on as it is
	}
	c.wantNumbers(0, rounds)
	for i, m := range sent {
		require.Equal(b.t, sums[i], sum(m), "message %d was changed by being sent", i)
	}
}

// A link that says that it copies keeps nothing of what Send was given.
func testCopied(b *bed) {
	_, c, r := b.connect()
	for _, end := range []struct {
		transport.Link
		take func(int) []transport.Message
	}{{c.Conn, r.take}, {r.Peer, c.take}} {
		copier, ok := end.Link.(transport.Copier)
		if !ok || copier.CopiesBelow() == 0 {
			continue
		}
		small, large := make([]byte, copier.CopiesBelow()-1), bytes.Repeat([]byte("x"), copier.CopiesBelow())
		m := transport.Message{[]byte("a"), small, large}
		for i := range byte(3) {
			m[0][0], m[2] = i, large
			for j := range small {
				small[j] = i
			}
			require.NoError(b.t, end.Send(m))
			clear(m[1:])
			m[1] = small
		}
		clear(small)
		end.Flush()
		for i, got := range end.take(3) {
			require.Equal(b.t, transport.Message{{byte(i)}, bytes.Repeat([]byte{byte(i)}, len(small)), large}, got)
		}
	}
}

// Frames that are joined come as one, and count as one.
func testJoined(b *bed) {
	_, c, r := b.connect()
	for _, end := range []struct {
		transport.Link
		take func(int) []transport.Message
	}{{c.Conn, r.take}, {r.Peer, c.take}} {
		joiner, ok := end.Link.(transport.Joiner)
		if !ok {
			continue
		}
		large := bytes.Repeat([]byte("large"), 5000)
		m := transport.Message{[]byte("a"), {}, []byte("head"), large, {}, []byte("tail"), large}
		var want []transport.Message
		for n := 1; n <= len(m); n++ {
			lent := slices.Clone(m)
			lent[2] = bytes.Clone(m[2])
			require.NoError(b.t, joiner.SendJoined(lent, n))
			if copier, ok := end.Link.(transport.Copier); ok && copier.CopiesBelow() > len(lent[2]) {
				clear(lent[2]) // what is small, and the slice, is the sender's again
				clear(lent)
			}
			want = append(want, append(slices.Clone(m[:len(m)-n]), bytes.Join(m[len(m)-n:], nil)))
		}
		send(b.t, end.Link, text("between"))
		require.Error(b.t, joiner.SendJoined(m, 0))
		require.Error(b.t, joiner.SendJoined(m, len(m)+1))
		if b.MaxFrames > 0 {
			many := slices.Repeat(text("x"), b.MaxFrames+1)
			require.NoError(b.t, joiner.SendJoined(many, 2))
			want = append(want, text("between"), append(slices.Clone(many[2:]), []byte("xx")))
			require.ErrorIs(b.t, joiner.SendJoined(append(many, many[0]), 2), transport.ErrTooLarge)
		} else {
			want = append(want, text("between"))
		}
		if b.MaxMessageBytes > 0 {
			half := make([]byte, b.MaxMessageBytes/2)
			require.ErrorIs(b.t, joiner.SendJoined(transport.Message{half, half, {1, 2}}, 3), transport.ErrTooLarge)
		}
		end.Flush()
		for i, got := range end.take(len(want)) {
			require.Equal(b.t, sum(want[i]), sum(got), "message %d", i)
		}
	}
}
