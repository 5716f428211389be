package mesh

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/transport"
)

// watchedStage returns a stage with one peer, and a function that has the peer ask
// for a service that nobody serves: two events.
func watchedStage(t *testing.T, observe func([]Event)) (*stage, func()) {
	t.Helper()
	core, err := majordomo.NewBroker(majordomo.Config{NoWorkerWait: 1, Observe: observe != nil}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	s := newStage(core, slog.New(slog.DiscardHandler), observe, make(chan struct{}))
	t.Cleanup(s.end)
	p := s.accept(&benchPeer{flushed: func([]transport.Message) {}})
	request := []transport.Message{{[]byte("MDPC02"), {1}, []byte("none"), []byte(`{"jsonrpc":"2.0","id":1,"method":"none.do"}`)}}
	return s, func() { p.Receive(request) }
}

// observed returns how many events the core made of its last step.
func observed(t *testing.T, s *stage, step func()) int {
	t.Helper()
	step()
	n := -1
	// The core is asked before it takes another step.
	s.submit(&turn{do: func(core *majordomo.Broker) { n = len(core.Observed()) }})
	return n
}

func TestNoEventsWithoutAnObserver(t *testing.T) {
	t.Parallel()
	s, ask := watchedStage(t, nil)
	require.Zero(t, observed(t, s, ask))
	sub := &Subscription{events: make(chan Event, 10), stage: s}
	s.subscribe(sub)
	require.Equal(t, 2, observed(t, s, ask))
	sub.Close()
	require.Zero(t, observed(t, s, ask), "nobody subscribes any more")
}

// A turn tells what came of work that others left in the inbox.
func TestTurnTellsEventsOfOthers(t *testing.T) {
	t.Parallel()
	told := 0
	s, ask := watchedStage(t, func(batch []Event) { told += len(batch) })
	own := s.work.turn()
	require.True(t, s.work.enter(own))
	ask()
	require.Zero(t, told)
	s.run(own)
	require.Equal(t, 2, told)
}

// What came while an observer panicked is told with the next turn, whatever that is of.
func TestObserverPanicsAndOthersAreTold(t *testing.T) {
	t.Parallel()
	told := 0
	var ask func()
	s, ask := watchedStage(t, func(batch []Event) {
		if told += len(batch); told == 2 {
			ask()
			panic("bad observer")
		}
	})
	require.Panics(t, ask)
	require.Equal(t, 2, told)
	require.NoError(t, s.do(context.Background(), func(*majordomo.Broker) {}))
	require.Equal(t, 4, told)
}

// An observer that panics does so where its events were made, as a receiver does,
// and leaves nothing locked behind.
func TestObserverPanics(t *testing.T) {
	t.Parallel()
	var told int
	bad := true
	s, ask := watchedStage(t, func(batch []Event) {
		if bad {
			panic("bad observer")
		}
		told += len(batch)
	})
	require.PanicsWithValue(t, "bad observer", ask)
	bad = false
	ask()
	require.Equal(t, 2, told)
	require.NoError(t, s.do(context.Background(), func(*majordomo.Broker) {}))
}
