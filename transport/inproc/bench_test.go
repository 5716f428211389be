package inproc_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// echo answers each message with itself.
type echo struct{ peer transport.Peer }

func (e echo) Receive(batch []transport.Message) {
	for _, m := range batch {
		_ = e.peer.Send(m)
	}
	e.peer.Flush()
}

func (e echo) Gone(error) {}

// startEcho returns an address at which every message is answered with itself.
func startEcho(b *testing.B, n *inproc.Network) transport.Endpoint {
	b.Helper()
	l, err := n.Listen(b.Context(), "inproc://*")
	require.NoError(b, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver { return echo{p} })
	})
	b.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return transport.Endpoint{Addr: l.Addr()}
}

// dialServe dials and gives what comes back to receive.
func dialServe(b *testing.B, n *inproc.Network, to transport.Endpoint, receive func([]transport.Message)) transport.Conn {
	b.Helper()
	c, err := n.Dial(b.Context(), to)
	require.NoError(b, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Serve(context.Background(), receive) })
	b.Cleanup(func() {
		_ = c.Close()
		wg.Wait()
	})
	// Both ends are served once the first answer is there.
	_ = c.Send(message)
	c.Flush()
	return c
}

var message = transport.Message{[]byte("MDPC02"), {1}, []byte("echo"), make([]byte, 128)}

// One message at a time, from the connection to the listener and back.
func BenchmarkRoundTrip(b *testing.B) {
	n := inproc.New(inproc.Config{})
	arrived := make(chan struct{}, 1)
	c := dialServe(b, n, startEcho(b, n), func(batch []transport.Message) {
		for range batch {
			arrived <- struct{}{}
		}
	})
	<-arrived
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Send(message)
		c.Flush()
		<-arrived
	}
}

// The same without the channel on which a caller would wait.
func BenchmarkRoundTripInline(b *testing.B) {
	n := inproc.New(inproc.Config{})
	first := make(chan struct{}, 1)
	var count atomic.Int64
	c := dialServe(b, n, startEcho(b, n), func(batch []transport.Message) {
		if count.Add(int64(len(batch))) == 1 {
			first <- struct{}{}
		}
	})
	<-first
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Send(message)
		c.Flush()
	}
	require.Equal(b, int64(b.N)+1, count.Load())
}

// Many goroutines, each with one message in flight, on one connection and on
// one each.
func BenchmarkInFlight(b *testing.B) {
	for _, shared := range []bool{true, false} {
		for _, inFlight := range []int{64, 512} {
			b.Run(fmt.Sprintf("shared=%t/%d", shared, inFlight), func(b *testing.B) {
				benchmarkInFlight(b, inFlight, shared)
			})
		}
	}
}

func benchmarkInFlight(b *testing.B, inFlight int, shared bool) {
	n := inproc.New(inproc.Config{})
	to := startEcho(b, n)
	arrived := make([]chan struct{}, inFlight)
	messages := make([]transport.Message, inFlight)
	for i := range arrived {
		arrived[i] = make(chan struct{}, 2)
		messages[i] = transport.Message{{byte(i), byte(i >> 8)}, message[3]}
	}
	receive := func(batch []transport.Message) {
		for _, m := range batch {
			if len(m) == 2 {
				arrived[int(m[0][0])|int(m[0][1])<<8] <- struct{}{}
			}
		}
	}
	conns := make([]transport.Conn, inFlight)
	for i := range conns {
		if i == 0 || !shared {
			conns[i] = dialServe(b, n, to, receive)
		} else {
			conns[i] = conns[0]
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var (
		wg   sync.WaitGroup
		left atomic.Int64
	)
	left.Store(int64(b.N))
	for i := range inFlight {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				_ = conns[i].Send(messages[i])
				conns[i].Flush()
				<-arrived[i]
			}
		})
	}
	wg.Wait()
}
