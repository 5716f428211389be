package mesh

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// spend leaves more work than one turn may do for the goroutine that runs the engine,
// and has work be left while that is done. It returns whether all of it was done by the
// goroutine of the test.
func spend(t *testing.T, leave func(func()), run func()) bool {
	t.Helper()
	own := make(chan bool, 1)
	for range maxTurn {
		leave(func() {})
	}
	leave(func() {
		leave(func() { own <- strings.Contains(string(debug.Stack()), "mesh.spend(") })
	})
	run()
	return <-own
}

// What comes after the end isn't handed over to another goroutine: whoever waits for
// those doesn't wait for one that comes later.
func TestNothingIsHandedOverAfterTheEnd(t *testing.T) {
	t.Parallel()
	network := inproc.New(inproc.Config{})
	brokers := []transport.Endpoint{{Addr: "inproc://nobody"}}
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		c, err := NewClient(ClientConfig{Transport: network, Brokers: brokers})
		require.NoError(t, err)
		l := c.link
		leave := func(f func()) { l.work.submit(clientWork{look: f}) }
		run := func() { l.work.empty(l.work.clock.now(), l.work.turn(), 0) }
		require.True(t, l.work.enter(clientWork{}))
		require.False(t, spend(t, leave, run), "before it isn't so")
		require.NoError(t, c.Close())
		require.True(t, l.work.enter(clientWork{}))
		require.True(t, spend(t, leave, run))
	})
	t.Run("worker", func(t *testing.T) {
		t.Parallel()
		w, err := NewWorker(WorkerConfig{Transport: network, Brokers: brokers}, NewService("tea"))
		require.NoError(t, err)
		l := w.link
		leave := func(f func()) { l.work.submit(workerWork{look: f}) }
		run := func() { l.work.empty(l.work.clock.now(), l.work.turn(), 0) }
		require.True(t, l.work.enter(workerWork{}))
		require.False(t, spend(t, leave, run), "before it isn't so")
		l.work.relays.Wait()
		require.NoError(t, w.Shutdown(t.Context()))
		require.True(t, l.work.enter(workerWork{}))
		require.True(t, spend(t, leave, run))
	})
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b, err := NewBroker(BrokerConfig{})
		require.NoError(t, err)
		s := b.stage
		leave := func(f func()) {
			s.submit(&turn{events: []majordomo.Event{{Kind: majordomo.Wake}}, do: func(*majordomo.Broker) { f() }})
		}
		run := func() { s.work.empty(time.Now(), s.work.turn(), 0) }
		require.True(t, s.work.enter(nil))
		require.False(t, spend(t, leave, run), "before it isn't so")
		require.NoError(t, b.Shutdown(t.Context()))
		require.True(t, s.work.enter(nil))
		require.True(t, spend(t, leave, run))
	})
}

// countingEngine is an engine that holds a combiner to what it promises.
type countingEngine struct {
	t       *testing.T
	work    combiner[[2]int, countedTurn]
	inside  atomic.Bool
	last    []int // by who brought work: what came last
	taken   int
	open    bool         // it took work since it was left last
	turn    *countedTurn // in which it took that
	settled atomic.Int64 // pieces that were carried out
}

type countedTurn struct{ taken int }

func (e *countingEngine) take(_ time.Time, w [2]int, t *countedTurn) int {
	if e.inside.Swap(true) {
		e.t.Error("two run the engine at the same time")
	}
	if e.last[w[0]]+1 != w[1] {
		e.t.Errorf("%d comes behind %d", w[1], e.last[w[0]])
	}
	if t != e.turn && e.open {
		e.t.Error("the engine wasn't left before another goroutine ran it")
	}
	e.last[w[0]] = w[1]
	e.taken++
	e.turn, e.open = t, true
	t.taken++
	e.inside.Store(false)
	return 1 + w[1]%100 // so that turns are spent
}

func (e *countingEngine) leave(time.Time, *countedTurn) { e.open = false }

func (e *countingEngine) finish(t *countedTurn) {
	e.settled.Add(int64(t.taken))
	*t = countedTurn{}
	e.work.turns.Put(t)
}

// One goroutine at a time runs an engine, on everything in the order in which it came,
// and leaves it each time.
func TestCombiner(t *testing.T) {
	t.Parallel()
	const bringers, pieces = 8, 5000
	e := &countingEngine{t: t, last: make([]int, bringers)}
	e.work.init(e)
	var all sync.WaitGroup
	for who := range bringers {
		all.Go(func() {
			for i := range pieces {
				e.work.submit([2]int{who, i + 1})
				if i%50 == who {
					runtime.Gosched()
				}
			}
		})
	}
	all.Wait()
	e.work.relays.Wait()
	require.EqualValues(t, bringers*pieces, e.settled.Load())
	require.Equal(t, bringers*pieces, e.taken)
	require.False(t, e.open, "it was left")
	require.EqualValues(t, idle, e.work.state.Load())
	require.Empty(t, e.work.inbox)
}
