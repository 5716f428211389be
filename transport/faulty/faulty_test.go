package faulty_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/faulty"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]faulty.Config{
		"Config.Up.Drop":        {Up: faulty.Faults{Drop: -0.1}},
		"Config.Up.Duplicate":   {Up: faulty.Faults{Duplicate: 1.1}},
		"Config.Down.Reorder":   {Down: faulty.Faults{Reorder: math.NaN()}},
		"Config.Down.Delay":     {Down: faulty.Faults{Delay: math.Inf(1)}},
		"Config.Up.MinDelay":    {Up: faulty.Faults{MinDelay: -1}},
		"Config.Down.MinDelay":  {Down: faulty.Faults{MinDelay: 2, MaxDelay: 1}},
		"Config.MaxHeld":        {MaxHeld: -1},
		"MinDelay and MaxDelay": {Up: faulty.Faults{MaxDelay: -1}},
	} {
		net := faulty.New(inproc.New(inproc.Config{}), cfg)
		_, err := net.Listen(t.Context(), "inproc://broker")
		require.ErrorContains(t, err, want)
		_, err = net.Dial(t.Context(), transport.Endpoint{Addr: "inproc://broker"})
		require.ErrorContains(t, err, want)
		if cfg.MaxHeld == 0 {
			require.Error(t, faulty.New(inproc.New(inproc.Config{}), faulty.Config{}).SetFaults(cfg.Up, cfg.Down))
		}
	}
}

// bed is a network with a served listener that answers every message with
// itself.
type bed struct {
	t   *testing.T
	net *faulty.Transport
	ctx context.Context //nolint:containedctx // ends with the test, like the bed
	wg  *sync.WaitGroup

	mu    *sync.Mutex // guards the fields below
	trace *strings.Builder
	got   map[string]int // by the listener, how often
	names map[string]int // identities seen
	peer  transport.Peer // the last one
}

func newBed(t *testing.T, cfg faulty.Config) *bed {
	t.Helper()
	b := &bed{t: t, mu: new(sync.Mutex), wg: new(sync.WaitGroup), trace: new(strings.Builder),
		got: make(map[string]int), names: make(map[string]int)}
	cfg.Trace = func(e faulty.Event) { b.trace.WriteString(e.String() + "\n") }
	b.net = faulty.New(inproc.New(inproc.Config{}), cfg)
	l, err := b.net.Listen(t.Context(), "inproc://broker")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	b.ctx = ctx
	b.wg.Go(func() {
		_ = l.Serve(ctx, func(p transport.Peer) transport.Receiver {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.names[p.Identity().Name]++
			b.peer = p
			return echo{b, p}
		})
	})
	t.Cleanup(func() {
		cancel()
		_ = b.net.Close()
		b.wg.Wait()
	})
	return b
}

type echo struct {
	*bed
	peer transport.Peer
}

func (e echo) Receive(batch []transport.Message) {
	for _, m := range batch {
		e.mu.Lock()
		e.got[string(m[0])]++
		e.mu.Unlock()
		_ = e.peer.Send(m)
	}
	e.peer.Flush()
}

func (echo) Gone(error) {}

// dial dials as name and counts what comes back.
func (b *bed) dial(name string) (c transport.Conn, got map[string]int) {
	b.t.Helper()
	c, err := b.net.As(name).Dial(b.ctx, transport.Endpoint{Addr: "inproc://broker"})
	require.NoError(b.t, err)
	got = make(map[string]int)
	b.wg.Go(func() {
		_ = c.Serve(b.ctx, func(batch []transport.Message) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range batch {
				got[string(m[0])]++
			}
		})
	})
	synctest.Wait()
	return c, got
}

func send(t *testing.T, c transport.Conn, n int) {
	t.Helper()
	require.NoError(t, c.Send(transport.Message{strconv.AppendInt(nil, int64(n), 10)}))
	c.Flush()
}

// pass lets time go by and returns once what it brought about is done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var storm = faulty.Faults{Drop: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: 0.2, MaxDelay: 20 * time.Millisecond}

// The same seed and the same messages give the same faults, whatever happens on
// other links; another seed gives others.
func TestSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, other bool) (trace string) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, faulty.Config{Seed: seed, Up: storm, Down: storm})
			c, _ := b.dial("worker")
			var noise transport.Conn
			if other {
				noise, _ = b.dial("other")
			}
			for i := range 200 {
				send(t, c, i)
				synctest.Wait()
				if noise != nil {
					send(t, noise, i)
				}
				pass(time.Millisecond)
			}
			pass(time.Second)
			for line := range strings.Lines(b.trace.String()) {
				if !strings.Contains(line, "other#1") {
					trace += line
				}
			}
		})
		return trace
	}
	first := run(1, false)
	require.Equal(t, first, run(1, false))
	require.Equal(t, first, run(1, true))
	require.NotEqual(t, first, run(2, false))
	for _, word := range []string{"dropped", "duplicated", "reordered", "delayed", "passed"} {
		require.Contains(t, first, word)
	}
}

// Each direction of each link has faults of its own.
func TestDirectionsDiffer(t *testing.T) {
	t.Parallel()
	dropped := make(map[string]string) // by link and direction, the numbers of the messages
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{Up: faulty.Faults{Drop: 0.5}, Down: faulty.Faults{Drop: 0.5}})
		for _, name := range []string{"one", "two", "one"} {
			c, _ := b.dial(name)
			for i := range 100 {
				require.NoError(t, b.peer.Send(transport.Message{fmt.Append(nil, "first", i)}))
			}
			b.peer.Flush()
			for i := range 100 {
				send(t, c, i)
			}
			require.NoError(t, c.Close())
		}
		synctest.Wait()
		for line := range strings.Lines(b.trace.String()) {
			words := strings.Fields(line)
			if words[4] != "dropped" {
				continue
			}
			if number, ok := strings.CutPrefix(words[5], `"first`); ok {
				dropped["down to "+words[3]] += strings.Trim(number, `"`) + " "
			} else if words[3] == "inproc://broker" {
				dropped["up from "+words[1]] += strings.Trim(words[5], `"`) + " "
			}
		}
	})
	require.Len(t, dropped, 6)
	seen := make(map[string]string)
	for direction, numbers := range dropped {
		require.NotContains(t, seen, numbers, direction)
		seen[numbers] = direction
	}
}

// A changed probability changes nothing for the other faults.
func TestFaultsAreDrawnForThemselves(t *testing.T) {
	t.Parallel()
	drops := func(faults faulty.Faults) (dropped []string) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, faulty.Config{Seed: 7, Up: faults})
			c, _ := b.dial("worker")
			for i := range 200 {
				send(t, c, i)
			}
			pass(time.Second)
			for line := range strings.Lines(b.trace.String()) {
				if _, message, ok := strings.Cut(line, "dropped"); ok {
					dropped = append(dropped, message)
				}
			}
		})
		return dropped
	}
	require.NotEmpty(t, drops(storm))
	require.Equal(t, drops(storm), drops(faulty.Faults{Drop: storm.Drop}))
}

// Each fault comes about as often as it should.
func TestRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 10_000
		b := newBed(t, faulty.Config{Up: faulty.Faults{Drop: 0.3}, Down: faulty.Faults{Duplicate: 0.3}})
		c, got := b.dial("worker")
		for i := range messages {
			send(t, c, i)
		}
		synctest.Wait()
		require.InDelta(t, 0.7, float64(len(b.got))/messages, 0.02)
		twice := 0
		for _, times := range got {
			twice += times - 1
		}
		require.Len(t, got, len(b.got))
		require.InDelta(t, 0.3, float64(twice)/float64(len(got)), 0.02)
	})
}

// Delays are spread over the whole range.
func TestDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		low, high := 10*time.Millisecond, 30*time.Millisecond
		var shortest, longest, sum time.Duration = time.Hour, 0, 0
		const messages = 1000
		net := faulty.New(inproc.New(inproc.Config{}), faulty.Config{
			Up: faulty.Faults{Delay: 1, MinDelay: low, MaxDelay: high},
			Trace: func(e faulty.Event) {
				if e.Kind == faulty.Delayed {
					shortest, longest, sum = min(shortest, e.Delay), max(longest, e.Delay), sum+e.Delay
				}
			},
		})
		l, err := net.Listen(t.Context(), "inproc://broker")
		require.NoError(t, err)
		c, err := net.Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
		require.NoError(t, err)
		for i := range messages {
			send(t, c, i)
		}
		require.GreaterOrEqual(t, shortest, low)
		require.Less(t, shortest, low+time.Millisecond)
		require.LessOrEqual(t, longest, high)
		require.Greater(t, longest, high-time.Millisecond)
		require.InDelta(t, (low+high)/2, sum/messages, float64(time.Millisecond))
		require.NoError(t, net.Close())
		require.NoError(t, l.Close())
	})
}

// Messages that are only delayed stay in order, each way.
func TestDelaysKeepOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 500
		delays := faulty.Faults{Delay: 0.5, MaxDelay: 20 * time.Millisecond}
		b := newBed(t, faulty.Config{Up: delays, Down: delays})
		c, _ := b.dial("worker")
		for i := range messages {
			send(t, c, i)
			pass(time.Millisecond)
		}
		pass(time.Second)
		next := make(map[string]int)
		for line := range strings.Lines(b.trace.String()) {
			if words := strings.Fields(line); words[4] == "passed" {
				require.Equal(t, strconv.Quote(strconv.Itoa(next[words[1]])), words[5])
				next[words[1]]++
			}
		}
		require.Equal(t, map[string]int{"worker#1": messages, "inproc://broker": messages}, next)
	})
}

// But for drops everything arrives, once or twice, with many senders at once.
func TestNothingElseLosesMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const senders, messages = 20, 200
		faults := storm
		faults.Drop = 0
		b := newBed(t, faulty.Config{Up: faults, Down: faults})
		c, got := b.dial("worker")
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for i := range messages {
					_ = c.Send(transport.Message{strconv.AppendInt(nil, int64(sender*messages+i), 10)})
					c.Flush()
					<-time.After(time.Millisecond)
				}
			})
		}
		wg.Wait()
		pass(time.Second)
		require.Len(t, b.got, senders*messages)
		require.Len(t, got, senders*messages)
		for m, times := range got {
			require.LessOrEqual(t, times, 2*b.got[m], m)
		}
	})
}

// What is held back when Serve ends comes with the next one.
func TestServeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{Down: faulty.Faults{Delay: 1, MinDelay: time.Second}})
		c, err := b.net.Dial(b.ctx, transport.Endpoint{Addr: "inproc://broker"})
		require.NoError(t, err)
		received := 0
		serve := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(b.ctx, d)
			defer cancel()
			err := c.Serve(ctx, func(batch []transport.Message) { received += len(batch) })
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		send(t, c, 1)
		serve(time.Millisecond)
		pass(time.Minute)
		require.Zero(t, received)
		serve(0)
		require.Zero(t, received)
		serve(time.Millisecond)
		require.Equal(t, 1, received)

		heal := b.net.Partition(faulty.Any, faulty.Any)
		b.mu.Lock()
		peer := b.peer
		b.mu.Unlock()
		require.NoError(t, peer.Send(transport.Message{nil}))
		peer.Flush()
		require.NoError(t, peer.Close())
		serve(time.Hour) // hears neither of the message nor of the end
		heal()
		pass(time.Minute)
		require.Equal(t, 1, received)
		require.ErrorIs(t, c.Serve(b.ctx, func(batch []transport.Message) { received += len(batch) }), transport.ErrPeerClosed)
		require.Equal(t, 2, received)
	})
}

// A receiver that a timer runs is run by nobody else meanwhile, and Serve waits
// for it, also to hand over what came in the meantime.
func TestServeWaitsForReceiver(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(cancel func(), p transport.Peer){
		"cancel": func(cancel func(), _ transport.Peer) { cancel() },
		"hangup": func(_ func(), p transport.Peer) { _ = p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, faulty.Config{Down: faulty.Faults{Delay: 1, MinDelay: time.Second, MaxDelay: time.Second}})
				c, err := b.net.Dial(b.ctx, transport.Endpoint{Addr: "inproc://broker"})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(b.ctx)
				defer cancel()
				var running, received atomic.Int32
				leave, served := make(chan struct{}), make(chan error, 1)
				go func() {
					served <- c.Serve(ctx, func(batch []transport.Message) {
						if running.Add(1) != 1 {
							t.Error("two receivers at the same time")
						}
						<-leave
						received.Add(int32(len(batch)))
						running.Add(-1)
					})
				}()
				send(t, c, 1)
				pass(time.Second)
				require.EqualValues(t, 1, running.Load())
				require.NoError(t, b.net.SetFaults(faulty.Faults{}, faulty.Faults{}))
				send(t, c, 2)
				end(cancel, b.peer)
				synctest.Wait()
				require.Empty(t, served, "Serve returned while its receiver was running")
				close(leave)
				if name == "hangup" {
					require.ErrorIs(t, <-served, transport.ErrPeerClosed)
					require.EqualValues(t, 2, received.Load())
				} else {
					require.ErrorIs(t, <-served, context.Canceled)
					require.EqualValues(t, 1, received.Load())
				}
			})
		})
	}
}

// A dialler that doesn't hear of its peer's end still hears of its own mistakes.
func TestMistakesAreReportedInPartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{})
		c, _ := b.dial("worker")
		b.net.PartitionOneWay("inproc://broker", "worker")
		require.ErrorIs(t, c.Send(nil), transport.ErrEmpty)
		require.ErrorIs(t, c.Send(make(transport.Message, inproc.DefaultMaxFrames+1)), transport.ErrTooLarge)
	})
}

// A listener that was killed has closed, whether or not its peer is served.
func TestKilledListenerIsSeenBySend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{})
		c, err := b.net.Dial(b.ctx, transport.Endpoint{Addr: "inproc://broker"})
		require.NoError(t, err)
		b.net.Kill("inproc://broker")
		require.ErrorIs(t, c.Send(transport.Message{nil}), transport.ErrPeerClosed)
		require.ErrorIs(t, c.Serve(b.ctx, nil), transport.ErrPeerClosed)
	})
}

func TestDialThroughPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{})
		heal := b.net.PartitionOneWay("inproc://broker", "worker")
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		defer cancel()
		_, err := b.net.As("worker").Dial(ctx, transport.Endpoint{Addr: "inproc://broker"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Contains(t, b.trace.String(), "through a partition")
		b.dial("other")
		heal()
		b.dial("worker")
	})
}

func TestFailedDialIsTraced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{})
		_, err := b.net.Dial(b.ctx, transport.Endpoint{Addr: "inproc://nobody"})
		require.ErrorIs(t, err, transport.ErrRefused)
		require.Contains(t, b.trace.String(), "conn > inproc://nobody dialled: inproc: dial")
	})
}

// A dialler's name is its identity where the transport below has such.
func TestAs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, faulty.Config{})
		b.dial("alice")
		require.Equal(t, map[string]int{"alice": 1}, b.names)
		other := faulty.New(b.net, faulty.Config{})
		c, err := other.As("bob").Dial(b.ctx, transport.Endpoint{Addr: "inproc://broker"})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, map[string]int{"alice": 1, "bob": 1}, b.names)
		require.NoError(t, c.Close())
		require.NoError(t, other.Close())
	})
}

// Close ends what a crash left alive below.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := inproc.New(inproc.Config{})
		net := faulty.New(inner, faulty.Config{})
		l, err := net.Listen(t.Context(), "inproc://broker")
		require.NoError(t, err)
		gone := make(chan error, 3)
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = l.Serve(context.Background(), func(transport.Peer) transport.Receiver { return goneTo(gone) })
		})
		for _, name := range []string{"crashed", "cut off", "well"} {
			c, err := net.As(name).Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
			require.NoError(t, err)
			if name == "cut off" {
				net.Partition(name, faulty.Any)
				require.NoError(t, c.Close())
			}
		}
		net.Crash("crashed")
		synctest.Wait()
		require.Empty(t, gone)
		require.NoError(t, net.Close())
		for range 3 {
			require.ErrorIs(t, <-gone, transport.ErrPeerClosed)
		}
		require.NoError(t, l.Close())
		wg.Wait()
	})
}

// goneTo is a receiver that tells of the end.
type goneTo chan error

func (goneTo) Receive([]transport.Message) {}
func (g goneTo) Gone(reason error)         { g <- reason }

func TestEventString(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]faulty.Event{
		`1.5s a > b passed "" "MDPW02" 01ff "te\"a"`: {
			At: 1500 * time.Millisecond, Kind: faulty.Passed, From: "a", To: "b",
			Message: transport.Message{{}, []byte("MDPW02"), {1, 255}, []byte(`te"a`)},
		},
		`0s a > b delayed 5ms "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"…(33 bytes)`: {
			Kind: faulty.Delayed, From: "a", To: "b", Delay: 5 * time.Millisecond,
			Message: transport.Message{bytes.Repeat([]byte("a"), 33)},
		},
		`0s a > b closed: transport: closed`: {Kind: faulty.Closed, From: "a", To: "b", Err: transport.ErrClosed},
		`0s a > b kind 200`:                  {Kind: 200, From: "a", To: "b"},
	} {
		require.Equal(t, want, e.String())
	}
}
