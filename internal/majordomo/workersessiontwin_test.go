package majordomo

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// TestWorkerSessionTwins has two addresses lead to the same broker.
func TestWorkerSessionTwins(t *testing.T) {
	t.Parallel()
	same := &Registered{Broker: "b", Incarnation: "1"}
	b := newWorkerBed(t, WorkerConfig{Brokers: 2, Registration: Registration{Capacity: 4}})
	b.dialed(1)
	b.dialed(2)
	b.answer(1, same)
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.answer(2, same)), "it is left")
	require.Len(t, b.accepted, 1)
	require.Equal(t, 1, b.notesWith("over another address"))
	require.Zero(t, b.conns[2].offers[1].Capacity)
	b.on(1)
	j := b.run(workerAsk{token: 1})
	b.answer(2, same)
	require.Equal(t, []string{"worker final", "disconnect", "hangup"}, workerKinds(b.reply(j, true, "x")), "what was handed over is served")
	require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
	b.answer(1, same)
	b.pass(50 * time.Millisecond)
	b.answer(1, same)
	b.on(0)
	for range 14 {
		require.NotContains(t, workerKinds(b.pass(time.Second)), "dial")
		b.heartbeat()
	}
	require.Equal(t, 4, b.link().share.size, "it has the whole capacity")

	require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.cut(1)), "now the other address is tried")
	require.Equal(t, 1, b.conns[b.last].broker)
	b.dialed(3)
	b.answer(3, same)
	b.pass(time.Second)
	b.on(0)
	b.dialed(4)
	b.answer(3, same)
	b.answer(4, same)
	b.answer(4, same)
	require.Equal(t, []WorkerPhase{WorkerStands, WorkerServes}, workerViews(b.s))
	b.beginDrain()
	b.answer(3, same)
	require.Equal(t, 1, b.finished)

	// Another run of it, or one that doesn't say which it is, is another broker.
	for _, other := range []*Registered{{Broker: "b", Incarnation: "2"}, {Broker: "c", Incarnation: "1"}, {Broker: "b"}} {
		b := newWorkerBed(t, WorkerConfig{Brokers: 2})
		b.dialed(1)
		b.dialed(2)
		b.answer(1, same)
		require.Contains(t, workerKinds(b.answer(2, other)), "accepted")
	}
}

// TestWorkerSessionTwinIsLost loses the first connection while the second is left, and
// the second one while it is.
func TestWorkerSessionTwinIsLost(t *testing.T) {
	t.Parallel()
	same := &Registered{Broker: "b", Incarnation: "1"}
	leaving := func() *workerBed {
		b := newWorkerBed(t, WorkerConfig{Brokers: 2, Registration: Registration{Capacity: 4}})
		b.dialed(1)
		b.dialed(2)
		b.answer(1, same)
		b.answer(2, same)
		return b
	}
	b := leaving()
	b.cut(1)
	require.Equal(t, []string{"disconnect", "hangup", "dial"}, workerKinds(b.answer(2, same)), "it is needed after all")

	b = leaving()
	require.Equal(t, []string{"hangup", "mmi.register"}, workerKinds(b.cut(2)), "the first one gets its share")
	require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
	b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0}})
	require.Equal(t, []WorkerPhase{WorkerServes}, workerViews(b.s), "nor known any more")
}

// newTwins returns a bed with two addresses of one broker, which is served at the first.
// The second one asks after a second, at the latest, who answers there.
func newTwins(t *testing.T) *workerBed {
	same := &Registered{Broker: "b", Incarnation: "1"}
	b := newWorkerBed(t, WorkerConfig{
		Brokers: 2, Registration: Registration{Capacity: 4}, RedialMin: time.Second, RedialMax: time.Second,
		Random: func() uint64 { return uint64(500*time.Millisecond) - 1 },
	})
	b.dialed(1)
	b.dialed(2)
	b.answer(1, same)
	b.answer(2, same)
	require.Equal(t, []string{"disconnect", "hangup", "mmi.register"}, workerKinds(b.answer(2, same)), "the first gets all of the capacity")
	b.answer(1, same)
	require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
	return b
}

// probe lets time pass until the second address is asked who answers there.
func (b *workerBed) probe() (conn uint64) {
	require.Equal(b.t, []string{"dial"}, workerOthers(b.pass(time.Second)))
	conn = b.dials
	require.Equal(b.t, 1, b.conns[conn].broker)
	require.Equal(b.t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
	require.Equal(b.t, []string{"mmi.ping"}, workerKinds(b.dialed(conn)), "no share is shifted for it")
	return conn
}

// TestWorkerSessionProbesTwin has an address be that of the same broker for long: it is
// asked for now and then, and costs nothing else.
func TestWorkerSessionProbesTwin(t *testing.T) {
	t.Parallel()
	b := newTwins(t)
	b.last = 1
	for range 5 {
		b.heartbeat()
		conn := b.probe()
		require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
		require.Equal(t, []string{"hangup"}, workerKinds(b.pong(conn, &Pong{Broker: "b", Incarnation: "1"})))
		require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
		b.last = 1
	}
	require.Equal(t, 4, b.link().share.size)
	require.Len(t, b.conns[1].offers, 2, "the broker is told nothing new")
}

// TestWorkerSessionTwinBecomesAnother has another broker answer at the second address,
// in each way in which it may.
func TestWorkerSessionTwinBecomesAnother(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*workerBed, uint64) []WorkerAction{
		"another broker": func(b *workerBed, conn uint64) []WorkerAction {
			return b.pong(conn, &Pong{Broker: "c", Incarnation: "1"})
		},
		"another run": func(b *workerBed, conn uint64) []WorkerAction {
			return b.pong(conn, &Pong{Broker: "b", Incarnation: "2"})
		},
		"one that drains": func(b *workerBed, conn uint64) []WorkerAction {
			return b.pong(conn, &Pong{Broker: "c", Incarnation: "1", Draining: true})
		},
		"one without an identity": func(b *workerBed, conn uint64) []WorkerAction { return b.pong(conn, &Pong{}) },
		"a plain one": func(b *workerBed, conn uint64) []WorkerAction {
			b.last = conn
			return b.ponged("501")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTwins(t)
			conn := b.probe()
			require.Equal(t, []string{"mmi.register"}, workerKinds(answer(b, conn)), "the first gives it a share")
			require.Equal(t, []string{"mmi.register", "ready"}, workerKinds(b.answer(1, &Registered{Broker: "b", Incarnation: "1"})))
			require.Equal(t, []string{"accepted"}, workerKinds(b.answer(conn, &Registered{Broker: "c", Incarnation: "1"})))
			require.Equal(t, []WorkerPhase{WorkerServes, WorkerServes}, workerViews(b.s))
			require.Equal(t, 2, b.conns[conn].offers[0].Capacity)
		})
	}
}

// TestWorkerSessionProbeFails has nobody say who answers at the second address: it is
// asked again later, and dialled at once when the first one is gone.
func TestWorkerSessionProbeFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]struct {
		how  func(*workerBed, uint64) []WorkerAction
		want []string
	}{
		"lost": {(*workerBed).cut, []string{"hangup"}},
		"disconnected": {func(b *workerBed, conn uint64) []WorkerAction {
			b.last = conn
			return b.command(mdp.Command{Kind: mdp.Disconnect})
		}, []string{"hangup"}},
		"unsent": {func(b *workerBed, conn uint64) []WorkerAction {
			return b.step(&WorkerEvent{Kind: WorkerUnsent, Conn: conn, Message: b.conns[conn].sends[0].AppendTo(nil), Err: errWorkerCut})
		}, []string{"hangup"}},
		"no answer": {func(b *workerBed, _ uint64) []WorkerAction {
			a := b.pass(4 * time.Second)
			b.last = 1
			b.heartbeat()
			return append(a, b.pass(3600*time.Millisecond)...)
		}, []string{"hangup"}},
		"rubbish": {func(b *workerBed, conn uint64) []WorkerAction {
			b.message(conn, []byte("rubbish"))
			b.last = conn
			b.heartbeat()
			return b.cut(conn)
		}, []string{"hangup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTwins(t)
			b.last = 1
			b.heartbeat()
			conn := b.probe()
			require.Equal(t, fail.want, workerOthers(fail.how(b, conn)))
			require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
			require.Error(t, b.s.View()[1].Trouble)
			b.last = 1
			b.heartbeat()
			conn = b.probe()
			b.pong(conn, &Pong{Broker: "b", Incarnation: "1"})
			require.NoError(t, b.s.View()[1].Trouble)
			require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.cut(1)))
			require.Equal(t, 1, b.conns[b.dials].broker)
		})
	}

	b := newTwins(t)
	b.last = 1
	b.heartbeat()
	require.Equal(t, []string{"dial"}, workerOthers(b.pass(time.Second)))
	require.Empty(t, workerKinds(b.dialFailed(b.dials)), "nor when it can't be reached at all")
	require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(b.s))
	require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.cut(1)))
}

// TestWorkerSessionTwinIsLostWhileProbed loses the first connection at each moment of a
// probe: the second one goes on as one that is needed.
func TestWorkerSessionTwinIsLostWhileProbed(t *testing.T) {
	t.Parallel()
	b := newTwins(t)
	require.Equal(t, []string{"dial"}, workerOthers(b.pass(time.Second)))
	require.Equal(t, []string{"hangup"}, workerKinds(b.cut(1)))
	require.Equal(t, []string{"mmi.register", "ready"}, workerKinds(b.dialed(b.dials)))

	b = newTwins(t)
	conn := b.probe()
	require.Equal(t, []string{"hangup", "mmi.register", "ready"}, workerKinds(b.cut(1)))
	require.Empty(t, workerKinds(b.pong(conn, &Pong{Broker: "b", Incarnation: "1"})), "it comes late")
	require.Equal(t, []string{"accepted"}, workerKinds(b.answer(conn, &Registered{Broker: "b", Incarnation: "1"})))
	require.Equal(t, 4, b.conns[conn].offers[0].Capacity)
}

// TestWorkerSessionEndsWhileProbing ends the session, or takes the address away, while it
// is asked who answers there.
func TestWorkerSessionEndsWhileProbing(t *testing.T) {
	t.Parallel()
	same := &Registered{Broker: "b", Incarnation: "1"}
	b := newTwins(t)
	b.probe()
	require.Equal(t, []string{"mmi.register", "hangup"}, workerKinds(b.beginDrain()))
	b.answer(1, same)
	require.Equal(t, 1, b.finished)

	b = newTwins(t)
	b.probe()
	require.Equal(t, []string{"disconnect", "hangup", "hangup", "finished"}, workerKinds(b.stop()))

	b = newTwins(t)
	b.probe()
	require.Equal(t, []string{"hangup"}, workerKinds(b.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0}})))
	require.Equal(t, []WorkerPhase{WorkerServes}, workerViews(b.s))
}

// TestWorkerSessionFindsEachBroker has addresses lead now to this broker, now to that
// one, while brokers crash and connections are cut. In the end each broker that an
// address leads to has the worker once.
func TestWorkerSessionFindsEachBroker(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const longest = 2 * time.Second
		brokers := rapid.IntRange(1, 3).Draw(t, "brokers")
		w := newWorkerWorld(t, make([]Config, brokers)...)
		broker := rapid.IntRange(0, brokers-1)
		w.leads = rapid.SliceOfN(broker, 1, 5).Draw(t, "leads")
		address := rapid.IntRange(0, len(w.leads)-1)
		n := w.add(WorkerConfig{Brokers: len(w.leads), RedialMax: longest, Registration: Registration{Capacity: 12}})
		cut := func(at int) {
			switch conn, p := n.conns[at], n.pipes[n.conns[at]]; {
			case p.over:
			case p.peer != nil:
				n.cut(conn)
			default:
				p.over = true
				n.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: conn, Err: errWorkerCut})
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"cut": func(t *rapid.T) { cut(address.Draw(t, "address")) },
			"redirect": func(t *rapid.T) {
				at := address.Draw(t, "address")
				w.leads[at] = broker.Draw(t, "broker")
				cut(at)
			},
			"crash": func(t *rapid.T) { w.crash(broker.Draw(t, "broker")) },
			"boot": func(t *rapid.T) {
				if at := broker.Draw(t, "broker"); !w.brokers[at].up {
					w.boot(at)
				}
			},
			"time": func(t *rapid.T) {
				w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 50, 1000, 5000}).Draw(t, "ms")) * time.Millisecond)
			},
		})
		for at, b := range w.brokers {
			if !b.up {
				w.boot(at)
			}
		}
		w.pass(2*longest + time.Second)
		dials := len(n.dials)
		for at, b := range w.brokers {
			workers := b.broker.Snapshot().Workers
			if !slices.Contains(w.leads, at) {
				require.Empty(t, workers)
				continue
			}
			require.Len(t, workers, 1, "broker %d, leads %v", at, w.leads)
			require.Positive(t, workers[0].Capacity)
		}
		w.pass(10 * longest)
		require.LessOrEqual(t, len(n.dials)-dials, len(w.leads)*20, "parked addresses are asked for too often")
	})
}

// TestWorkerSessionTwinGivesWay leaves the first of two addresses of a broker since others
// have the places: the second one stands back for nobody then.
func TestWorkerSessionTwinGivesWay(t *testing.T) {
	t.Parallel()
	left := 0
	for seed := range uint64(20) {
		w := newWorkerWorld(t, make([]Config, 3)...)
		w.leads = []int{0, 0, 1, 2}
		n := w.add(WorkerConfig{Brokers: 2, MaxBrokers: 2, RedialMax: time.Second, Random: workerRandom(seed), Registration: Registration{Capacity: 12}})
		w.pass(100 * time.Millisecond)
		require.Equal(t, []WorkerPhase{WorkerServes, WorkerStands}, workerViews(n.s))
		n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{1, 2, 3}})
		w.pass(100 * time.Millisecond)
		n.step(&WorkerEvent{Kind: WorkerBrokers, Brokers: []int{0, 1, 2, 3}}) // address 0 has no place, and is served
		for range 40 {
			w.pass(50 * time.Millisecond)
			for _, l := range slices.Concat(n.s.links, n.s.spares) {
				require.True(t, l.twin == nil || slices.Contains(n.s.links, l.twin), "it stands back for nobody")
			}
			if !slices.ContainsFunc(n.s.links, func(l *workerLink) bool { return l.broker == 0 }) {
				left++
			}
		}
		require.Equal(t, 2, workerPhaseCounts(n.s)[WorkerServes])
	}
	require.Positive(t, left)
}
