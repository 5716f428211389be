package mesh

import (
	"runtime/debug"
	"strings"
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
