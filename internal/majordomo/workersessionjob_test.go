package majordomo

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

const workerNotification = `{"jsonrpc":"2.0","method":"tea.note"}`

func TestWorkerSessionRuns(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	ask := workerAsk{token: 1 << 40, left: 1500, attempt: 2, service: 1, caller: "alice"}
	j := b.run(ask)
	require.Equal(t, b.now.Add(1500*time.Millisecond), j.Deadline)
	require.Equal(t, 2, j.Attempt)
	require.Equal(t, 1, j.Service)
	require.Equal(t, "alice", string(j.Caller))
	require.True(t, j.RPC())
	require.Equal(t, "tea.brew", string(j.Envelope.Method))
	require.Len(t, j.Body, 1)
	j.Data = "the driver's"

	b.reply(j, false, "part", "of two frames")
	c := b.lastSend()
	require.Equal(t, mdp.WorkerPartial, c.Kind)
	require.Equal(t, frames("part", "of two frames"), c.Body)
	require.Equal(t, ask.command().Address, c.Address)
	b.reply(j, true, "last")
	c = b.lastSend()
	require.Equal(t, mdp.WorkerFinal, c.Kind)
	require.Equal(t, frames("last"), c.Body)
	require.Equal(t, ask.command().Address, c.Address)

	again := b.run(workerAsk{token: 2, body: "opaque"})
	require.Same(t, j, again, "jobs are used again")
	require.Equal(t, "the driver's", again.Data)
	require.Zero(t, again.Deadline)
	require.False(t, again.RPC())
	require.Equal(t, jsonrpc.Opaque, again.Envelope.Kind)
	require.Empty(t, again.Caller)
	require.False(t, again.cancelled || again.large)
}

func TestWorkerSessionSeveralFrames(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	c := (&workerAsk{token: 1}).command()
	c.Body = append(c.Body, []byte("more"))
	a := b.command(c)
	require.Equal(t, "run", workerKinds(a)[0])
	require.False(t, a[0].Job.RPC(), "JSON-RPC is one frame")
	require.Len(t, a[0].Job.Body, 2)
}

func TestWorkerSessionPlainDeadline(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Speak: SpeakMDP02, Registration: Registration{Capacity: 10}})
	for ms, want := range map[int64]time.Duration{
		1:                    time.Millisecond,
		1500:                 1500 * time.Millisecond,
		jsonrpc.MaxTimeoutMS: time.Duration(mdp.NoDeadline-1) * time.Millisecond,
		math.MaxInt64/int64(time.Millisecond) - 1: time.Duration(mdp.NoDeadline-1) * time.Millisecond,
	} {
		j := b.run(workerAsk{token: uint64(ms), body: fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":%d}}`, ms)})
		require.Equal(t, b.now.Add(want), j.Deadline)
	}
	require.Zero(t, b.run(workerAsk{token: 9}).Deadline)
	require.Equal(t, []string{"worker final"}, workerKinds(b.ask(workerAsk{
		token: 10, plain: true, body: `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":0}}`,
	})))
	require.Equal(t, jsonrpc.CodeExpired, b.failure())
}

func TestWorkerSessionExpired(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	ask := workerAsk{token: 5, expired: true}
	require.Equal(t, []string{"worker final"}, workerKinds(b.ask(ask)), "it isn't run")
	require.Equal(t, jsonrpc.CodeExpired, b.failure())
	require.Contains(t, string(b.lastSend().Body[0]), `"id":5`)
	require.Equal(t, ask.command().Address, b.lastSend().Address)
	ask.body = workerNotification
	b.ask(ask)
	require.Equal(t, frames(""), b.lastSend().Body, "nobody is told of a notification")
	require.False(t, b.link().share.held)
}

// TestWorkerSessionBeyondCapacity hands over more than the worker takes.
func TestWorkerSessionBeyondCapacity(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"request": "", "notification": workerNotification, "opaque": "x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{})
			first := b.run(workerAsk{token: 1})
			b.run(workerAsk{token: 2})
			require.Equal(t, []string{"worker final"}, workerKinds(b.ask(workerAsk{token: 3, body: body})))
			require.Equal(t, jsonrpc.CodeNotStarted, b.failure(), "the broker has to see it, whatever was asked")
			require.Equal(t, []string{"worker final"}, workerKinds(b.reply(first, true, "x")), "the FINAL says that there is room")
			b.run(workerAsk{token: 4})
		})
	}
}

// TestWorkerSessionBeyondPlainCapacity has a plain broker that hands over more than
// one request at a time.
func TestWorkerSessionBeyondPlainCapacity(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Speak: SpeakMDP01})
	b.run(workerAsk{token: 1})
	b.run(workerAsk{token: 2})
	b.ask(workerAsk{token: 3, plain: true})
	require.Equal(t, jsonrpc.CodeNotStarted, b.failure())
}

// TestWorkerSessionOldJobsTakeRoom has handlers that outlive their connection. They
// count, and when they end the broker must hear that there is room, though nothing
// that it handed over ended.
func TestWorkerSessionOldJobsTakeRoom(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 3}})
	old := []*Job{b.run(workerAsk{token: 1}), b.run(workerAsk{token: 2})}
	require.Equal(t, []string{"hangup", "cancel", "cancel"}, workerKinds(b.cut(1)))
	b.pass(time.Second)
	b.serve()
	require.Equal(t, 1, b.conns[2].offers[0].Capacity, "what still runs takes its room")

	require.Equal(t, []string{"mmi.register"}, workerKinds(b.reply(old[0], true, "x")), "its reply goes nowhere, but there is room")
	require.Equal(t, 2, b.conns[2].offers[1].Capacity)
	require.Empty(t, b.reply(old[1], true, "x"), "one registration at a time")
	require.Empty(t, b.answer(2, &Registered{Incarnation: "1"}), "and not too soon after the last")
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.pass(50*time.Millisecond)))
	require.Equal(t, 3, b.conns[2].offers[2].Capacity)
	b.answer(2, &Registered{Incarnation: "1"})
	require.Len(t, b.accepted, 2)
}

// TestWorkerSessionNoRoomAtAll is the same where every slot is taken: the broker gets
// one all the same, and holds back what it is told that there is no room for.
func TestWorkerSessionNoRoomAtAll(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	old := []*Job{b.run(workerAsk{token: 1}), b.run(workerAsk{token: 2})}
	b.cut(1)
	b.pass(time.Second)
	b.serve()
	require.Equal(t, 1, b.conns[2].offers[0].Capacity)
	b.ask(workerAsk{token: 1})
	require.Equal(t, jsonrpc.CodeNotStarted, b.failure())
	require.True(t, b.link().share.held)
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.reply(old[0], true, "x")))
	require.False(t, b.link().share.held)
	j := b.run(workerAsk{token: 1})
	b.answer(2, &Registered{Incarnation: "1"})
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")))

	// A plain broker can't be told. It waits for READY.
	plain := newServingWorker(t, WorkerConfig{Speak: SpeakMDP02, Registration: Registration{Capacity: 1}})
	stuck := plain.run(workerAsk{token: 1})
	plain.cut(1)
	plain.pass(time.Second)
	require.Empty(t, plain.dialed(2))
	require.Empty(t, workerKinds(plain.message(2, []byte("MDPW02"), []byte{5})), "nothing was said yet")
	require.ErrorIs(t, plain.lastNote().Err, errTooEarly)
	require.Equal(t, []string{"ready", "accepted"}, workerKinds(plain.reply(stuck, true, "x")))
}

func TestWorkerSessionHeldAcrossConnections(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 1}})
	old := b.run(workerAsk{token: 1})
	b.ask(workerAsk{token: 2})
	b.cut(1)
	b.pass(time.Second)
	b.serve()
	require.Empty(t, b.reply(old, true, "x"), "the registration that was just made says that there is room")
}

func TestWorkerSessionControl(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	j := b.run(workerAsk{token: 7})
	other := b.run(workerAsk{token: 8})
	const (
		cancel = `{"jsonrpc":"2.0","method":"rpc.cancel"}`
		credit = `{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":%d}}` //nolint:gosec // credit, no credential
	)
	a := b.control(7, fmt.Sprintf(credit, 16))
	require.Equal(t, []WorkerAction{{Kind: WorkerCredit, Job: j, N: 16}}, a)
	a = b.control(7, fmt.Sprintf(credit, math.MaxInt64))
	require.Equal(t, maxCredit, a[0].N, "sums must fit")
	for _, nonsense := range []string{
		fmt.Sprintf(credit, 0), fmt.Sprintf(credit, -4), `{"jsonrpc":"2.0","method":"rpc.credit"}`,
		`{"jsonrpc":"2.0","method":"rpc.credit","params":["n",1]}`, `{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":"1"}}`,
		`{"jsonrpc":"2.0","method":"rpc.discover"}`, `{"jsonrpc":"2.0","method":"rpc."}`,
	} {
		require.Empty(t, b.control(7, nonsense), nonsense)
	}
	for _, token := range []uint64{0, 9, math.MaxUint64} {
		require.Empty(t, b.control(token, cancel), "a token that isn't held")
		require.Empty(t, b.control(token, fmt.Sprintf(credit, 1)))
	}
	require.Equal(t, []WorkerAction{{Kind: WorkerCancel, Job: j, Err: ErrCallerCancelled}}, b.control(7, cancel))
	require.Empty(t, b.control(7, cancel), "once is enough")
	require.NoError(t, b.jobs[other].cancelled)
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")), "the slot is freed by the FINAL")
	require.Empty(t, b.control(7, cancel), "too late")
	require.Equal(t, []string{"hangup", "cancel"}, workerKinds(b.cut(1)))
	b.pass(time.Second)
	b.serve()
	require.Empty(t, b.control(8, cancel), "a token of another connection")
}

func TestWorkerSessionControlIsNoRequest(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	j := b.run(workerAsk{token: 1, body: `{"jsonrpc":"2.0","id":4,"method":"rpc.cancel"}`})
	require.True(t, j.RPC(), "with an id it is a client's, who gets an answer")
	full := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 1}})
	full.run(workerAsk{token: 1, left: 1})
	full.pass(time.Millisecond)
	require.Equal(t, []string{"cancel"}, workerKinds(full.ask(workerAsk{token: 1, expired: true, body: `{"jsonrpc":"2.0","method":"rpc.cancel"}`})),
		"it needs neither room nor time")
	plain := newServingWorker(t, WorkerConfig{Speak: SpeakMDP02})
	plain.run(workerAsk{token: 1, body: `{"jsonrpc":"2.0","method":"rpc.cancel"}`}) // a plain broker has no word for it
}

func TestWorkerSessionRepeatedToken(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	j := b.run(workerAsk{token: 1})
	require.Empty(t, workerKinds(b.ask(workerAsk{token: 1})))
	require.ErrorIs(t, b.lastNote().Err, errTokenRepeated)
	b.reply(j, true, "x")
	b.run(workerAsk{token: 1})
}

func TestWorkerSessionNoAddress(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	require.Empty(t, workerKinds(b.ask(workerAsk{token: 1, plain: true})))
	require.ErrorIs(t, b.lastNote().Err, errNoAddress)
}

// TestWorkerSessionRepliesAfterLoss has handlers that reply when the connection
// over which their requests came is gone.
func TestWorkerSessionRepliesAfterLoss(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 4}})
	j := b.run(workerAsk{token: 1})
	late := b.run(workerAsk{token: 2})
	b.cut(1)
	require.ErrorIs(t, b.jobs[j].cancelled, ErrConnectionLost)
	require.Empty(t, b.reply(j, false, "part"))
	b.pass(time.Second)
	b.dialed(2)
	require.Empty(t, b.reply(j, false, "part"))
	b.answer(2, &Registered{})
	fresh := b.run(workerAsk{token: 1})
	require.NotContains(t, workerKinds(b.reply(j, true, "x")), "worker final", "the token is another request's now")
	require.Equal(t, []string{"cancel"}, workerKinds(b.control(1, `{"jsonrpc":"2.0","method":"rpc.cancel"}`)))
	require.ErrorIs(t, b.jobs[fresh].cancelled, ErrCallerCancelled)
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(fresh, true, "x")))
	require.Empty(t, b.reply(late, true, "x"))
	require.Zero(t, b.s.running)
	require.Empty(t, b.link().byToken)
}

// TestWorkerSessionPlainCredit has a stream over a plain broker, which knows no
// credit: the session gives it.
func TestWorkerSessionPlainCredit(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{Speak: speak, Registration: Registration{Capacity: 2}})
			j := b.run(workerAsk{token: 1})
			require.Zero(t, b.jobs[j].credit)
			for n := range 100 {
				b.reply(j, false, "x")
				require.Equal(t, n+1, b.jobs[j].credit)
			}
			none := b.run(workerAsk{token: 2, body: `{"jsonrpc":"2.0","id":1,"method":"tea.pour","meta":{"window":0}}`})
			require.Equal(t, 1, b.jobs[none].credit, "or it would never begin")
		})
	}
	b := newServingWorker(t, WorkerConfig{})
	j := b.run(workerAsk{token: 1, body: `{"jsonrpc":"2.0","id":1,"method":"tea.pour","meta":{"window":0}}`})
	b.reply(j, false, "x")
	require.Zero(t, b.jobs[j].credit, "a broker of mesh gives it itself")
}

func TestWorkerSessionPartsForMDP01(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Speak: SpeakMDP01, MaxPartialBytes: 11})
	j := b.run(workerAsk{token: 1})
	require.Equal(t, []string{"credit"}, workerKinds(b.reply(j, false, "one")), "MDP/0.1 knows no PARTIAL")
	b.reply(j, false, "two", "three")
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "the", "end")))
	require.Equal(t, frames("one", "two", "three", "the", "end"), b.lastSend().Body)
	j = b.run(workerAsk{token: 2})
	b.reply(j, true, "none")
	require.Equal(t, frames("none"), b.lastSend().Body)
}

func TestWorkerSessionTooManyPartsForMDP01(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"request":      {"", jsonrpc.CodeTooLarge},
		"notification": {workerNotification, 0},
		"opaque":       {"x", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{Speak: SpeakMDP01, MaxPartialBytes: 10})
			j := b.run(workerAsk{token: 1, body: test.body})
			require.Equal(t, []string{"credit"}, workerKinds(b.reply(j, false, "12345", "67890")), "as much as is allowed")
			require.Equal(t, []string{"cancel"}, workerKinds(b.reply(j, false, "1")))
			require.ErrorIs(t, b.jobs[j].cancelled, ErrReplyTooLarge)
			require.Empty(t, b.reply(j, false, "1"), "what comes now is dropped")
			require.Empty(t, j.kept, "nothing is kept for what can't be sent")
			require.Equal(t, []string{"worker final"}, workerKinds(b.reply(j, true, "x")))
			if test.code == 0 {
				require.Equal(t, frames(""), b.lastSend().Body)
				return
			}
			require.Equal(t, test.code, b.failure())
			next := b.run(workerAsk{token: 2})
			require.Same(t, j, next)
			require.Equal(t, []string{"credit"}, workerKinds(b.reply(j, false, strings.Repeat("x", 10))), "each job has its own room")
		})
	}
}

// TestWorkerSessionUnsent has replies that the connection doesn't take.
func TestWorkerSessionUnsent(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	j := b.run(workerAsk{token: 1})
	other := b.run(workerAsk{token: 2})
	unsent := func(a []WorkerAction) []WorkerAction {
		m := joinFrames(a[0].Message, a[0].Joined)
		c, err := mdp.ParseBroker(m)
		require.NoError(t, err)
		b.conns[1].owed[string(c.Address)] = true
		return b.step(&WorkerEvent{Kind: WorkerUnsent, Conn: 1, Message: m, Err: errWorkerCut})
	}
	a := b.reply(j, true, `{"jsonrpc":"2.0","id":77,"result":"large"}`)
	a = unsent(a)
	require.Equal(t, []string{"worker final"}, workerKinds(a))
	require.Equal(t, jsonrpc.CodeTooLarge, b.failure())
	require.Contains(t, string(b.lastSend().Body[0]), `"id":77`)
	require.Equal(t, (&workerAsk{token: 1}).command().Address, b.lastSend().Address)
	first := a

	a = b.reply(other, false, "large")
	require.Equal(t, []string{"cancel"}, workerKinds(unsent(a)))
	require.ErrorIs(t, b.jobs[other].cancelled, ErrReplyTooLarge)
	require.Empty(t, unsent(a), "said twice")
	b.reply(other, true, "{}")
	require.Equal(t, jsonrpc.CodeTooLarge, b.failure(), "a stream that lacks a part is none")
	require.Empty(t, unsent(a), "its job is gone")

	opaque := b.run(workerAsk{token: 3, body: "x"})
	unsent(b.reply(opaque, true, "large"))
	require.Equal(t, jsonrpc.CodeTooLarge, b.failure())

	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerUnsent, Conn: 1, Message: frames("rubbish"), Err: errWorkerCut}))
	require.Equal(t, []string{"hangup"}, workerKinds(unsent(first)), "not even the failure")
	require.ErrorIs(t, b.lastNote().Err, errWorkerCut)
}
