package majordomo

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// clientDice is a source of randomness that any bits of can be used of.
func clientDice() func() uint64 {
	w := &clientWorld{random: 1}
	return w.next
}

// clientShares makes calls one after the other, each of which takes the time of its
// broker, and returns how many each broker had.
func clientShares(b *clientBed, n int, took func(broker int) time.Duration) map[int]int {
	shares := make(map[int]int)
	for range n {
		c := &Call{}
		b.call(c)
		broker := b.conns[b.calls[c].conn].broker
		shares[broker]++
		b.now = b.now.Add(took(broker))
		b.result(c, "1")
	}
	return shares
}

func TestClientChoosesOfTwo(t *testing.T) {
	t.Parallel()
	t.Run("all the same", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 3, Random: clientDice()})
		for broker, n := range clientShares(b, 300, func(int) time.Duration { return time.Millisecond }) {
			require.InDelta(t, 100, n, 30, "broker %d", broker)
		}
	})
	t.Run("what is outstanding", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 3, Random: clientDice()})
		for range 300 {
			b.call(&Call{})
		}
		for _, l := range b.s.serving {
			require.InDelta(t, 100, l.out.n, 5)
		}
	})
	t.Run("a slow one gets little", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 3, Random: clientDice(), HeartbeatInterval: time.Hour})
		shares := clientShares(b, 3000, func(broker int) time.Duration {
			if broker == 2 {
				return 100 * time.Millisecond
			}
			return time.Millisecond
		})
		require.Less(t, shares[2], 30)
		require.Positive(t, shares[2])
	})
	t.Run("a slow one gets another chance", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 2, Random: clientDice(), HeartbeatInterval: time.Hour})
		slow := true
		took := func(broker int) time.Duration {
			if broker == 1 && slow {
				return time.Second
			}
			return time.Millisecond
		}
		clientShares(b, 1000, took)
		slow = false
		b.now = b.now.Add(20 * time.Second)
		for range 8 { // at the same time: only one of them is a trial
			b.call(&Call{})
		}
		require.LessOrEqual(t, b.s.link(b.to(1)).out.n, 4)
		b.now = b.now.Add(20 * time.Second)
		shares := clientShares(b, 20_000, took)
		require.Greater(t, shares[1], 5000, "it is as good as the other one")
	})
	t.Run("one that stands still gets no more", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 2, Random: clientDice(), HeartbeatInterval: time.Hour})
		clientShares(b, 100, func(int) time.Duration { return time.Millisecond })
		var there int
		for range 1000 {
			c := &Call{}
			b.call(c)
			b.now = b.now.Add(10 * time.Millisecond)
			if b.conns[b.calls[c].conn].broker == 1 {
				there++
				continue
			}
			b.result(c, "1")
		}
		require.Less(t, there, 12, "it says nothing")
	})
	t.Run("one that only refuses draws nothing", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 2, Random: clientDice(), HeartbeatInterval: time.Hour, RetryBudget: 1})
		refused := 0
		for range 1000 {
			c := &Call{}
			b.call(c)
			if b.conns[b.calls[c].conn].broker == 1 {
				refused++
				b.refuse(c, jsonrpc.CodeNoWorker, clientUntouched)
				require.Equal(t, 0, b.conns[b.calls[c].conn].broker, "at once at the other one")
			}
			b.now = b.now.Add(time.Millisecond)
			b.result(c, "1")
			b.succeeded(c, "1")
		}
		require.Less(t, refused, 20)
	})
	t.Run("a new one isn't flooded", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, ClientConfig{Brokers: 2, Random: clientDice(), HeartbeatInterval: time.Hour})
		clientShares(b, 100, func(int) time.Duration { return 50 * time.Millisecond })
		for range 50 {
			b.call(&Call{})
		}
		b.pass(6 * time.Second)
		b.serveOn(b.to(1), "1")
		for range 50 {
			b.call(&Call{})
		}
		require.LessOrEqual(t, b.s.link(b.to(1)).out.n, 51)
		require.Positive(t, b.s.link(1).out.n)
	})
}

// One that serves costs no draw.
func TestClientDrawsNothingForOne(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Random: func() uint64 { panic("drawn") }})
	clientShares(b, 10, func(int) time.Duration { return time.Millisecond })
}

func TestClientMeasures(t *testing.T) {
	t.Parallel()
	l := new(clientLink)
	l.measure(80*time.Millisecond, 0)
	require.Equal(t, 80*time.Millisecond, l.latency, "the first counts whole")
	l.measure(160*time.Millisecond, time.Second)
	require.Equal(t, 90*time.Millisecond, l.latency)
	require.Equal(t, 90*time.Millisecond, l.remembered(time.Second))
	require.Equal(t, 45*time.Millisecond, l.remembered(2*time.Second))
	require.Zero(t, l.remembered(1000*time.Hour))
	l.out.n = 1
	require.Equal(t, 90*time.Millisecond, l.remembered(time.Hour), "it is in use")
	l.measure(time.Hour, time.Second)
	require.Less(t, l.latency, latencyMost)
	l.measure(0, time.Second)
	require.Positive(t, l.latency)

	leg := &callLeg{at: 0}
	l = &clientLink{latency: time.Second}
	l.gaveUp(leg, 500*time.Millisecond)
	require.Equal(t, time.Second, l.latency, "nobody knows how long it would have taken")
	l.gaveUp(leg, 9*time.Second)
	require.Equal(t, 2*time.Second, l.latency)
	l.replied(leg, time.Hour, 10*time.Second)
	require.Equal(t, 2*time.Second, l.latency, "once for a request")
}

// A call that a broker has no worker or room for goes to the others at once, and to
// each of them once.
func TestClientAsksTheOthers(t *testing.T) {
	t.Parallel()
	for _, code := range []int{jsonrpc.CodeNoService, jsonrpc.CodeNoWorker, jsonrpc.CodeOverloaded} {
		b := newFullClient(t, ClientConfig{Brokers: 3, Random: clientDice()})
		c := &Call{}
		b.call(c)
		asked := []int{b.conns[b.calls[c].conn].broker}
		for range 2 {
			require.Equal(t, []string{"send"}, clientKinds(b.refuse(c, code, clientUntouched)))
			asked = append(asked, b.conns[b.calls[c].conn].broker)
		}
		slices.Sort(asked)
		require.Equal(t, []int{0, 1, 2}, asked)
		require.EqualValues(t, 2, b.s.counts.Retries)
		require.InDelta(t, 8, b.s.tokens, 0.2, "it counts against the budget")
		b.refuse(c, code, clientUntouched)
		if code == jsonrpc.CodeNoService {
			b.failed(c, code)
			continue
		}
		require.Equal(t, callBacking, c.progress.state)
		b.pass(time.Second)
		require.Equal(t, 4, b.calls[c].sends)
	}
	b := newFullClient(t, ClientConfig{Brokers: 2, RetryReserve: 1, RetryBudget: 0.001, Random: clientDice()})
	b.s.tokens = 0
	c := &Call{}
	b.call(c)
	b.refuse(c, jsonrpc.CodeNoService, clientUntouched)
	b.failed(c, jsonrpc.CodeNoService)

	// One that is being connected may know the service.
	b = newServedClient(t, ClientConfig{Brokers: 2})
	c = &Call{}
	b.call(c)
	b.refuse(c, jsonrpc.CodeNoService, clientUntouched)
	require.False(t, b.calls[c].done)
	b.serveOn(2, "1")
	b.pass(time.Second)
	b.result(c, "1")
	b.succeeded(c, "1")
}

func TestClientFailsOverAtOnce(t *testing.T) {
	t.Parallel()
	b := newFullClient(t, ClientConfig{Brokers: 3, Random: clientDice()})
	first := func(like Call) *Call { // a call that was sent to the first broker
		for {
			c := like
			b.call(&c)
			if b.conns[b.calls[&c].conn].broker == 0 {
				return &c
			}
		}
	}
	once, again, keyed := first(Call{}), first(Call{Idempotent: true}), first(Call{Key: "k"})
	before := b.s.pending
	require.Subset(t, clientKinds(b.cut(1)), []string{"done", "send"})
	require.Less(t, b.s.pending, before)
	require.Equal(t, HandedMaybe, b.failed(once, jsonrpc.CodeBrokerLost).HandedOver)
	require.Equal(t, 2, b.calls[again].sends)
	require.False(t, b.calls[keyed].done)
	b.result(again, "1")
	b.succeeded(again, "1")

	// It takes no calls until it has answered.
	for range 20 {
		b.call(&Call{})
	}
	b.pass(101 * time.Millisecond)
	b.dialed(b.to(0))
	for range 20 {
		b.call(&Call{})
	}
	require.Zero(t, b.s.link(b.to(0)).out.n)
	b.pong(b.to(0), "2", false)
	for range 20 {
		b.call(&Call{})
	}
	require.Positive(t, b.s.link(b.to(0)).out.n)
	b.failed(keyed, jsonrpc.CodeOutcomeUnknown)
}

func TestClientSameBrokerTwice(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Brokers: 2, HeartbeatInterval: time.Hour})
	b.wake()
	b.dialed(1)
	b.dialed(2)
	b.pongOf(1, "b", "1", false)
	a := b.pongOf(2, "b", "1", false)
	require.Equal(t, []string{"hangup"}, clientKinds(a), "one connection to a broker is enough")
	require.ErrorIs(t, b.s.known[1].trouble, errSameBroker)
	b.pass(29 * time.Second)
	require.EqualValues(t, 2, b.last)
	b.pass(time.Second + time.Millisecond)
	require.EqualValues(t, 3, b.last, "it is looked at now and then")
	b.dialed(3)
	b.pongOf(3, "b", "1", false)

	c := &Call{Key: "k"}
	b.call(c)
	require.Equal(t, []string{"dial"}, clientKinds(b.cut(1)), "the other endpoint, at once")
	require.Equal(t, 1, b.conns[b.last].broker)
	b.dialed(b.last)
	require.Equal(t, []string{"send"}, clientKinds(b.pongOf(b.last, "b", "1", false)), "it is the run that knows the key")
	b.result(c, "1")
	b.succeeded(c, "1")

	nameless := newClientBed(t, ClientConfig{Brokers: 2})
	nameless.wake()
	for conn := range uint64(2) {
		nameless.dialed(conn + 1)
		nameless.pongOf(conn+1, "", "", false)
	}
	require.Len(t, nameless.s.serving, 2, "nobody knows who they are")
}

func TestClientPlaces(t *testing.T) {
	t.Parallel()
	brokers := func(b *clientBed) (all []int) {
		for _, l := range b.s.links {
			all = append(all, l.broker.number)
		}
		slices.Sort(all)
		return all
	}
	t.Run("drawn at random", func(t *testing.T) {
		t.Parallel()
		drawn := make(map[int]bool)
		dice := clientDice()
		for range 50 {
			b := newClientBed(t, ClientConfig{Brokers: 10, MaxBrokers: 3, Random: dice})
			b.wake()
			require.Len(t, brokers(b), 3)
			for _, n := range brokers(b) {
				drawn[n] = true
			}
		}
		require.Len(t, drawn, 10)
	})
	t.Run("16 by default", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, ClientConfig{Brokers: 100, Random: clientDice()})
		b.wake()
		require.Len(t, brokers(b), 16)
	})
	t.Run("one that fails gives way", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, ClientConfig{Brokers: 5, MaxBrokers: 2, Random: clientDice()})
		b.wake()
		tried := make(map[int]bool)
		for range 5 {
			l := b.s.links[0]
			tried[l.broker.number] = true
			b.dialFailed(l.conn)
		}
		require.Len(t, tried, 5, "all are tried before one is again")
		b.pass(time.Second)
		require.Len(t, brokers(b), 2)
	})
	t.Run("changed", func(t *testing.T) {
		t.Parallel()
		b := newLonelyClient(t, ClientConfig{MaxBrokers: 2, Random: clientDice()})
		require.Zero(t, b.s.NextWake())
		require.Equal(t, []string{"dial"}, clientKinds(b.brokersAre(7)))
		b.serveOn(1, "1")
		require.Empty(t, clientKinds(b.brokersAre(7, 7)))
		require.Equal(t, []string{"dial"}, clientKinds(b.brokersAre(8)), "7 is gone, and works on")
		require.Equal(t, []int{7, 8}, brokers(b))
		require.Equal(t, []string{"hangup"}, clientKinds(b.brokersAre()), "what wasn't connected is forgotten")
		require.Equal(t, []int{7}, brokers(b))

		out := &Call{}
		b.call(out)
		b.brokersAre(1, 2)
		b.serveOn(b.to(1), "1")
		require.Len(t, b.s.serving, 2)
		b.serveOn(b.to(2), "1")
		require.Len(t, b.s.serving, 2, "what is gone leaves when there is no room for it")
		require.Equal(t, linkRetiring, b.s.link(1).state)
		require.Equal(t, []string{"done", "hangup"}, clientKinds(b.result(out, "1")))
		require.Nil(t, b.s.known[7])
	})
	t.Run("gone and back", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{Brokers: 1})
		b.brokersAre()
		b.brokersAre(0)
		require.Len(t, b.s.links, 1)
		b.brokersAre()
		b.cut(1)
		require.Empty(t, b.s.known, "it isn't dialled again")
		require.Zero(t, b.s.NextWake())
		require.Equal(t, []string{"dial"}, clientKinds(b.brokersAre(0)))
	})
	t.Run("after the end", func(t *testing.T) {
		t.Parallel()
		b := newFullClient(t, ClientConfig{})
		b.step(&ClientEvent{Kind: ClientClose})
		require.Empty(t, b.brokersAre(0, 1, 2))
	})
}

func TestClientSaysWhatItLookedFor(t *testing.T) {
	t.Parallel()
	fail := func(b *clientBed) *Failure {
		c := &Call{Deadline: b.now.Add(time.Millisecond)}
		b.call(c)
		b.pass(2 * time.Millisecond)
		return b.failed(c, jsonrpc.CodeExpired)
	}
	b := newLonelyClient(t, ClientConfig{Random: clientDice()})
	require.Contains(t, fail(b).Text, "no broker serves: none is known")
	errLost := errors.New("the network has no multicast")
	b.step(&ClientEvent{Kind: ClientBrokers, Err: errLost})
	f := fail(b)
	require.Contains(t, f.Text, "brokers can't be found: the network has no multicast")
	require.ErrorIs(t, f.Cause, errLost)
	require.ErrorIs(t, b.s.Snapshot(b.now).Finding, errLost)

	long := strings.Repeat("é", 1000)
	b = newLonelyClient(t, ClientConfig{
		Brokers: 100, MaxBrokers: 100, Random: clientDice(), Address: func(broker int) string { return "tcp://b" + clientNumber(uint64(broker)) },
	})
	b.wake()
	for conn := range uint64(100) {
		b.conns[conn+1].over = true
		b.step(&ClientEvent{Kind: ClientDialFailed, Conn: conn + 1, Err: errors.New(long)})
	}
	f = fail(b)
	require.Contains(t, f.Text, "tcp://b0: é")
	require.Contains(t, f.Text, "; and 92 more")
	require.Less(t, len(f.Text), 2000)
	require.Equal(t, strings.ToValidUTF8(f.Text, "?"), f.Text)
}

func TestClientSnapshot(t *testing.T) {
	t.Parallel()
	b := newFullClient(t, ClientConfig{Brokers: 5, MaxBrokers: 4, HeartbeatInterval: time.Hour})
	out := make(map[int]*Call)
	for range 8 {
		c := &Call{}
		b.call(c)
		out[b.conns[b.calls[c].conn].broker] = c
	}
	stays := b.s.serving[0].broker.number
	b.refuse(out[stays], jsonrpc.CodeDraining, clientUntouched)
	b.cut(b.s.serving[0].conn)
	b.now = b.now.Add(time.Second)
	standing := make(map[ClientStanding]int)
	for _, v := range b.s.Snapshot(b.now).Brokers {
		standing[v.Standing]++
		if v.Standing == ClientServing {
			require.NotEmpty(t, v.ID)
			require.Equal(t, "1", v.Incarnation)
			require.Equal(t, time.Second, v.Silent)
			require.NoError(t, v.Trouble)
		}
	}
	require.Equal(t, 2, standing[ClientServing])
	require.Equal(t, 6, standing[ClientServing]+standing[ClientDialing]+standing[ClientProbing]+
		standing[ClientRetiring]+standing[ClientResting]+standing[ClientSpare])
	require.Equal(t, 1, standing[ClientRetiring])
	require.Equal(t, b.s.counts, b.s.Snapshot(b.now).Counts)
}

// A process that was stopped has heard nothing, and that is no fault of its brokers.
func TestClientWasStopped(t *testing.T) {
	t.Parallel()
	second := ClientConfig{HeartbeatInterval: time.Second}
	stop := func(b *clientBed, d time.Duration) []ClientAction {
		b.now = b.now.Add(d)
		return b.wake()
	}
	t.Run("serving", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		c := &Call{}
		b.call(c)
		require.Equal(t, []string{"send"}, clientKinds(stop(b, time.Minute)), "it is asked for a sign of life")
		b.pass(500 * time.Millisecond)
		b.pong(1, "1", false)
		b.pass(2 * time.Second)
		require.EqualValues(t, 1, b.last)
		b.result(c, "1")
		b.succeeded(c, "1")
	})
	t.Run("and the broker is silent", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		stop(b, time.Minute)
		require.Empty(t, clientKinds(b.pass(999*time.Millisecond)))
		require.Contains(t, clientKinds(b.pass(time.Millisecond)), "hangup", "one more interval, and no more")
		require.ErrorIs(t, b.s.known[0].trouble, ErrBrokerSilent)
	})
	t.Run("a little late is no excuse", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		b.pass(2900 * time.Millisecond)
		require.Contains(t, clientKinds(stop(b, 900*time.Millisecond)), "hangup")
	})
	t.Run("probing", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, second)
		b.wake()
		b.dialed(1)
		require.Empty(t, clientKinds(stop(b, time.Minute)))
		b.pong(1, "1", false)
		require.Len(t, b.s.serving, 1)
	})
	t.Run("dialling", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, second)
		b.wake()
		require.Empty(t, clientKinds(stop(b, time.Minute)))
		b.serveOn(1, "1")
		require.Len(t, b.s.serving, 1)
	})
}

func TestClientPresence(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{HeartbeatInterval: time.Second, Presence: []byte(`{"instance":"c1","pid":7}`)})
	require.Equal(t, 1, b.conns[1].present)
	b.pass(1500 * time.Millisecond)
	b.pong(1, "1", false)
	require.Equal(t, 1, b.conns[1].present, "once for each connection")
	b.cut(1)
	b.pass(time.Second)
	b.serve("1")
	require.Equal(t, 1, b.conns[2].present)
}

// A broker of mesh is asked what a plain one wouldn't understand.
func TestClientManagementOfOneOfTwo(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Brokers: 2, Random: clientDice()})
	b.wake()
	b.dialed(1)
	b.dialed(2)
	b.reply(1, mdp.ClientFinal, mdp.MMIPing, "501")
	b.pong(2, "1", false)
	for range 10 {
		c := &Call{Service: []byte(mdp.MMIStatus), Method: mdp.MMIStatus}
		b.call(c)
		require.EqualValues(t, 2, b.calls[c].conn)
		b.result(c, "{}")
	}
}
