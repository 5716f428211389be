package mesh

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// BenchmarkStage compares three ways in which many goroutines can drive the
// broker's state machine: the combiner that the broker uses, a plain mutex, and a
// goroutine of its own fed by a channel. Everything else is the same. A request
// is two messages through the core and one wake-up of its caller.
func BenchmarkStage(b *testing.B) {
	ways := []struct {
		name  string
		start func(s *stage) (submit func(*turn), stop func())
	}{
		{"combiner", func(s *stage) (func(*turn), func()) { return s.submit, func() {} }},
		{"mutex", startMutex},
		{"loop", startLoop},
	}
	for _, n := range []int{1, 64, 512} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("%s/%d", way.name, n), func(b *testing.B) { benchmarkStage(b, n, way.start) })
		}
	}
}

func startMutex(s *stage) (func(*turn), func()) {
	var mu sync.Mutex
	return func(t *turn) {
		now := s.work.clock.now()
		mu.Lock()
		s.take(now, t, t)
		s.leave(now, t)
		mu.Unlock()
		s.finish(t)
	}, func() {}
}

func startLoop(s *stage) (func(*turn), func()) {
	work := make(chan *turn, 4096)
	var loop sync.WaitGroup
	loop.Go(func() {
		for first := range work {
			now := s.work.clock.now()
			s.take(now, first, first)
			for range min(len(work), maxTurn) {
				t := <-work
				s.take(now, t, first)
			}
			s.leave(now, first)
			s.finish(first)
		}
	})
	return func(t *turn) { work <- t }, func() { close(work); loop.Wait() }
}

// benchPeer is the other end of a connection: it takes what the broker flushed.
type benchPeer struct {
	mu      sync.Mutex
	queue   []transport.Message
	flushed func([]transport.Message)
}

func (p *benchPeer) Identity() transport.Identity { return transport.Identity{Local: true} }
func (p *benchPeer) Close() error                 { return nil }

func (p *benchPeer) Send(m transport.Message) error {
	p.mu.Lock()
	p.queue = append(p.queue, m)
	p.mu.Unlock()
	return nil
}

func (p *benchPeer) Flush() {
	p.mu.Lock()
	batch := p.queue
	p.queue = nil
	p.mu.Unlock()
	if len(batch) > 0 {
		p.flushed(batch)
	}
}

func benchmarkStage(b *testing.B, n int, start func(*stage) (func(*turn), func())) {
	core, err := majordomo.NewBroker(majordomo.Config{}, time.Now())
	require.NoError(b, err)
	s := newStage(core, slog.New(slog.DiscardHandler), nil, make(chan struct{}))
	submit, stop := start(s)
	defer stop()
	defer s.end()
	connect := func(flushed func(p *brokerPeer, batch []transport.Message)) *brokerPeer {
		link := &benchPeer{}
		p := s.accept(link).(*brokerPeer)
		link.flushed = func(batch []transport.Message) { flushed(p, batch) }
		return p
	}
	receive := func(p *brokerPeer, batch ...transport.Message) {
		t := s.work.turn()
		t.events = slices.Grow(t.events, len(batch))[:len(batch)]
		for i, m := range batch {
			t.events[i].Received(p.core, m, false)
		}
		submit(t)
	}
	reply := []byte(`{"jsonrpc":"2.0","id":1,"result":{"text":"yes"}}`)
	// More workers than callers, so that nothing is queued.
	for range n + 1 {
		w := connect(func(p *brokerPeer, batch []transport.Message) {
			for _, m := range batch {
				if len(m) == 2 {
					continue // a heartbeat
				}
				receive(p, transport.Message{[]byte("MDPW02"), {4}, m[2], {}, reply})
			}
		})
		receive(w, transport.Message{[]byte("MDPW02"), {1}, []byte("echo")})
	}
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"echo.raw","meta":{"timeout_ms":30000},"params":{"text":"no"}}`)
	request := transport.Message{[]byte("MDPC02"), {1}, []byte("echo"), body}

	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, n)
	var callers sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		callers.Go(func() {
			done := make(chan struct{}, 1)
			p := connect(func(*brokerPeer, []transport.Message) { done <- struct{}{} })
			for left.Add(-1) >= 0 {
				begin := time.Now()
				receive(p, request)
				<-done
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	callers.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds()), "p99-ns")
}
