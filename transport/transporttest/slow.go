package transporttest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

const (
	// chunk is what a flood is made of, in bytes.
	chunk = 64 << 10
	// maxFlood is when a flood must have met a full queue, in chunks: 2 GiB.
	maxFlood = 2 << 30 / chunk
	// probeEvery is how many chunks go by between two probes of the others.
	probeEvery = 32
)

// A peer that doesn't read is dropped with ErrSlowPeer. Nobody who sends waits
// for it, and the other peers' round trips take as long as before.
func testSlowPeer(b *bed) {
	const probes = 100
	br := b.serveWith(b.listen(), echo)
	slow := b.dial(br.Addr())
	send(b.t, slow, text("hello"))
	dropped := br.next()
	dropped.want(text("hello"))
	other := b.dial(br.Addr()).start()
	send(b.t, other, text("hello"))
	other.want(text("hello"))

	probe := func() time.Duration {
		start := time.Now()
		send(b.t, other, text("probe"))
		other.want(text("probe"))
		return time.Since(start)
	}
	var before, during []time.Duration
	for range probes {
		before = append(before, probe())
	}
	longest := floodUntilDropped(b, dropped, func() { during = append(during, probe()) })
	require.ErrorIs(b.t, dropped.Send(text("more")), transport.ErrSlowPeer)
	require.ErrorIs(b.t, dropped.end(), transport.ErrSlowPeer)
	during = append(during, probe())

	// Medians, and wide bounds: a transport that waits for the slow peer waits
	// for as long as that one likes.
	require.Less(b.t, median(during), 20*median(before)+50*time.Millisecond, "the other peer was held up")
	require.Less(b.t, longest, 5*time.Second, "a send waited for the slow peer")

	// The slow one finds out when it reads at last; what it still gets has no
	// gaps.
	err := slow.start().wait()
	require.Error(b.t, err)
	require.NotErrorIs(b.t, err, transport.ErrClosed, "it wasn't this side that closed")
	require.Error(b.t, slow.Send(text("too late")))
	got := slow.take(slow.count())
	if len(got) > 0 {
		require.Equal(b.t, text("hello"), got[0])
		for i, m := range got[1:] {
			require.Equal(b.t, i, numberIn(b.t, m))
		}
	}
}

// floodUntilDropped sends to r until its end and returns how long the longest
// send took. It calls between now and then.
func floodUntilDropped(b *bed, r *remote, between func()) (longest time.Duration) {
	b.t.Helper()
	filler := make([]byte, chunk)
	for i := range maxFlood {
		start := time.Now()
		err := r.Send(number(i, filler))
		r.Flush()
		longest = max(longest, time.Since(start))
		if err != nil {
			return longest
		}
		if i%probeEvery == 0 {
			between()
		}
	}
	require.FailNow(b.t, "a peer that doesn't read was never dropped")
	return 0
}

// A Conn whose broker doesn't read isn't dropped: Send says ErrFull until there
// is room. What it took arrives.
func testSlowListener(b *bed) {
	l := b.listen()
	c := b.dial(l.Addr()).start()
	filler := make([]byte, chunk)
	taken := 0
	for ; taken < maxFlood; taken++ {
		err := c.Send(number(taken, filler))
		c.Flush()
		if err != nil {
			require.ErrorIs(b.t, err, transport.ErrFull)
			break
		}
	}
	require.Less(b.t, taken, maxFlood, "the queue was never full")

	r := b.serve(l).next()
	r.wantNumbers(0, taken)
	send(b.t, c, number(taken))
	r.wantNumbers(taken, taken+1)
	require.ErrorIs(b.t, c.stop(), context.Canceled, "the connection lives on")
}

// A peer that reads isn't taken for slow because much is sent to it in one turn: twice
// what its queue takes arrives whole before anything is flushed, and once that in pieces,
// however long its reader is kept from running.
func testBurst(b *bed) {
	if b.MaxQueued == 0 {
		b.t.Skip("the fixture has no MaxQueued")
	}
	const rounds = 3
	for _, test := range []struct{ burst, piece int }{{2 * b.MaxQueued, 2 * b.MaxQueued}, {b.MaxQueued, b.MaxQueued/7 + 1}} {
		burst, piece, sent := test.burst, test.piece, 0
		br := b.serveWith(b.listen(), func(r *remote) bool {
			r.on = func(batch []transport.Message) {
				for range len(batch) * burst {
					if err := r.Send(number(sent)); err != nil {
						b.t.Errorf("message %d of a burst: %v", sent, err)
						return
					}
					if sent++; sent%piece == 0 {
						r.Flush()
					}
				}
				r.Flush()
			}
			send(b.t, r, text("hello"))
			return true
		})
		c := b.dial(br.Addr()).start()
		c.want(text("hello")) // it reads
		for round := range rounds {
			send(b.t, c, text("go"))
			c.wantNumbers(round*burst, (round+1)*burst)
		}
		require.ErrorIs(b.t, c.stop(), context.Canceled)
	}
}

// isClose reports whether err says that a connection was closed in good order.
func isClose(err error) bool {
	return errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrPeerClosed)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
