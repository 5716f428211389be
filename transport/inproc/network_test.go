package inproc_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// inbox keeps what it receives. It may be looked at while nothing is under way.
type inbox struct {
	mu       sync.Mutex // guards the fields below
	messages []transport.Message
	batches  []int
	reason   error
}

func (i *inbox) Receive(batch []transport.Message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.messages = append(i.messages, batch...)
	i.batches = append(i.batches, len(batch))
}

func (i *inbox) Gone(reason error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reason = reason
}

// serve serves l in the bubble of the test until l is closed.
func serve(t *testing.T, l transport.Listener, accept func(transport.Peer) transport.Receiver) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Serve(context.Background(), accept) })
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
}

func listen(t *testing.T, n *inproc.Network) transport.Listener {
	t.Helper()
	l, err := n.Listen(t.Context(), "inproc://*")
	require.NoError(t, err)
	return l
}

func dial(t *testing.T, n transport.Transport, l transport.Listener) transport.Conn {
	t.Helper()
	c, err := n.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
	require.NoError(t, err)
	return c
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]inproc.Config{
		"MaxQueuedMessages": {MaxQueuedMessages: -1},
		"MaxQueuedBytes":    {MaxQueuedBytes: -1},
		"MaxMessageBytes":   {MaxMessageBytes: -1},
		"MaxFrames":         {MaxFrames: -1},
		"MaxPending":        {MaxPending: math.MinInt},
	} {
		n := inproc.New(cfg)
		_, err := n.Listen(t.Context(), "inproc://tea")
		require.ErrorContains(t, err, "Config."+field)
		_, err = n.Dial(t.Context(), transport.Endpoint{Addr: "inproc://tea"})
		require.ErrorContains(t, err, "Config."+field)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	n := inproc.New(inproc.Config{})
	c := dial(t, n, listen(t, n))
	require.NoError(t, c.Send(transport.Message{make([]byte, inproc.DefaultMaxMessageBytes)}))
	require.ErrorIs(t, c.Send(transport.Message{make([]byte, inproc.DefaultMaxMessageBytes+1)}), transport.ErrTooLarge)
	require.NoError(t, c.Send(make(transport.Message, inproc.DefaultMaxFrames)))
	require.ErrorIs(t, c.Send(make(transport.Message, inproc.DefaultMaxFrames+1)), transport.ErrTooLarge)
}

func TestNetworksAreSeparate(t *testing.T) {
	t.Parallel()
	one, two := inproc.New(inproc.Config{}), inproc.New(inproc.Config{})
	l, err := one.Listen(t.Context(), "inproc://tea")
	require.NoError(t, err)
	_, err = two.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
	require.ErrorIs(t, err, transport.ErrRefused)
	_, err = two.Listen(t.Context(), "inproc://tea")
	require.NoError(t, err)
}

func TestWildcardAvoidsTakenNames(t *testing.T) {
	t.Parallel()
	n := inproc.New(inproc.Config{})
	first := listen(t, n).Addr()
	require.NotContains(t, first, "*")
	other := inproc.New(inproc.Config{})
	_, err := other.Listen(t.Context(), first)
	require.NoError(t, err)
	require.NotEqual(t, first, listen(t, other).Addr())
}

func TestDialRefusesWhatItCantCheck(t *testing.T) {
	t.Parallel()
	n := inproc.New(inproc.Config{})
	l := listen(t, n)
	_, err := n.Dial(t.Context(), transport.Endpoint{Addr: l.Addr(), ServerKey: "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"})
	require.ErrorIs(t, err, transport.ErrAddress)
	_, err = n.Dial(t.Context(), transport.Endpoint{Addr: "inproc://*"})
	require.ErrorIs(t, err, transport.ErrAddress)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		var got []transport.Identity
		l, err := n.As("broker").Listen(t.Context(), "inproc://tea")
		require.NoError(t, err)
		serve(t, l, func(p transport.Peer) transport.Receiver {
			got = append(got, p.Identity())
			return &inbox{}
		})
		dial(t, n, l)
		dial(t, n.As("alice"), l)
		synctest.Wait()
		require.Equal(t, []transport.Identity{
			{Addr: "inproc://tea#1", Local: true},
			{Name: "alice", Addr: "inproc://tea#2", Local: true},
		}, got)
	})
}

func TestServeTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		serve(t, l, func(transport.Peer) transport.Receiver { return &inbox{} })
		c := dial(t, n, l)
		go func() { _ = c.Serve(context.Background(), (&inbox{}).Receive) }()
		synctest.Wait()
		require.ErrorContains(t, l.Serve(t.Context(), nil), "called before")
		require.ErrorContains(t, c.Serve(t.Context(), nil), "already running")
		require.NoError(t, c.Close())
	})
}

func TestPendingConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{MaxPending: 2})
		l := listen(t, n)
		dial(t, n, l)
		dial(t, n, l)
		_, err := n.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		require.ErrorIs(t, err, transport.ErrRefused)
		serve(t, l, func(transport.Peer) transport.Receiver { return &inbox{} })
		synctest.Wait()
		dial(t, n, l)
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	kilobyte := transport.Message{make([]byte, 1000)}
	for name, test := range map[string]struct {
		cfg     inproc.Config
		message transport.Message
		fits    int // where some of it waits for the receiver
		turn    int // where nothing does, as nothing was flushed
	}{
		"messages":          {inproc.Config{MaxQueuedMessages: 5}, kilobyte, 5, 10},
		"bytes":             {inproc.Config{MaxQueuedBytes: 5 * 1024}, kilobyte, 5, 10},
		"frames count":      {inproc.Config{MaxQueuedBytes: 240}, make(transport.Message, 2), 5, 10},
		"one always fits":   {inproc.Config{MaxQueuedBytes: 1}, kilobyte, 1, 1},
		"exactly the limit": {inproc.Config{MaxQueuedBytes: 3 * 1024}, kilobyte, 3, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := inproc.New(test.cfg)
				l := listen(t, n)
				c := dial(t, n, l)
				var peer transport.Peer
				up, down := &inbox{}, &inbox{}
				for range test.fits {
					require.NoError(t, c.Send(test.message))
					c.Flush()
				}
				require.ErrorIs(t, c.Send(test.message), transport.ErrFull, "nobody reads")
				serve(t, l, func(p transport.Peer) transport.Receiver {
					peer = p
					return up
				})
				synctest.Wait()
				require.Len(t, up.messages, test.fits)
				for range test.turn {
					require.NoError(t, c.Send(test.message))
				}
				require.ErrorIs(t, c.Send(test.message), transport.ErrFull, "nothing was flushed")
				c.Flush()
				synctest.Wait()
				require.Len(t, up.messages, test.fits+test.turn)

				for range test.fits {
					require.NoError(t, peer.Send(test.message))
				}
				peer.Flush()
				up.mu.Lock() // Send runs no receiver, which would wait for this lock
				err := peer.Send(test.message)
				up.mu.Unlock()
				require.ErrorIs(t, err, transport.ErrSlowPeer)
				synctest.Wait()
				require.ErrorIs(t, up.reason, transport.ErrSlowPeer)
				require.ErrorIs(t, c.Serve(t.Context(), down.Receive), transport.ErrSlowPeer)
				require.ErrorIs(t, c.Send(test.message), transport.ErrSlowPeer)
				require.Empty(t, down.messages, "what a dropped peer didn't read is let go")
			})
		})
	}
}

func TestNoCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		in := &inbox{}
		serve(t, l, func(transport.Peer) transport.Receiver { return in })
		c := dial(t, n, l)
		m := transport.Message{[]byte("frame")}
		require.NoError(t, c.Send(m))
		c.Flush()
		synctest.Wait()
		require.Same(t, &m[0], &in.messages[0][0])
	})
}

// The receiver runs on the goroutine that flushes: when Flush returns it has
// run, there and back.
func TestFlushRunsTheReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		serve(t, l, func(p transport.Peer) transport.Receiver { return echo{p} })
		c := dial(t, n, l)
		in := &inbox{}
		go func() { _ = c.Serve(context.Background(), in.Receive) }()
		synctest.Wait()
		for i := range 10 {
			for range 3 {
				require.NoError(t, c.Send(message))
			}
			c.Flush()
			require.Len(t, in.messages, 3*(i+1))
		}
		require.Equal(t, []int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3}, in.batches, "a flush is a batch")
		require.NoError(t, c.Close())
	})
}

// A goroutine that flushes isn't kept for ever by others' messages: after its
// turn the goroutine in Serve goes on.
func TestTurnsEnd(t *testing.T) {
	t.Parallel()
	for _, keepsUp := range []string{"conn", "peer"} {
		t.Run(keepsUp, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// The receiver at one end refills its own queue, so that there
				// is always one more message.
				const hops = 100_000
				n := inproc.New(inproc.Config{})
				l := listen(t, n)
				var link, receiver transport.Link
				var seen, elsewhere atomic.Int64
				var flushed atomic.Bool // the first flush hasn't returned
				refill := func(batch []transport.Message) {
					if !flushed.Load() {
						elsewhere.Add(1)
					}
					if seen.Add(int64(len(batch))) < hops {
						_ = link.Send(message)
						link.Flush()
					}
				}
				serve(t, l, func(p transport.Peer) transport.Receiver {
					receiver = p
					return funcs{receive: refill}
				})
				c := dial(t, n, l)
				link = c
				go func() { _ = c.Serve(context.Background(), refill) }()
				synctest.Wait()
				if keepsUp == "peer" {
					link = receiver
				}
				require.NoError(t, link.Send(message))
				flushed.Store(true)
				link.Flush()
				flushed.Store(false)
				synctest.Wait()
				require.EqualValues(t, hops, seen.Load())
				require.Positive(t, elsewhere.Load(), "the first flush did it all")
				require.NoError(t, c.Close())
			})
		})
	}
}

// What was flushed before a close is received in full, also where the turn of
// the goroutine that hands it over has ended.
func TestTurnEndsAtClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 1000 // more than a turn
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		up, down := &inbox{}, &inbox{}
		oneMore := func(from transport.Link) {
			_ = from.Send(message)
			from.Flush()
			_ = from.Close()
		}
		var conns []transport.Conn
		var peers []transport.Peer
		var reasons []error
		serve(t, l, func(p transport.Peer) transport.Receiver {
			peers = append(peers, p)
			return funcs{
				func(batch []transport.Message) {
					up.Receive(batch)
					if len(batch) == many {
						oneMore(conns[0])
					}
				},
				func(reason error) { reasons = append(reasons, reason) },
			}
		})
		conns = append(conns, dial(t, n, l), dial(t, n, l))
		served := make(chan error, 1)
		go func() {
			served <- conns[1].Serve(context.Background(), func(batch []transport.Message) {
				down.Receive(batch)
				if len(batch) == many {
					oneMore(peers[1])
				}
			})
		}()
		synctest.Wait()
		for _, from := range []transport.Link{conns[0], peers[1]} {
			for range many {
				require.NoError(t, from.Send(message))
			}
			from.Flush()
			synctest.Wait()
		}
		require.Equal(t, []int{many, 1}, up.batches)
		require.Equal(t, []error{transport.ErrPeerClosed, transport.ErrClosed}, reasons)
		require.ErrorIs(t, <-served, transport.ErrPeerClosed)
		require.Equal(t, []int{many, 1}, down.batches)
	})
}

// accept isn't called any more once the listener is closed.
func TestCloseInAccept(t *testing.T) {
	t.Parallel()
	n := inproc.New(inproc.Config{})
	l := listen(t, n)
	first, second := dial(t, n, l), dial(t, n, l)
	in := &inbox{}
	accepted := 0
	require.ErrorIs(t, l.Serve(t.Context(), func(transport.Peer) transport.Receiver {
		accepted++
		require.NoError(t, l.Close())
		return in
	}), transport.ErrClosed)
	require.Equal(t, 1, accepted)
	require.ErrorIs(t, in.reason, transport.ErrClosed)
	for _, c := range []transport.Conn{first, second} {
		require.ErrorIs(t, c.Serve(t.Context(), nil), transport.ErrPeerClosed)
	}
}

// A message that was received and let go isn't held by the connection.
func TestReceivedIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		serve(t, l, func(transport.Peer) transport.Receiver { return funcs{} })
		c := dial(t, n, l)
		synctest.Wait()
		var frames []weak.Pointer[[1024]byte]
		for range 5 {
			frame := new([1024]byte)
			frames = append(frames, weak.Make(frame))
			require.NoError(t, c.Send(transport.Message{frame[:]}))
		}
		c.Flush()
		runtime.GC()
		for i, frame := range frames {
			require.Nil(t, frame.Value(), "message %d", i)
		}
		runtime.KeepAlive(c)
	})
}

// funcs is a receiver made of two functions; either may be nil.
type funcs struct {
	receive func([]transport.Message)
	gone    func(error)
}

func (f funcs) Receive(batch []transport.Message) {
	if f.receive != nil {
		f.receive(batch)
	}
}

func (f funcs) Gone(reason error) {
	if f.gone != nil {
		f.gone(reason)
	}
}

// A message that goes round through many connections, each receiver sending on
// the next one, doesn't nest the stack as deep as there are connections.
func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const conns, maxDepth = 2000, 1500
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		serve(t, l, func(p transport.Peer) transport.Receiver { return echo{p} })
		ring := make([]transport.Conn, conns+1)
		for i := range ring {
			ring[i] = dial(t, n, l)
		}
		var deepest, hops atomic.Int64
		for i, c := range ring[:conns] {
			next := ring[i+1]
			go func() {
				_ = c.Serve(context.Background(), func(batch []transport.Message) {
					depth := runtime.Callers(0, make([]uintptr, maxDepth))
					deepest.Store(max(deepest.Load(), int64(depth)))
					hops.Add(1)
					_ = next.Send(batch[0])
					next.Flush()
				})
			}()
		}
		synctest.Wait()
		require.NoError(t, ring[0].Send(message))
		ring[0].Flush()
		synctest.Wait()
		require.EqualValues(t, conns, hops.Load())
		require.Less(t, deepest.Load(), int64(maxDepth))
		for _, c := range ring {
			require.NoError(t, c.Close())
		}
	})
}

func TestRoundTripDoesNotAllocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := inproc.New(inproc.Config{})
		l := listen(t, n)
		serve(t, l, func(p transport.Peer) transport.Receiver { return echo{p} })
		c := dial(t, n, l)
		go func() { _ = c.Serve(context.Background(), func([]transport.Message) {}) }()
		synctest.Wait()
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			_ = c.Send(message)
			c.Flush()
		}))
		require.NoError(t, c.Close())
	})
}
