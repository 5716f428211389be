package majordomo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func workerRefusals(names ...string) *Registered {
	r := &Registered{Broker: "b", Incarnation: "1"}
	for _, name := range names {
		r.Refused = append(r.Refused, Refusal{Service: name, Code: -32008, Reason: "not permitted"})
	}
	return r
}

// ready returns the service that READY named on the last connection.
func (b *workerBed) ready() string {
	for _, c := range b.conns[b.last].sends {
		if c.Kind == mdp.Ready {
			return string(c.Service)
		}
	}
	return ""
}

func TestWorkerSessionRefusedReady(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Brokers: 2, Registration: Registration{Services: workerServices("a", "b", "c", "d")}})
	b.dialed(1)
	b.on(0)
	require.Equal(t, "a", b.ready())
	a := b.answer(1, workerRefusals("a", "c"))
	require.Equal(t, []string{"hangup", "dial"}, workerKinds(a))
	require.Equal(t, 0, b.on(0).broker, "the same broker, at once")
	require.EqualValues(t, 3, b.last)
	require.Len(t, b.notes, 2, "the log hears of each refusal")
	require.Contains(t, b.notes[0].Text, `"a": not permitted`)
	require.Empty(t, b.message(1, []byte("MDPW02"), []byte{6}), "the DISCONNECT that its READY got")

	b.dialed(3)
	require.Equal(t, "b", b.ready())
	require.Len(t, b.conns[3].offers[0].Services, 4, "everything is offered again")
	require.Equal(t, []string{"accepted"}, workerKinds(b.answer(3, workerRefusals("a", "c"))))

	b.dialed(2)
	b.on(1)
	require.Equal(t, "a", b.ready(), "what one broker refuses another may take")
	other := workerRefusals()
	other.Broker = "other"
	b.answer(2, other)

	b.cut(3)
	b.pass(time.Second)
	b.on(0)
	b.dialed(4)
	require.Equal(t, "b", b.ready(), "it is remembered what the first one refused")
	b.answer(4, workerRefusals("b"))
	b.dialed(5)
	require.Equal(t, "a", b.ready(), "what a broker says replaces what it said before")
	require.Equal(t, []string{"accepted"}, workerKinds(b.answer(5, workerRefusals("b"))))
}

func TestWorkerSessionOthersRefused(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	require.Equal(t, []string{"accepted"}, workerKinds(b.answer(1, workerRefusals("coffee"))), "READY named the one that was taken")
	require.Contains(t, b.lastNote().Text, "coffee")
}

// TestWorkerSessionFickleBroker has a broker that refuses whatever READY names: it
// is dialled again at once only the first time.
func TestWorkerSessionFickleBroker(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Random: func() uint64 { return uint64(50 * time.Millisecond) }})
	for range 3 {
		b.dialed(b.last)
		require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.answer(b.last, workerRefusals(b.ready()))))
		b.dialed(b.last)
		require.Equal(t, []string{"hangup"}, workerKinds(b.answer(b.last, workerRefusals(b.ready()))))
		require.ErrorIs(t, b.lastNote().Err, errReadyRefused)
		require.Equal(t, []string{"dial"}, workerKinds(b.pass(50*time.Millisecond)))
	}
	require.Equal(t, 3, b.link().redial.failures)
}

func TestWorkerSessionRefusedReadyThenLost(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	b.answer(1, workerRefusals("tea"))
	require.Empty(t, workerKinds(b.dialFailed(2)))
	b.pass(time.Second)
	b.dialed(3)
	require.Equal(t, "coffee", b.ready())
	require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.answer(3, workerRefusals("coffee"))), "each connection may be repeated once")
}

func TestWorkerSessionAllRefused(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	require.Equal(t, []string{"hangup"}, workerKinds(b.answer(1, workerRefusals("tea", "coffee"))))
	require.ErrorIs(t, b.lastNote().Err, ErrRefused)
	b.pass(time.Second)
	b.dialed(2)
	require.Equal(t, "tea", b.ready(), "it may have changed its mind")
	require.Equal(t, []string{"accepted"}, workerKinds(b.answer(2, workerRefusals())))
}

func TestWorkerSessionPlainBroker(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"digits":   "501",
		"JSON-RPC": `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`,
		"null id":  `{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newWorkerBed(t, WorkerConfig{HeartbeatInterval: time.Second})
			b.dialed(1)
			a := b.mmi(answer)
			require.Equal(t, []string{"accepted"}, workerKinds(a), "on the same connection")
			require.Nil(t, b.accepted[0].Registered)
			require.Equal(t, 1, b.notesWith("plain MDP/0.2"))

			j := b.run(workerAsk{token: 0x0123456789abcdef, plain: true})
			require.Equal(t, "0123456789abcdef", string(j.address))
			require.Zero(t, j.Attempt)
			require.Zero(t, j.Service)
			require.Empty(t, j.Caller)
			require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")))
			require.Equal(t, "0123456789abcdef", string(b.lastSend().Address))
			require.Equal(t, []string{"heartbeat"}, workerKinds(b.pass(time.Second)))
		})
	}
}

func (b *workerBed) notesWith(text string) (n int) {
	for i := range b.notes {
		if strings.Contains(b.notes[i].Text, text) {
			n++
		}
	}
	return n
}

// TestWorkerSessionBecamePlain has a broker refuse a service, and then a plain
// broker in its place.
func TestWorkerSessionBecamePlain(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	b.answer(1, workerRefusals("tea"))
	b.dialed(2)
	require.Equal(t, "coffee", b.ready())
	b.mmi("501")
	j := b.run(workerAsk{token: 1, plain: true})
	require.Equal(t, 1, j.Service, "requests are for the service that READY named")
	b.reply(j, true, "x")
	b.cut(2)
	b.pass(time.Second)
	b.dialed(3)
	require.Equal(t, "tea", b.ready(), "whoever refused it is gone")
}

func TestWorkerSessionSpeaksPlain(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			b := newWorkerBed(t, WorkerConfig{Speak: speak})
			a := b.dialed(1)
			require.Equal(t, []string{"ready", "accepted"}, workerKinds(a))
			require.Nil(t, a[1].Registered)
			require.Equal(t, "tea", b.ready())
			require.Empty(t, b.mmi("501"), "nobody asked")
			j := b.run(workerAsk{token: 1})
			require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")))
		})
	}
}

// TestWorkerSessionNoAnswer has brokers that don't know mmi.register and never
// answer it; some are alive and take the worker's READY.
func TestWorkerSessionNoAnswer(t *testing.T) {
	t.Parallel()
	for name, sign := range map[string]func(*workerBed){
		"silent":     func(*workerBed) {},
		"heartbeats": func(b *workerBed) { b.heartbeat() },
		"requests":   func(b *workerBed) { b.reply(b.run(workerAsk{token: 1, plain: true}), true, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newWorkerBed(t, WorkerConfig{HeartbeatInterval: time.Second, Liveness: 3})
			b.dialed(1)
			for range 5 {
				require.Empty(t, workerOthers(b.pass(599*time.Millisecond)))
				sign(b)
			}
			require.Equal(t, []string{"hangup", "dial"}, workerOthers(b.pass(10*time.Millisecond)))
			require.ErrorIs(t, b.lastNote().Err, ErrNotRegistered)
			require.ErrorContains(t, b.lastNote().Err, "set Speak to MDP02 or MDP01")
			require.Empty(t, b.accepted)
		})
	}
}

func TestWorkerSessionServesWhileItJoins(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	j := b.run(workerAsk{token: 1, plain: true})
	require.Equal(t, []string{"accepted"}, workerKinds(b.mmi("501")))
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")))
}

func TestWorkerSessionLosesBrokerWhileItJoins(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	require.Equal(t, []string{"hangup"}, workerKinds(b.cut(1)))
	b.pass(time.Second)
	b.dialed(2)
	require.Equal(t, []string{"hangup"}, workerKinds(b.command(mdp.Command{Kind: mdp.Disconnect})))
	b.pass(time.Second)
	b.serve()
	require.Len(t, b.accepted, 1)
}

// TestWorkerSessionStrangeAnswers has replies that no mmi.register waits for.
func TestWorkerSessionStrangeAnswers(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	require.Empty(t, b.mmi("501"))
	require.Empty(t, b.refuse(-32601))
	require.Empty(t, b.answer(1, workerRefusals("tea")))
	require.False(t, b.link().plain)
	require.Empty(t, b.command(mdp.Command{Kind: mdp.ClientFinal, Service: []byte("mmi.status"), Body: frames("200")}))
}

func TestWorkerSessionUnsentRegistration(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	a := b.dialed(1)
	require.Equal(t, []string{"hangup"}, workerKinds(b.step(&WorkerEvent{Kind: WorkerUnsent, Conn: 1, Message: a[0].Message, Err: errWorkerCut})))
	require.ErrorIs(t, b.lastNote().Err, errWorkerCut)
}
