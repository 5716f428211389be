package majordomo

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// TestLevel compares level with handing out the room one by one.
func TestLevel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		demands := rapid.SliceOfN(rapid.IntRange(1, 12), 1, 8).Draw(t, "demands")
		room := rapid.IntRange(len(demands), 60).Draw(t, "room")
		got := make([]int, len(demands))
		for given, left := true, room; given && left > 0; {
			given = false
			for i, at := 0, slices.Min(append([]int{room}, got...)); i < len(got) && left > 0; i++ {
				if got[i] < demands[i] && got[i] <= at+1 {
					got[i]++
					left--
					given = true
				}
			}
			slices.Sort(demands)
			slices.Sort(got)
		}
		limit, rest := level(room, slices.Clone(demands))
		want := make([]int, len(demands))
		for i := len(demands) - 1; i >= 0; i-- {
			if want[i] = min(demands[i], limit); demands[i] > limit && rest > 0 {
				want[i], rest = want[i]+1, rest-1
			}
		}
		require.Zero(t, rest)
		sum, most := 0, 0
		for i := range want {
			sum += want[i]
			most += demands[i]
		}
		require.Equal(t, min(room, most), sum, "nothing is left while somebody wants more")
		for i := range want {
			require.GreaterOrEqual(t, want[i], 1)
			require.True(t, want[i] == demands[i] || want[i] >= slices.Max(want)-1, "%v of %v", want, demands)
		}
	})
}

// sizes returns the shares of a worker's links.
func (n *workerNode) sizes() (sizes []int) {
	for _, l := range n.s.links {
		sizes = append(sizes, l.share.size)
	}
	return sizes
}

// told returns how often a worker has registered.
func (n *workerNode) told() (times int) {
	for _, p := range n.pipes {
		times += p.told
	}
	return times
}

// fill asks a broker for so many things that take until the handler is told.
func (w *workerWorld) fill(at, requests int) {
	for range requests {
		w.ask(at, "tea.pour", "")
	}
}

func TestWorkerSessionDividesItsCapacity(t *testing.T) {
	t.Parallel()
	for capacity, want := range map[int][]int{1: {1, 1, 1}, 3: {1, 1, 1}, 8: {3, 3, 2}, 300: {100, 100, 100}} {
		w := newWorkerWorld(t, Config{}, Config{}, Config{})
		n := w.add(WorkerConfig{Registration: Registration{Capacity: capacity}})
		w.pass(workerTick)
		require.ElementsMatch(t, want, n.sizes())
		if capacity > 3 {
			require.Equal(t, 3, n.told(), "those that are being dialled are thought of")
		}
	}

	// Brokers that come later get as much as the others, which are told once.
	w := newWorkerWorld(t, Config{}, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Brokers: 1, Registration: Registration{Capacity: 16}})
	for brokers, want := range [][]int{{16}, {8, 8}, {6, 5, 5}, {4, 4, 4, 4}} {
		known := []int{0, 1, 2, 3}[:brokers+1]
		n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: known})
		w.pass(time.Second)
		require.Equal(t, want, n.sizes())
	}
	require.LessOrEqual(t, n.told(), 1+2+3+4+2, "few are told more than once each time")

	// One that is lost leaves its share to whoever needs it, and gets as much when it is back.
	w.crash(3)
	w.pass(time.Second)
	require.Equal(t, []int{4, 4, 4, 0}, n.sizes())
	w.fill(0, 100)
	w.pass(time.Second)
	require.Greater(t, len(n.running), 12)
	for len(n.running) > 0 {
		n.replyAll()
		w.pass(workerTick)
	}
	w.boot(3)
	w.pass(time.Minute)
	require.Equal(t, 5, n.accepted)
	require.Equal(t, 4, n.sizes()[3])
}

// TestWorkerSessionShiftsToTheWork has one broker after the other be the one that has
// work.
func TestWorkerSessionShiftsToTheWork(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 32}})
	w.pass(workerTick)
	for turn := range 6 {
		at := turn % 3
		w.fill(at, 200)
		w.pass(time.Second)
		require.GreaterOrEqual(t, n.sizes()[at], 30)
		require.GreaterOrEqual(t, len(n.running), 30, "idle shares have moved")
		for w.brokers[at].broker.queued > 0 || len(n.running) > 0 {
			n.replyAll()
			w.pass(workerTick)
		}
	}

	// All of them have work: each gets as much as the others.
	for at := range w.brokers {
		w.fill(at, 1000)
	}
	for range 20 {
		w.pass(workerTick)
		n.replyAll()
	}
	w.pass(workerTick)
	require.ElementsMatch(t, []int{11, 11, 10}, n.sizes())
	require.Len(t, n.running, 32)
	before := n.told()
	for range 50 {
		w.pass(workerTick)
		n.replyAll()
	}
	require.Equal(t, before, n.told(), "and nothing moves any more")
}

// TestWorkerSessionKeepsShiftsRare has work go to and fro between two brokers.
func TestWorkerSessionKeepsShiftsRare(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 16}})
	w.pass(workerTick)
	for turn := range 300 {
		w.fill(turn%2, 16)
		w.pass(workerTick)
		for len(n.running) > 0 {
			n.replyAll()
			w.pass(2 * w.latency)
		}
	}
	require.Less(t, n.told(), 2*(30+20), "once a second for each broker, after some that came sooner")
}

// TestWorkerSessionLeavesNoShareIdle has some brokers with more work than the worker
// takes, and some with little. Whatever can run does.
func TestWorkerSessionLeavesNoShareIdle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		brokers := rapid.IntRange(1, 5).Draw(t, "brokers")
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		w := newWorkerWorld(t, slices.Repeat([]Config{{QueueTimeout: time.Hour}}, brokers)...)
		n := w.add(WorkerConfig{Registration: Registration{Capacity: capacity}})
		w.pass(workerTick)
		ask := func() {
			for at := range brokers {
				w.fill(at, rapid.SampledFrom([]int{0, 0, 1, 3, 100}).Draw(t, "requests"))
			}
		}
		ask()
		w.pass(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
		for range rapid.IntRange(0, 60).Draw(t, "replies") {
			if len(n.running) > 0 {
				n.reply(n.running[rapid.IntRange(0, len(n.running)-1).Draw(t, "job")])
			}
		}
		ask()
		w.pass(5 * time.Second)
		queueing := 0
		for _, b := range w.brokers {
			queueing += b.broker.queued
		}
		if queueing == 0 {
			return
		}
		if capacity < brokers {
			require.Len(t, n.running, capacity)
			return
		}
		for _, l := range n.s.links {
			require.True(t, w.brokers[l.broker].broker.queued > 0 && l.jobs.n == l.share.size || l.share.size-l.jobs.n <= 1,
				"broker %d uses %d of %d while another one queues", l.broker, l.jobs.n, l.share.size)
		}
		require.GreaterOrEqual(t, len(n.running), capacity-brokers+1)
	})
}

// TestWorkerSessionFewerSlotsThanBrokers has three brokers wait for one slot.
func TestWorkerSessionFewerSlotsThanBrokers(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{1, 2} {
		w := newWorkerWorld(t, Config{QueueTimeout: time.Hour}, Config{QueueTimeout: time.Hour}, Config{QueueTimeout: time.Hour})
		n := w.add(WorkerConfig{Registration: Registration{Capacity: capacity}})
		n.work = 10 * time.Millisecond
		w.pass(workerTick)
		for at := range w.brokers {
			w.fill(at, 1500)
		}
		n.at = nil
		w.pass(5 * time.Second)
		served := make([]int, 3)
		for _, at := range n.at {
			served[at]++
		}
		require.Greater(t, len(n.at), capacity*5*100/2, "it has hardly been idle")
		for at := range served {
			require.Greater(t, served[at], len(n.at)/6, "broker %d had its turns: %v", at, served)
		}
		require.Less(t, n.told(), 3*(5*20+4), "each broker is asked again twenty times a second at most")
	}
	w := newWorkerWorld(t, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 2}})
	w.pass(workerTick)
	w.fill(1, 5)
	w.pass(workerTick)
	require.Len(t, n.running, 2, "one that is alone gets all slots")
	late := w.ask(0, "tea.brew", "")
	w.pass(workerTick)
	require.Len(t, n.running, 2)
	n.reply(n.running[0])
	w.pass(workerTick)
	require.Equal(t, late, n.runs[len(n.runs)-1], "a slot was kept for the one that was turned away")
}

// TestWorkerSessionJoinsWithoutRoom has all slots taken by long work of one broker when
// another comes.
func TestWorkerSessionJoinsWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{NoWorkerWait: time.Millisecond, QueueTimeout: time.Hour})
	n := w.add(WorkerConfig{Brokers: 1, Registration: Registration{Capacity: 4}})
	w.pass(workerTick)
	w.fill(0, 10)
	w.pass(workerTick)
	require.Len(t, n.running, 4)
	n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1}})
	w.pass(workerTick)
	require.Equal(t, 2, n.accepted)
	require.Equal(t, []int{2, 0}, n.sizes())
	id := w.ask(1, "tea.brew", "")
	w.pass(time.Minute)
	require.Empty(t, w.brokers[1].outcomes[id], "it waits for room: the worker is known")
	for range 3 {
		n.reply(n.running[0])
	}
	w.pass(workerTick)
	require.Equal(t, id, n.runs[len(n.runs)-1])
	require.Equal(t, []int{2, 2}, n.sizes())
}

// TestWorkerSessionBarrier has a broker take its time to answer that its share was
// lowered: nobody else gets of it before.
func TestWorkerSessionBarrier(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 4}})
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1}})
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.dialed(2)), "to the one that has everything")
	require.Equal(t, 2, b.conns[1].offers[1].Capacity)
	b.on(0)
	for token := range uint64(4) {
		b.run(workerAsk{token: token + 1})
	}
	require.Empty(t, b.pass(10*time.Millisecond))
	require.Equal(t, []string{"mmi.register", "ready"}, workerKinds(b.answer(1, &Registered{Broker: "a", Incarnation: "1"})))
	require.Zero(t, b.conns[2].offers[0].Capacity, "what runs counts on")
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	for j := range b.jobs {
		b.reply(j, true, "x")
	}
	require.Equal(t, 1, b.conns[2].offers[1].Capacity, "as soon as there is one")
}

// TestWorkerSessionShiftUnanswered has a broker that lives but doesn't say whether it
// heard of its lower share: others wait for that.
func TestWorkerSessionShiftUnanswered(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1}})
	b.dialed(2)
	b.on(0)
	for range 5 {
		require.Empty(t, workerOthers(b.pass(599*time.Millisecond)))
		b.heartbeat()
	}
	require.Equal(t, []string{"hangup", "mmi.register", "ready", "dial"}, workerOthers(b.pass(10*time.Millisecond)))
	require.ErrorIs(t, b.notes[len(b.notes)-1].Err, errUnanswered)
	require.Zero(t, b.notes[len(b.notes)-1].Broker)
}

// TestWorkerSessionShiftRefused has a broker refuse another share: it goes by the one
// that it knows, and the other one gets what it must.
func TestWorkerSessionShiftRefused(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 4}})
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1}})
	b.dialed(2)
	b.on(0)
	b.greedy = true
	require.Equal(t, []string{"mmi.register", "ready"}, workerKinds(b.refuse(jsonrpc.CodeInvalidParams)))
	require.Equal(t, 1, b.conns[2].offers[0].Capacity)
	require.Equal(t, 1, b.notesWith("stays what it was"))
	require.Equal(t, 4, b.link().share.size)
	require.NotContains(t, workerKinds(b.pass(5*time.Second)), "mmi.register", "it isn't asked over and over")
	b.refuse(jsonrpc.CodeInvalidParams)
	require.Equal(t, 1, b.notesWith("stays what it was"), "nobody asked")
}

// TestWorkerSessionShareOfDrainingBroker has a broker that drains give up what it
// doesn't need any more.
func TestWorkerSessionShareOfDrainingBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 16}})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	w.stepBroker(w.brokers[0], &Event{Kind: Drain})
	w.fill(1, 100)
	w.pass(time.Second)
	require.Equal(t, []int{2, 14}, n.sizes())
	require.Len(t, n.running, 15)
	require.Empty(t, n.causes)
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[id])
	require.True(t, w.brokers[0].drained)

	// One that drains takes no larger share.
	w.crash(0)
	w.boot(0)
	for len(n.running) > 0 {
		n.replyAll()
		w.pass(workerTick)
	}
	w.pass(time.Minute)
	before := n.sizes()[0]
	for range 2 * before {
		w.tell(0, "tea", "opaque")
	}
	w.stepBroker(w.brokers[0], &Event{Kind: Drain})
	w.pass(time.Second)
	require.Equal(t, before, n.sizes()[0])
	require.Len(t, n.running, before)
}

func workerViews(s *WorkerSession) (phases []WorkerPhase) {
	for _, v := range s.View() {
		phases = append(phases, v.Phase)
	}
	return phases
}

// TestWorkerSessionBrokersChange has brokers come and go by discovery.
func TestWorkerSessionBrokersChange(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: -1, Registration: Registration{Capacity: 4}})
	known := func(brokers ...int) []string {
		return workerKinds(b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: brokers}))
	}
	require.Zero(t, b.s.NextWake(), "it waits for brokers")
	require.Empty(t, known())
	require.Equal(t, []string{"dial", "dial"}, known(3, 1))
	require.Empty(t, known(1, 3))
	require.Equal(t, []string{"hangup"}, known(1), "the dial is given up")
	require.Equal(t, []string{"hangup"}, workerKinds(b.dialed(1)))
	b.on(1)
	b.serve()
	j := b.run(workerAsk{token: 1})
	require.Empty(t, known(), "one that works is kept")
	require.True(t, b.s.Uses(1))
	require.False(t, b.s.Uses(3))
	require.Equal(t, []WorkerPhase{WorkerServes}, workerViews(b.s))
	b.reply(j, true, "x")
	require.Equal(t, []string{"hangup"}, workerKinds(b.cut(2)))
	require.Empty(t, b.pass(time.Hour), "and isn't dialled again")
	require.Empty(t, b.s.View())
	require.False(t, b.s.Uses(1))
	require.Equal(t, []string{"dial"}, known(1))
	b.dialFailed(3)
	require.Empty(t, known(), "nor one that waited")
	require.Empty(t, b.pass(time.Hour))
	require.Equal(t, []string{"dial"}, known(1))
	b.serve()
	require.Empty(t, known())
	require.Empty(t, known(1), "it is back")
	b.cut(4)
	require.Equal(t, []string{"dial"}, workerKinds(b.pass(time.Second)))
	b.beginDrain()
	require.Equal(t, 1, b.finished)
	require.Empty(t, known(1, 2, 3))
}

func TestWorkerSessionDrainsWithoutBrokers(t *testing.T) {
	t.Parallel()
	for _, end := range []func(*workerBed) []WorkerAction{(*workerBed).beginDrain, (*workerBed).stop} {
		b := newWorkerBed(t, WorkerConfig{Brokers: -1})
		require.Equal(t, []string{"finished"}, workerKinds(end(b)))
	}
}

// TestWorkerSessionDrainsEverywhere drains a worker that has work of several brokers.
func TestWorkerSessionDrainsEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 9}})
	w.pass(workerTick)
	first, second := w.ask(0, "tea.pour", ""), w.ask(1, "tea.pour", "")
	w.pass(workerTick)
	n.step(&WorkerEvent{Kind: WorkerDrain})
	w.pass(workerTick)
	require.Len(t, n.s.links, 2, "the idle one is left at once")
	w.ask(0, "tea.pour", "")
	n.reply(n.running[0])
	w.pass(time.Minute)
	require.False(t, n.finished)
	require.Len(t, n.running, 1)
	n.reply(n.running[0])
	w.pass(workerTick)
	require.True(t, n.finished)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[first])
	require.Equal(t, []string{"result"}, w.brokers[1].outcomes[second])
	require.Empty(t, n.causes)
}

// TestWorkerSessionWasStopped has the process stand still for longer than the broker
// may be silent: what the broker sent meanwhile is still to be read.
func TestWorkerSessionWasStopped(t *testing.T) {
	t.Parallel()
	cfg := WorkerConfig{HeartbeatInterval: time.Second, Liveness: 3}
	stopped := func() *workerBed {
		b := newServingWorker(t, cfg)
		b.run(workerAsk{token: 1})
		b.pass(500 * time.Millisecond)
		b.now = b.now.Add(time.Minute)
		require.Equal(t, []string{"heartbeat"}, workerKinds(b.wake()), "the broker gets an interval more")
		return b
	}
	b := stopped()
	require.Empty(t, workerOthers(b.pass(900*time.Millisecond)))
	b.heartbeat()
	require.Empty(t, workerOthers(b.pass(2900*time.Millisecond)))
	require.Equal(t, []string{"hangup", "cancel", "dial"}, workerOthers(b.pass(200*time.Millisecond)))

	b = stopped()
	require.Empty(t, workerOthers(b.pass(999*time.Millisecond)))
	require.Equal(t, []string{"hangup", "cancel", "dial"}, workerOthers(b.pass(2*time.Millisecond)), "but no more than that")

	joining := newWorkerBed(t, cfg)
	joining.dialed(1)
	joining.now = joining.now.Add(time.Minute)
	require.Equal(t, []string{"heartbeat"}, workerKinds(joining.wake()))
	require.Equal(t, []string{"accepted"}, workerKinds(joining.answer(1, &Registered{})), "the answer had come")

	late := newServingWorker(t, cfg)
	late.pass(900 * time.Millisecond)
	late.heartbeat()
	late.pass(2 * time.Second)
	late.now = late.now.Add(1050 * time.Millisecond) // alarms at 3 s and 3.9 s
	require.Equal(t, []string{"hangup"}, workerKinds(late.wake()), "a little late is late all the same")
}

// TestWorkerSessionPlainBrokers has plain brokers, which can't be told that there is no
// room: no more of them are told READY than there are slots.
func TestWorkerSessionPlainBrokers(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Speak: SpeakMDP02, Registration: Registration{Capacity: 2}})
	n.work = time.Millisecond
	w.pass(workerTick)
	require.Equal(t, 2, n.accepted)
	require.Equal(t, []WorkerPhase{WorkerServes, WorkerServes, WorkerConnects}, workerViews(n.s))
	w.crash(0)
	w.pass(workerTick)
	require.Equal(t, 3, n.accepted, "it stood by")
	for range 10 {
		w.ask(2, "tea.brew", "")
	}
	w.pass(time.Second)
	require.Len(t, w.brokers[2].outcomes, 10)
	n.step(&WorkerEvent{Kind: WorkerDrain})
	require.True(t, n.finished)
}

// TestWorkerSessionPlainAmongOthers has one broker that turns out to be plain: it gets
// one slot, the other the rest.
func TestWorkerSessionPlainAmongOthers(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 2, Registration: Registration{Capacity: 8}})
	b.dialed(1)
	b.dialed(2)
	b.on(0)
	b.mmi("501")
	b.on(1)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	for token := range uint64(4) {
		b.run(workerAsk{token: token + 1})
	}
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.pass(50*time.Millisecond)))
	require.Equal(t, 7, b.conns[2].offers[1].Capacity)
	v := b.s.View()
	require.True(t, v[0].Plain)
	require.Equal(t, 1, v[0].Share)
	require.Equal(t, WorkerView{Broker: 1, Phase: WorkerServes, ID: "b", Incarnation: "1", Share: 7, Running: 4}, v[1])
}

// TestWorkerSessionNamesItsBroker has notes, and the view, say which broker it is.
func TestWorkerSessionNamesItsBroker(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 3})
	b.dialFailed(2)
	require.Equal(t, 1, b.lastNote().Broker)
	b.on(2)
	b.dialed(3)
	b.command(mdp.Command{Kind: mdp.Disconnect})
	require.Equal(t, 2, b.lastNote().Broker)
	v := b.s.View()
	require.NoError(t, v[0].Trouble)
	require.ErrorIs(t, v[1].Trouble, errWorkerCut)
	require.ErrorIs(t, v[2].Trouble, errDisconnected)
	require.Equal(t, []WorkerPhase{WorkerConnects, WorkerWaits, WorkerWaits}, workerViews(b.s))
	b.pass(time.Second)
	b.on(1)
	b.serve()
	require.NoError(t, b.s.View()[1].Trouble, "it is over")
}

// TestWorkerSessionDrainedByOperator has an operator drain the worker at one of its
// brokers: as soon as it hears of that the others get all of its capacity.
func TestWorkerSessionDrainedByOperator(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{}, Config{})
	n := w.add(WorkerConfig{Registration: Registration{Capacity: 18}})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	w.stepBroker(w.brokers[0], &Event{Kind: Operate, Operation: &Operation{Name: mdp.MMIDrain, Worker: "w0"}})
	w.fill(1, 100)
	w.fill(2, 100)
	w.pass(time.Second)
	require.Zero(t, n.sizes()[0])
	require.Len(t, n.running, 18, "what runs there takes its slot")
	require.Equal(t, []WorkerPhase{WorkerLeaves, WorkerServes, WorkerServes}, workerViews(n.s))
	n.reply(n.running[0])
	w.pass(time.Second)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[id])
	require.Equal(t, []int{0, 9, 9}, n.sizes())
	require.Len(t, n.running, 18)

	told := n.told()
	w.crash(2)
	for len(n.running) > 0 {
		n.replyAll()
		w.pass(workerTick)
	}
	w.pass(time.Second)
	require.Zero(t, n.sizes()[0], "nothing moves there")
	w.fill(1, 30)
	w.pass(time.Second)
	require.Less(t, n.told(), told+10)
	n.replyAll()
	w.pass(time.Second)

	// The drain is the connection's.
	w.crash(0)
	w.boot(0)
	w.pass(time.Minute)
	require.Equal(t, WorkerServes, workerViews(n.s)[0])
	require.Positive(t, n.sizes()[0])
}

// TestWorkerSessionJoinsDrained has a broker say so with its first answer.
func TestWorkerSessionJoinsDrained(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Registration: Registration{Capacity: 4}})
	b.dialed(1)
	a := b.answer(1, &Registered{Broker: "b", Incarnation: "1", Draining: true})
	require.Equal(t, []string{"accepted", "mmi.register"}, workerKinds(a))
	require.Zero(t, b.conns[1].offers[1].Capacity)
	require.Equal(t, 1, b.notesWith("an operator drained"))
	require.Equal(t, []WorkerPhase{WorkerLeaves}, workerViews(b.s))
	b.answer(1, &Registered{Broker: "b", Incarnation: "1", Draining: true})
	require.Equal(t, 1, b.notesWith("an operator drained"))
	require.Empty(t, b.pass(2*time.Second))
}

// TestWorkerSessionDrainedAndSilent has a broker that drained the worker not answer that it
// is to hand over nothing. It wouldn't anyway, so nobody waits for it.
func TestWorkerSessionDrainedAndSilent(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 3, Registration: Registration{Capacity: 8}})
	b.dialed(1)
	b.last = 1
	var jobs []*Job
	for token := range uint64(3) {
		jobs = append(jobs, b.run(workerAsk{token: token + 1}))
	}
	b.answer(1, &Registered{Broker: "a", Incarnation: "1", Draining: true})
	require.Zero(t, b.conns[1].offers[1].Capacity)
	b.dialed(2)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	token := uint64(100)
	fill := func(capacity int) {
		c := b.conns[2]
		require.Equal(t, capacity, c.offers[len(c.offers)-1].Capacity)
		for ; len(c.owed) < capacity; token++ {
			b.run(workerAsk{token: token})
		}
	}
	fill(3) // the third broker may come
	b.pass(100 * time.Millisecond)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	fill(5)
	b.pass(100 * time.Millisecond)

	// What ends there is another's at once.
	b.last = 1
	b.reply(jobs[0], true, "x")
	b.last = 2
	b.pass(100 * time.Millisecond)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	fill(6)

	// And a broker that comes is told of the worker, though there is no room.
	b.dialed(3)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	b.pass(100 * time.Millisecond)
	b.answer(2, &Registered{Broker: "b", Incarnation: "1"})
	require.NotEmpty(t, b.conns[3].offers)
}
