package transporttest

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

const (
	goroutines = 100
	perSender  = 50
)

// A hundred goroutines, each with a connection of its own.
func testConcurrentConns(b *bed) {
	br := b.serveWith(b.listen(), echo)
	conns := make([]*local, goroutines)
	for i := range conns {
		conns[i] = b.dial(br.Addr()).start()
	}
	sendAll(b, func(sender int) transport.Link { return conns[sender] })
	for i, c := range conns {
		wantAll(b, c.recorder, i, i+1)
		require.NoError(b.t, c.Close())
	}
	for range conns {
		r := br.next()
		require.ErrorIs(b.t, r.end(), transport.ErrPeerClosed)
		require.Equal(b.t, perSender, r.count())
	}
}

// A hundred goroutines share one connection.
func testConcurrentSenders(b *bed) {
	br := b.serveWith(b.listen(), echo)
	c := b.dial(br.Addr()).start()
	sendAll(b, func(int) transport.Link { return c })
	wantAll(b, c.recorder, 0, goroutines)
	require.Equal(b.t, goroutines*perSender, br.next().count())
}

// A hundred goroutines send to one peer.
func testConcurrentPeerSenders(b *bed) {
	_, c, r := b.connect()
	sendAll(b, func(int) transport.Link { return r })
	wantAll(b, c.recorder, 0, goroutines)
}

// sendAll has every sender send its numbers at the same time, and returns once
// all were taken.
func sendAll(b *bed, to func(sender int) transport.Link) {
	b.t.Helper()
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for sender := range goroutines {
		wg.Go(func() {
			link := to(sender)
			<-start
			for i := range perSender {
				if err := link.Send(number(i, fmt.Append(nil, sender))); err != nil {
					errs[sender] = err
					return
				}
				if i%3 != 0 || i == perSender-1 {
					link.Flush()
				}
			}
		})
	}
	close(start)
	wg.Wait()
	for sender, err := range errs {
		require.NoError(b.t, err, "sender %d", sender)
	}
}

// wantAll waits for everything from senders begin up to end and requires that
// each one's messages came in order.
func wantAll(b *bed, r *recorder, begin, end int) {
	b.t.Helper()
	next := make(map[string]int)
	for _, m := range r.take((end - begin) * perSender) {
		require.Len(b.t, m, 2)
		sender := string(m[1])
		require.Equal(b.t, next[sender], numberIn(b.t, m), "sender %s", sender)
		next[sender]++
	}
	require.Len(b.t, next, end-begin)
	for sender := begin; sender < end; sender++ {
		require.Equal(b.t, perSender, next[fmt.Sprint(sender)], "sender %d", sender)
	}
}

// Two receivers that answer each other go on for as long as they like without a
// goroutine between them, and without calling one another ever deeper.
func testReentrant(b *bed) {
	const hops, maxDepth = 5000, 500
	deepest := 0
	done := make(chan struct{})
	br := b.serveWith(b.listen(), echo)
	c := b.dial(br.Addr())
	c.on = func(batch []transport.Message) {
		deepest = max(deepest, runtime.Callers(0, make([]uintptr, maxDepth)))
		n := numberIn(b.t, batch[0])
		if n == hops {
			close(done)
			return
		}
		_ = c.Send(number(n + 1))
		c.Flush()
	}
	c.start()
	send(b.t, c, number(0))
	await(b.t, done, "the last hop")
	require.Less(b.t, deepest, maxDepth)
	c.wantNumbers(0, hops+1)
	br.next().wantNumbers(0, hops+1)
}
