package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

const workerTick = 100 * time.Millisecond // enough for whatever needs no timeout

func TestWorkerSessionWithBroker(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMesh, SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorkerWorld(t, Config{})
			n := w.add(WorkerConfig{Speak: speak})
			n.work = 20 * time.Millisecond
			w.pass(workerTick)
			require.Equal(t, 1, n.accepted)
			for range 20 {
				w.ask(0, "tea.brew", "")
			}
			w.pass(time.Second)
			require.Len(t, w.brokers[0].outcomes, 20)
			for id, outcomes := range w.brokers[0].outcomes {
				require.Equal(t, []string{"result"}, outcomes, id)
			}
		})
	}
}

// TestWorkerSessionStaysInTouch has both sides hear enough of each other, whatever
// each thinks of heartbeats, idle or busy.
func TestWorkerSessionStaysInTouch(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{100 * time.Millisecond, 30 * time.Second} {
		t.Run(interval.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorkerWorld(t, Config{HeartbeatInterval: interval, BusyLimit: 24 * time.Hour})
			n := w.add(WorkerConfig{HeartbeatInterval: time.Second})
			w.pass(10 * time.Minute)
			w.ask(0, "tea.brew", "")
			w.pass(10 * time.Minute)
			require.Len(t, n.running, 1)
			require.Equal(t, []int{0}, n.dials)
			n.replyAll()
			w.pass(10 * time.Minute)
			require.Equal(t, []int{0}, n.dials)
			require.Equal(t, []string{"result"}, w.brokers[0].outcomes["1"])
		})
	}
}

// TestWorkerSessionThreeLostHeartbeats cuts a broker off, without anybody being
// told, and lets it come back.
func TestWorkerSessionThreeLostHeartbeats(t *testing.T) {
	t.Parallel()
	cfg := Config{HeartbeatInterval: time.Second, Liveness: 3, NoWorkerWait: time.Hour, QueueTimeout: time.Hour}
	w := newWorkerWorld(t, cfg, cfg)
	n := w.add(WorkerConfig{HeartbeatInterval: time.Second, RedialMax: time.Second, Registration: Registration{Capacity: 4}})
	w.pass(time.Minute)
	again, once := w.ask(0, "tea.brew", ""), w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	require.Len(t, n.running, 2)

	w.brokers[0].cutOff = true
	w.pass(1800 * time.Millisecond)
	require.Equal(t, []int{0, 1}, n.dials, "two may be lost")
	require.Empty(t, n.causes)
	w.pass(1300 * time.Millisecond)
	require.Greater(t, len(n.dials), 2, "three may not")
	require.Equal(t, []error{ErrConnectionLost, ErrConnectionLost}, n.causes)
	w.pass(time.Second)
	require.Equal(t, []string{"worker lost"}, w.brokers[0].outcomes[once], "the broker missed the worker, too")
	require.Empty(t, w.brokers[0].outcomes[again], "this one may run again")
	n.replyAll()
	elsewhere := w.ask(1, "tea.brew", "")
	w.pass(workerTick)
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[1].outcomes[elsewhere], "the other one is served all the time")

	w.brokers[0].cutOff = false
	w.pass(2 * time.Second)
	require.Equal(t, 3, n.accepted, "it is dialled until it is back")
	require.Equal(t, again, n.runs[len(n.runs)-1])
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[again])
	require.NotContains(t, n.dials[2:], 1, "the other one was never lost")
}

// TestWorkerSessionOutage has no broker for a while.
func TestWorkerSessionOutage(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{})
	n := w.add(WorkerConfig{RedialMax: time.Second})
	w.crash(0)
	w.crash(1)
	w.pass(10 * time.Minute)
	require.Zero(t, n.accepted)
	require.Less(t, len(n.dials), 5*10*60, "each broker about twice a second")
	w.boot(1)
	w.pass(time.Second)
	require.Equal(t, 1, n.accepted)
	w.crash(1)
	w.boot(1)
	w.pass(5 * time.Second)
	require.Equal(t, 2, n.accepted, "a broker that starts anew has to be told again")
}

func TestWorkerSessionLeavesDrainingBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{}, Config{})
	n := w.add(WorkerConfig{})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	w.stepBroker(w.brokers[0], &Event{Kind: Drain})
	w.pass(time.Minute)
	require.Equal(t, []int{0, 1}, n.dials, "it waits for the reply")
	require.Empty(t, n.causes)
	n.replyAll()
	w.pass(workerTick)
	require.True(t, w.brokers[0].drained)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[id])
	w.crash(0)
	w.boot(0)
	w.pass(time.Minute)
	require.Equal(t, 3, n.accepted, "it comes back when the broker does")
}

// TestWorkerSessionDrainsAtBroker drains a worker while its broker goes on handing
// over: what crosses is served, and what doesn't goes to another worker.
func TestWorkerSessionDrainsAtBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{NoWorkerWait: time.Hour})
	first := w.add(WorkerConfig{Registration: Registration{Capacity: 8}})
	first.work = 7 * time.Millisecond
	w.pass(workerTick)
	for i := range 200 {
		w.ask(0, "tea.pour", "")
		w.pass(time.Millisecond)
		if i == 100 {
			first.step(&WorkerEvent{Kind: WorkerDrain})
		}
	}
	w.pass(time.Second)
	require.True(t, first.finished)
	require.Empty(t, first.running)
	require.Empty(t, first.causes)
	require.Greater(t, len(first.runs), 50)
	second := w.add(WorkerConfig{Registration: Registration{Capacity: 8}})
	second.work = time.Millisecond
	w.pass(time.Second)
	require.Len(t, w.brokers[0].outcomes, 200)
	require.Equal(t, 200, len(first.runs)+len(second.runs), "each ran once")
	for id, outcomes := range w.brokers[0].outcomes {
		require.Equal(t, []string{"result"}, outcomes, id)
	}
}

// TestWorkerSessionHeldAtBroker has handlers of a lost connection in the way of new
// requests: the broker has to be told when there is room.
func TestWorkerSessionHeldAtBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{QueueTimeout: time.Hour})
	n := w.add(WorkerConfig{})
	w.pass(workerTick)
	w.ask(0, "tea.pour", "")
	w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	n.cut(1)
	w.pass(workerTick)
	require.Equal(t, 2, n.accepted)
	third := w.ask(0, "tea.pour", "")
	w.pass(time.Minute)
	require.Len(t, n.running, 2, "no room")
	require.Empty(t, w.brokers[0].outcomes[third])
	n.reply(n.running[0])
	w.pass(workerTick)
	require.Equal(t, third, n.runs[len(n.runs)-1])
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[third])
}

// workerAuthorizer lets nobody register some services.
type workerAuthorizer map[string]bool

func (a workerAuthorizer) Allow(_ Identity, right Right, service, _ []byte) bool {
	return right != MayRegister || !a[string(service)]
}

func (workerAuthorizer) Partly(Identity, Right) bool { return false }

func (workerAuthorizer) ByMethod([]byte) bool { return false }

func TestWorkerSessionRefusedByBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{Authorizer: workerAuthorizer{"tea": true}}, Config{Authorizer: workerAuthorizer{"tea": true, "coffee": true}})
	n := w.add(WorkerConfig{})
	w.pass(workerTick)
	require.Equal(t, []int{0, 1, 0}, n.dials[:3], "the first one with a READY for the other service")
	require.Equal(t, 1, n.accepted, "the second one takes nothing of it")
	w.ask(0, "coffee.brew", "")
	w.pass(workerTick)
	require.Len(t, n.running, 1)
	require.Equal(t, 1, n.running[0].Service)
	w.crash(0)
	w.boot(0)
	w.pass(time.Minute)
	require.Equal(t, 2, n.accepted)
	require.Less(t, len(n.dials), 25, "and isn't dialled without a pause")
}

func TestWorkerSessionCancelAndCredit(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{})
	n := w.add(WorkerConfig{})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", `"window":4`)
	w.pass(workerTick)
	w.tell(0, "mmi.credit", `{"jsonrpc":"2.0","method":"mmi.credit","params":{"id":`+id+`,"n":3}}`)
	w.pass(workerTick)
	require.Equal(t, 3, n.credit)
	n.part(n.running[0])
	w.pass(workerTick)
	w.tell(0, "mmi.cancel", `{"jsonrpc":"2.0","method":"mmi.cancel","params":{"id":`+id+`}}`)
	w.pass(workerTick)
	require.Equal(t, []error{ErrCallerCancelled}, n.causes)
	n.part(n.running[0])
	n.replyAll()
	w.pass(time.Minute)
	require.Equal(t, []string{"part", "cancelled"}, w.brokers[0].outcomes[id])
	require.Equal(t, []int{0}, n.dials, "its last words are no offence")
	require.Equal(t, 2, w.freeSlots(0))

	timed := w.ask(0, "tea.pour", `"timeout_ms":500`)
	w.pass(workerTick)
	require.WithinDuration(t, w.now.Add(400*time.Millisecond), n.running[0].Deadline, 10*time.Millisecond)
	w.pass(time.Second)
	require.Equal(t, []string{"expired"}, w.brokers[0].outcomes[timed])
	require.Equal(t, []error{ErrCallerCancelled, ErrCallerCancelled}, n.causes)
}

// freeSlots returns how much room a broker thinks that its workers have.
func (w *workerWorld) freeSlots(at int) (free int) {
	for nd := w.brokers[at].broker.peers.head; nd != nil; nd = nd.next {
		if wk := nd.of.worker; wk != nil && !wk.held {
			free += wk.capacity - wk.used
		}
	}
	return free
}

// TestWorkerSessionStreamOverMDP01 has parts for a client of MDP/0.2 from a worker
// of MDP/0.1: they come with the one REPLY.
func TestWorkerSessionStreamOverMDP01(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{})
	n := w.add(WorkerConfig{Speak: SpeakMDP01, MaxPartialBytes: 100})
	w.pass(workerTick)
	id := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	n.part(n.running[0])
	n.part(n.running[0])
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[id])
	large := w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	for range 10 {
		n.part(n.running[0])
	}
	require.Equal(t, []error{ErrReplyTooLarge}, n.causes)
	n.replyAll()
	w.pass(workerTick)
	require.Equal(t, []string{jsonrpc.CodeName(jsonrpc.CodeTooLarge)}, w.brokers[0].outcomes[large])
}

// TestWorkerSessionStopsAtBroker has a broker see its worker go.
func TestWorkerSessionStopsAtBroker(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, Config{NoWorkerWait: time.Hour})
	n := w.add(WorkerConfig{})
	w.pass(workerTick)
	again, once := w.ask(0, "tea.brew", ""), w.ask(0, "tea.pour", "")
	w.pass(workerTick)
	n.step(&WorkerEvent{Kind: WorkerStop})
	require.True(t, n.finished)
	w.pass(workerTick)
	require.Equal(t, []string{"worker lost"}, w.brokers[0].outcomes[once])
	require.Empty(t, w.brokers[0].outcomes[again])
	w.add(WorkerConfig{}).work = 0
	w.pass(workerTick)
	require.Equal(t, []string{"result"}, w.brokers[0].outcomes[again])
	n.replyAll()
}
