package majordomo

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

func TestClientConfig(t *testing.T) {
	t.Parallel()
	random := func() uint64 { return 0 }
	for name, cfg := range map[string]ClientConfig{
		"Brokers is":        {Random: random, Brokers: -1},
		"MaxBrokers":        {Random: random, MaxBrokers: -1},
		"Random":            {Brokers: 1},
		"Speak":             {Brokers: 1, Random: random, Speak: SpeakMDP01 + 1},
		"HeartbeatInterval": {Brokers: 1, Random: random, HeartbeatInterval: -1},
		"Liveness":          {Brokers: 1, Random: random, Liveness: -1},
		"DialTimeout":       {Brokers: 1, Random: random, DialTimeout: -1},
		"RedialMin":         {Brokers: 1, Random: random, RedialMin: -1},
		"RedialMax":         {Brokers: 1, Random: random, RedialMax: -1},
		"RetryMin":          {Brokers: 1, Random: random, RetryMin: -1},
		"RetryMax":          {Brokers: 1, Random: random, RetryMax: -1},
		"MaxAttempts":       {Brokers: 1, Random: random, MaxAttempts: -1},
		"RetryBudget":       {Brokers: 1, Random: random, RetryBudget: -1},
		"RetryReserve":      {Brokers: 1, Random: random, RetryReserve: -1},
		"MaxPending":        {Brokers: 1, Random: random, MaxPending: 1<<24 + 1},
		"MaxPendingBytes":   {Brokers: 1, Random: random, MaxPendingBytes: -1},
		"MaxUnreadBytes":    {Brokers: 1, Random: random, MaxUnreadBytes: -1},
	} {
		_, err := NewClientSession(cfg, time.Unix(0, 0))
		require.ErrorContains(t, err, "majordomo: ClientConfig."+name)
	}
	cfg, err := ClientConfig{Brokers: 2, Random: random}.withDefaults()
	require.NoError(t, err)
	cfg.Random = nil
	require.Equal(t, ClientConfig{
		Brokers: 2, MaxBrokers: 16, HeartbeatInterval: 2500 * time.Millisecond, Liveness: 3, DialTimeout: 5 * time.Second,
		RedialMin: 100 * time.Millisecond, RedialMax: 30 * time.Second, RetryMin: 20 * time.Millisecond, RetryMax: 2 * time.Second,
		MaxAttempts: 4, RetryBudget: 0.1, RetryReserve: 10, MaxPending: 10_000, MaxPendingBytes: 256 << 20, MaxUnreadBytes: 64 << 20,
	}, cfg)
}

func TestClientSpeak(t *testing.T) {
	t.Parallel()
	require.Equal(t, "mesh", SpeakMesh.String())
	require.Equal(t, "MDP/0.2", SpeakMDP02.String())
	require.Equal(t, "MDP/0.1", SpeakMDP01.String())
	require.Equal(t, "Speak(9)", Speak(9).String())
}

func TestClientConnects(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{})
	require.Equal(t, b.now, b.s.NextWake(), "the session asks to be woken to dial")
	c := &Call{}
	require.Equal(t, []string{"dial"}, clientKinds(b.call(c)))
	ping := b.dialed(1)
	require.Equal(t, []string{"send"}, clientKinds(ping), "the call waits for the pong")
	require.JSONEq(t, `{"jsonrpc":"2.0","id":32768,"method":"mmi.ping","meta":{}}`, b.sent(ping))
	require.Empty(t, b.dialed(1), "told twice")
	call := b.pong(1, "1", false)
	require.Equal(t, []string{"send"}, clientKinds(call))
	require.JSONEq(t, `{"jsonrpc":"2.0","id":32769,"method":"tea.brew","meta":{"attempt":1}}`, b.sent(call))
	require.Equal(t, []string{"done"}, clientKinds(b.result(c, `{"cups":1}`)))
	b.succeeded(c, `{"cups":1}`)
}

func TestClientDialsAll(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Brokers: 3, Random: func() uint64 { return 1<<64 - 1 }})
	require.Equal(t, []string{"dial", "dial", "dial"}, clientKinds(b.wake()))
	for broker := range 3 {
		require.Equal(t, broker, b.conns[uint64(broker+1)].broker)
	}
	b.serveOn(2, "1")
	b.dialFailed(1)
	b.dialFailed(3)
	require.EqualValues(t, 3, b.last, "each after a wait of its own")
	at := backoff(b.cfg.RedialMin, b.cfg.RedialMax, 0, b.cfg.Random)
	b.pass(at - time.Millisecond)
	require.EqualValues(t, 3, b.last)
	b.pass(2 * time.Millisecond)
	require.EqualValues(t, 5, b.last)
	b.serveOn(b.to(0), "1")
	b.dialFailed(b.to(2))
	// The waits of those that failed again have doubled.
	b.cut(b.to(0))
	b.cut(b.to(1))
	for broker, failures := range []int{1, 0, 1} {
		require.Equal(t, b.s.now+backoff(b.cfg.RedialMin, b.cfg.RedialMax, failures, b.cfg.Random), b.s.known[broker].rests)
	}
}

func TestClientDialTimeout(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{})
	b.wake()
	require.Equal(t, []string{"hangup", "dial"}, clientKinds(b.pass(5*time.Second+time.Millisecond)))
	require.Equal(t, []string{"hangup"}, clientKinds(b.dialed(1)), "the driver dialled what nobody wants any more")
	require.Empty(t, b.step(&ClientEvent{Kind: ClientDialFailed, Conn: 1}), "an outdated failure is nothing new")
	require.Equal(t, []string{"send"}, clientKinds(b.dialed(2)))
}

func TestClientPlainBroker(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"digits":           "501",
		"method not found": `{"jsonrpc":"2.0","id":32768,"error":{"code":-32601,"message":"?"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newClientBed(t, ClientConfig{})
			c := &Call{Window: 8}
			b.call(c)
			b.dialed(1)
			sent := b.reply(1, mdp.ClientFinal, mdp.MMIPing, answer)
			require.Contains(t, b.sent(sent), `"meta":{"attempt":1}`, "nobody could give credit")
			require.Empty(t, b.pass(time.Hour), "no pings, and no silence")
			require.Equal(t, []string{"done"}, clientKinds(b.abort(c, errClientCut)), "no mmi.cancel")
		})
	}
}

func TestClientPlainBrokerThatWorked(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Speak: SpeakMDP02, Random: func() uint64 { return 1<<64 - 1 }})
	for conn := range uint64(5) {
		c := &Call{}
		b.pass(8 * time.Second)
		b.call(c)
		b.result(c, "1")
		b.cut(conn + 1)
		require.Equal(t, 1, b.s.brokers[0].redial.failures, "it has answered")
		b.pass(time.Second)
		b.serve("")
	}
	b.pass(8 * time.Second)
	b.cut(6)
	require.Equal(t, 2, b.s.brokers[0].redial.failures, "it never said a word")
}

// TestClientBrokerThatDoesntLast has a broker answer on every connection, and end it.
func TestClientBrokerThatDoesntLast(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(b *clientBed){
		"of mesh": func(b *clientBed) { b.serve("1") },
		"plain": func(b *clientBed) {
			b.dialed(b.last)
			b.reply(b.last, mdp.ClientFinal, mdp.MMIPing, "501")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newClientBed(t, ClientConfig{Random: func() uint64 { return 1<<64 - 1 }})
			b.wake()
			waits := func(n int) {
				t.Helper()
				require.Equal(t, b.s.now+backoff(b.cfg.RedialMin, b.cfg.RedialMax, n, b.cfg.Random), b.s.brokers[0].rests)
			}
			serveFor := func(d time.Duration) {
				t.Helper()
				answer(b)
				require.Len(t, b.s.serving, 1)
				for range 5 { // heartbeats, or calls
					b.pass(d / 5)
					if len(b.conns[b.last].pings) > 0 && !b.s.serving[0].plain {
						b.pong(b.last, "1", false)
					}
					c := &Call{}
					b.call(c)
					b.result(c, "1")
				}
				b.cut(b.last)
			}
			for n := range 12 {
				serveFor(7 * time.Second)
				waits(n)
				require.Contains(t, clientKinds(b.pass(b.s.brokers[0].rests-b.s.now+time.Millisecond)), "dial")
			}
			serveFor(8 * time.Second) // more than three intervals
			waits(0)
		})
	}
}

// TestClientTwinsThatDontLast has two endpoints lead to a broker that answers and is
// gone: each time, the other endpoint is asked at once, and that must not go round.
// A broker that discovery leaves out and finds again isn't waited for: it began anew.
func TestClientDialsWhatIsFoundAgain(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Brokers: 2, RedialMin: time.Hour, RedialMax: time.Hour, Random: func() uint64 { return uint64(time.Hour) - 1 }})
	b.wake()
	b.serveOn(b.to(1), "1")
	b.step(&ClientEvent{Kind: ClientDialFailed, Conn: b.to(0), Err: errClientCut})
	dials := b.last
	b.pass(time.Minute)
	b.brokersAre(0, 1)
	b.wake()
	require.Equal(t, dials, b.last, "nothing has changed")
	b.brokersAre(1)
	b.brokersAre(0, 1)
	b.wake()
	require.Equal(t, dials+1, b.last)
	require.Equal(t, dials+1, b.to(0))
}

func TestClientTwinsThatDontLast(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Brokers: 2})
	b.wake()
	for range 20 {
		for _, l := range slices.Clone(b.s.links) {
			if l.state != linkDialing {
				continue
			}
			b.dialed(l.conn)
			b.pongOf(l.conn, "b", "1", false)
		}
		for len(b.s.serving) > 0 {
			b.cut(b.s.serving[0].conn)
		}
		b.pass(time.Second)
	}
	for _, broker := range b.s.brokers {
		require.Greater(t, broker.redial.failures, 5)
	}
}

func TestClientPongThatIsNone(t *testing.T) {
	t.Parallel()
	for answer, text := range map[string]string{
		"404": "404",
		"xyz": "neither",
		`{"jsonrpc":"2.0","id":32768,"error":{"code":-32008,"message":"not you"}}`: "not you (-32008)",
		`{"jsonrpc":"2.0","id":32768,"result":7}`:                                  "can't be read",
	} {
		b := newClientBed(t, ClientConfig{})
		b.wake()
		b.dialed(1)
		a := b.reply(1, mdp.ClientFinal, mdp.MMIPing, answer)
		require.Contains(t, clientKinds(a), "hangup")
		require.ErrorContains(t, b.s.brokers[0].trouble, text)
	}
}

func TestClientBrokerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{})
	c := &Call{Deadline: b.now.Add(8 * time.Second)}
	b.call(c)
	b.dialed(1)
	require.Empty(t, b.pass(7499*time.Millisecond))
	require.Equal(t, []string{"hangup", "dial"}, clientKinds(b.pass(100*time.Millisecond)))
	b.pass(time.Second)
	f := b.failed(c, jsonrpc.CodeExpired)
	require.Contains(t, f.Text, "no broker serves: broker 0: no answer to mmi.ping")
	require.Contains(t, f.Text, "set Speak to MDP02 or MDP01")
	require.ErrorIs(t, f.Cause, ErrNoPong)
	require.Equal(t, HandedNo, f.HandedOver)
	require.True(t, f.Local)
}

func TestClientHeartbeats(t *testing.T) {
	t.Parallel()
	second := ClientConfig{HeartbeatInterval: time.Second, Liveness: 3}
	pings := func(actions []ClientAction) (n int) {
		for i := range actions {
			if actions[i].Kind == ClientSend && actions[i].Call == nil {
				n++
			}
		}
		return n
	}
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		for range 10 {
			require.Equal(t, 1, pings(b.pass(1001*time.Millisecond)))
			b.pong(1, "1", false)
		}
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		c := &Call{}
		b.call(c)
		require.Equal(t, 2, pings(b.pass(2999*time.Millisecond)))
		require.False(t, b.calls[c].done)
		require.Equal(t, []string{"hangup", "done"}, clientKinds(b.pass(time.Millisecond)))
		require.Equal(t, []string{"dial"}, clientKinds(b.pass(time.Millisecond)))
		require.ErrorIs(t, b.failed(c, jsonrpc.CodeBrokerLost).Cause, ErrBrokerSilent)
	})
	t.Run("any traffic is a sign of life", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		for range 100 {
			b.pass(500 * time.Millisecond)
			b.reply(1, mdp.ClientFinal, "tea", `{"jsonrpc":"2.0","id":"other","result":1}`)
		}
		require.EqualValues(t, 1, b.last)
		require.EqualValues(t, 100, b.s.counts.Late)
	})
	t.Run("nothing is asked while both sides talk", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		for range 20 {
			c := &Call{}
			require.Equal(t, []string{"send"}, clientKinds(b.call(c)))
			b.result(c, "1")
			require.Empty(t, b.pass(500*time.Millisecond))
		}
	})
	t.Run("a broker that only talks hears of this side", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		n := 0
		for range 20 {
			n += pings(b.pass(500 * time.Millisecond))
			b.reply(1, mdp.ClientFinal, "tea", "")
		}
		require.InDelta(t, 10, n, 1)
	})
	t.Run("a broker that has nothing to say is asked", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		for range 20 {
			b.call(&Call{})
			if pings(b.pass(500*time.Millisecond)) > 0 {
				b.pong(1, "1", false)
			}
		}
		require.EqualValues(t, 1, b.last)
	})
	t.Run("the broker says how", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, second)
		b.wake()
		b.dialed(1)
		b.ponged(1, `{"broker":"b","incarnation":"1","heartbeat_ms":60000,"liveness":2}`, "1")
		require.Empty(t, b.pass(59*time.Second))
		require.Equal(t, 1, pings(b.pass(time.Minute)))
		require.Contains(t, clientKinds(b.pass(2*time.Second)), "hangup")
	})
	t.Run("the broker asks for nonsense", func(t *testing.T) {
		t.Parallel()
		b := newClientBed(t, second)
		b.wake()
		b.dialed(1)
		b.ponged(1, `{"broker":"b","incarnation":"1","heartbeat_ms":9223372036854775807,"liveness":2}`, "1")
		require.Equal(t, 1, pings(b.pass(1001*time.Millisecond)))
	})
	t.Run("the broker was replaced", func(t *testing.T) {
		t.Parallel()
		b := newServedClient(t, second)
		c := &Call{}
		b.call(c)
		b.pass(1500 * time.Millisecond)
		b.pong(1, "2", false)
		require.ErrorIs(t, b.failed(c, jsonrpc.CodeBrokerLost).Cause, errBrokerReplaced)
	})
}

func TestClientLeavesDrainingBroker(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Brokers: 2, HeartbeatInterval: time.Second})
	running, queued := &Call{}, &Call{}
	b.call(running)
	b.call(queued)
	a := b.refuse(queued, jsonrpc.CodeDraining, clientUntouched)
	require.Empty(t, clientKinds(a), "the running call keeps its connection")
	late := &Call{}
	require.Empty(t, b.call(late))
	a = b.serveOn(2, "1")
	require.Equal(t, []string{"send", "send"}, clientKinds(a))
	require.EqualValues(t, 2, b.calls[late].conn)
	require.EqualValues(t, 2, b.calls[queued].conn)
	require.EqualValues(t, 1, b.calls[running].conn)

	b.result(queued, "2")
	b.succeeded(queued, "2")
	b.pass(1500 * time.Millisecond)
	b.pong(1, "1", true)
	b.dialFailed(3)
	require.Equal(t, []string{"done", "hangup"}, clientKinds(b.result(running, "1")), "its last reply ends a retiring connection")
	b.succeeded(running, "1")
	b.result(late, "3")
	b.succeeded(late, "3")
	require.Empty(t, b.step(&ClientEvent{Kind: ClientLost, Conn: 1}), "hung up before")
}

// TestClientUses says which numbers of brokers may be given to others.
func TestClientUses(t *testing.T) {
	t.Parallel()
	b := newFullClient(t, ClientConfig{Brokers: 2})
	uses := func(first, second bool) {
		t.Helper()
		require.Equal(t, []bool{first, second, false}, []bool{b.s.Uses(0), b.s.Uses(1), b.s.Uses(2)})
	}
	uses(true, true)
	b.cut(2)
	uses(true, true)
	b.brokersAre(0)
	uses(true, false)
	c := &Call{}
	b.call(c)
	b.brokersAre()
	uses(true, false)
	b.pass(3 * time.Second)
	b.pong(1, "1", true) // it drains, and is known no more
	require.Empty(t, b.s.brokers)
	uses(true, false)
	b.result(c, "1")
	uses(false, false)
}

func TestClientDrainingPong(t *testing.T) {
	t.Parallel()
	b := newClientBed(t, ClientConfig{Random: func() uint64 { return 50_000_000 }})
	c := &Call{}
	b.call(c)
	for range 5 { // the only broker: asked again and again, more and more rarely
		b.dialed(b.last)
		require.Equal(t, []string{"hangup"}, clientKinds(b.pong(b.last, "1", true)))
		b.pass(51 * time.Millisecond)
	}
	require.Equal(t, 5, b.s.brokers[0].redial.failures)
	require.ErrorIs(t, b.s.brokers[0].trouble, ErrBrokerDraining)
	b.serve("2")
	b.result(c, "1")
	b.succeeded(c, "1")
}

func TestClientRetiringConnectionLost(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Brokers: 2, HeartbeatInterval: time.Second})
	once, again := &Call{}, &Call{Idempotent: true}
	b.call(once)
	b.call(again)
	b.pass(1500 * time.Millisecond)
	b.pong(1, "1", true)
	b.serveOn(2, "x")
	a := b.cut(1)
	require.Equal(t, []string{"done", "send"}, clientKinds(a), "and nothing is dialled")
	b.failed(once, jsonrpc.CodeBrokerLost)
	b.result(again, "1")
	b.succeeded(again, "1")
}

func TestClientInvalidMessages(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{})
	require.Len(t, b.message(1, []byte("MDPW02"), []byte{5}), 1, "the log hears of it")
	require.Empty(t, b.message(1, []byte("rubbish")), "but not each time")
	b.pass(1100 * time.Millisecond)
	require.Len(t, b.message(1), 1)
	require.EqualValues(t, 3, b.s.counts.Invalid)
	require.Empty(t, b.message(77, []byte("rubbish")), "no such connection")
	require.EqualValues(t, 3, b.s.counts.Invalid)
}

func TestClientClose(t *testing.T) {
	t.Parallel()
	b := newServedClient(t, ClientConfig{Brokers: 2})
	out, backing, retired, waiting := &Call{}, &Call{}, &Call{}, &Call{}
	b.call(retired)
	b.call(backing)
	b.refuse(backing, jsonrpc.CodeOverloaded, clientUntouched)
	drained := &Call{NoRetry: true}
	b.call(drained)
	b.refuse(drained, jsonrpc.CodeDraining, clientUntouched)
	b.serveOn(2, "1")
	b.call(out)
	// A call that waits: its connection is gone.
	b.cut(2)
	b.failed(out, jsonrpc.CodeBrokerLost)
	b.call(waiting)
	b.pass(time.Millisecond)
	require.EqualValues(t, 4, b.last)
	a := b.step(&ClientEvent{Kind: ClientClose})
	require.ElementsMatch(t, []string{"done", "done", "done", "hangup", "hangup", "hangup"}, clientKinds(a))
	for call, handed := range map[*Call]HandedOver{backing: HandedNo, retired: HandedMaybe, waiting: HandedNo} {
		f := b.failed(call, jsonrpc.CodeCancelled)
		require.ErrorIs(t, f.Cause, ErrClientClosed)
		require.Equal(t, handed, f.HandedOver)
		require.True(t, f.Local)
	}
	require.Empty(t, b.step(&ClientEvent{Kind: ClientClose}), "closed before")
	require.Zero(t, b.s.NextWake())
	after := &Call{}
	b.call(after)
	require.ErrorIs(t, b.failed(after, jsonrpc.CodeCancelled).Cause, ErrClientClosed)
	require.Equal(t, []string{"hangup"}, clientKinds(b.dialed(3)))
	require.Zero(t, b.s.pending)
	require.Zero(t, b.s.pendingBytes)
}
