package majordomo

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// workerPhaseCounts returns how many brokers a session has in each phase.
func workerPhaseCounts(s *WorkerSession) map[WorkerPhase]int {
	counts := make(map[WorkerPhase]int)
	for _, v := range s.View() {
		counts[v.Phase]++
	}
	return counts
}

// TestWorkerSessionPlaces has more brokers than places: some of them are dialled, not
// always the same.
func TestWorkerSessionPlaces(t *testing.T) {
	t.Parallel()
	drawn := make(map[int]bool)
	for seed := range uint64(50) {
		b := newWorkerBed(t, WorkerConfig{Brokers: 20, MaxBrokers: 3, Random: workerRandom(seed)})
		require.EqualValues(t, 3, b.dials)
		require.Equal(t, map[WorkerPhase]int{WorkerConnects: 3, WorkerSpares: 17}, workerPhaseCounts(b.s))
		for conn := range b.dials {
			drawn[b.conns[conn+1].broker] = true
		}
		require.Empty(t, b.pass(time.Second))
	}
	require.Len(t, drawn, 20)

	b := newWorkerBed(t, WorkerConfig{Brokers: 65})
	require.EqualValues(t, 64, b.dials)
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0}})
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1, 2}})
	require.Empty(t, b.s.spares)
	require.Equal(t, []string{"finished"}, workerKinds(newWorkerBed(t, WorkerConfig{Brokers: -1, MaxBrokers: 1}).stop()))
}

// A broker that discovery leaves out and finds again isn't waited for: it began anew.
func TestWorkerSessionDialsWhatIsFoundAgain(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 1, RedialMin: time.Hour, RedialMax: time.Hour, Random: func() uint64 { return uint64(time.Hour) - 1 }})
	b.dialFailed(1)
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0}})
	require.EqualValues(t, 1, b.dials, "nothing has changed")
	b.step(&WorkerEvent{Kind: WorkerBrokers})
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0}})
	require.EqualValues(t, 2, b.dials)
}

// TestWorkerSessionPlaceOfOneThatFails gives the place of a broker that can't be reached
// to one that may be, and back when nobody else is left.
func TestWorkerSessionPlaceOfOneThatFails(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 3, MaxBrokers: 1, RedialMin: time.Second, Random: func() uint64 { return 0 }})
	tried := []int{b.conns[1].broker}
	for range 2 {
		require.Equal(t, []string{"dial"}, workerKinds(b.dialFailed(b.dials)))
		tried = append(tried, b.conns[b.dials].broker)
	}
	slices.Sort(tried)
	require.Equal(t, []int{0, 1, 2}, tried)
	require.Equal(t, map[WorkerPhase]int{WorkerConnects: 1, WorkerSpares: 2}, workerPhaseCounts(b.s))
	require.ErrorIs(t, b.s.View()[2].Trouble, errWorkerCut)
	b.serve()
	require.Len(t, b.accepted, 1)
	require.Empty(t, workerOthers(b.pass(5*time.Second)), "one that serves keeps its place")

	// In the end a place is a broker's that answers.
	w := newWorkerWorld(t, make([]Config, 20)...)
	for at := range 15 {
		w.crash(at)
	}
	n := w.add(WorkerConfig{MaxBrokers: 4, Registration: Registration{Capacity: 8}})
	w.pass(10 * time.Second)
	require.Equal(t, map[WorkerPhase]int{WorkerServes: 4, WorkerSpares: 16}, workerPhaseCounts(n.s))
	require.Equal(t, []int{2, 2, 2, 2}, n.sizes())
	for at := 15; at < 20; at++ {
		w.crash(at)
	}
	w.boot(0)
	w.boot(1)
	w.pass(2 * time.Minute)
	require.Equal(t, 2, workerPhaseCounts(n.s)[WorkerServes])
	dials := len(n.dials)
	w.pass(10 * time.Minute)
	require.Less(t, len(n.dials)-dials, 18*10*60/10, "each that is down once in fifteen seconds or so")
}

// TestWorkerSessionGivesWay has discovery name other brokers while those that it named
// before are served: they are served on until there are too many.
func TestWorkerSessionGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, make([]Config, 6)...)
	n := w.add(WorkerConfig{Brokers: 2, MaxBrokers: 2, Registration: Registration{Capacity: 8}})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{1, 2, 3}})
	w.pass(workerTick)
	require.Equal(t, 1, workerPhaseCounts(n.s)[WorkerSpares])
	require.Equal(t, WorkerLeaves, n.s.View()[0].Phase, "what it runs is finished")
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[id])
	require.Equal(t, map[WorkerPhase]int{WorkerServes: 2, WorkerSpares: 1}, workerPhaseCounts(n.s))

	// However often it does so.
	for turn := range 20 {
		n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{turn % 6, (turn + 1) % 6, (turn + 3) % 6}})
		w.pass(time.Duration(turn) * 10 * time.Millisecond)
		open := 0
		for _, p := range n.pipes {
			if !p.over {
				open++
			}
		}
		require.LessOrEqual(t, open, 4, "turn "+strconv.Itoa(turn))
	}
	w.pass(time.Second)
	require.Equal(t, 2, workerPhaseCounts(n.s)[WorkerServes])
	n.step(&WorkerEvent{Kind: WorkerDrain})
	w.pass(time.Second)
	require.True(t, n.finished)
	require.Empty(t, n.s.View())
}

// TestWorkerSessionLeavesPlainOnes has brokers of plain MDP give way. A plain one is left
// at once, in the moment in which another one is joined.
func TestWorkerSessionLeavesPlainOnes(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Speak: SpeakMDP02, Brokers: 2, MaxBrokers: 2, Registration: Registration{Capacity: 3}})
	b.dialed(1)
	b.dialed(2)
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{2, 3}})
	require.EqualValues(t, 4, b.dials)
	b.dialed(3)
	b.dialed(4)
	require.Equal(t, map[WorkerPhase]int{WorkerServes: 2}, workerPhaseCounts(b.s))
	require.True(t, b.conns[1].over)
	require.True(t, b.conns[2].over)
}

// TestWorkerSessionPlainOneWaits has no slot for a plain broker but one of those that are
// to be left.
func TestWorkerSessionPlainOneWaits(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{1, 2} {
		b := newWorkerBed(t, WorkerConfig{Speak: SpeakMDP02, Brokers: capacity, MaxBrokers: 2, Registration: Registration{Capacity: capacity}})
		for conn := range b.dials {
			b.dialed(conn + 1)
		}
		job := b.run(workerAsk{token: 1})
		busy := b.last
		b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{2, 3}})
		for conn := uint64(capacity); conn < b.dials; conn++ {
			b.dialed(conn + 1)
		}
		require.False(t, b.conns[busy].over, "what it runs is finished")
		b.last = busy
		b.reply(job, true, "x")
		for conn := range uint64(capacity) {
			require.True(t, b.conns[conn+1].over)
		}
		require.Equal(t, capacity, workerPhaseCounts(b.s)[WorkerServes])
	}
}
