package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

func (b *workerBed) beginDrain() []WorkerAction { return b.step(&WorkerEvent{Kind: WorkerDrain}) }

func (b *workerBed) stop() []WorkerAction { return b.step(&WorkerEvent{Kind: WorkerStop}) }

// workerStates brings a session into each of its states.
var workerStates = map[string]func(t require.TestingT, speak Speak) *workerBed{
	"not started": func(t require.TestingT, speak Speak) *workerBed {
		return newIdleWorker(t, WorkerConfig{Speak: speak})
	},
	"waiting to dial": func(t require.TestingT, speak Speak) *workerBed {
		b := newWorkerBed(t, WorkerConfig{Speak: speak})
		b.dialFailed(1)
		return b
	},
	"dialing": func(t require.TestingT, speak Speak) *workerBed {
		return newWorkerBed(t, WorkerConfig{Speak: speak})
	},
	"connected": func(t require.TestingT, speak Speak) *workerBed {
		b := newWorkerBed(t, WorkerConfig{Speak: speak})
		b.dialed(1)
		return b
	},
	"serving": func(t require.TestingT, speak Speak) *workerBed {
		return newServingWorker(t, WorkerConfig{Speak: speak})
	},
	"busy": func(t require.TestingT, speak Speak) *workerBed {
		b := newServingWorker(t, WorkerConfig{Speak: speak})
		b.run(workerAsk{token: 1})
		return b
	},
	"draining and busy": func(t require.TestingT, speak Speak) *workerBed {
		b := newServingWorker(t, WorkerConfig{Speak: speak})
		b.run(workerAsk{token: 1})
		b.beginDrain()
		return b
	},
	"busy with what nobody waits for": func(t require.TestingT, speak Speak) *workerBed {
		b := newServingWorker(t, WorkerConfig{Speak: speak})
		b.run(workerAsk{token: 1})
		b.cut(1)
		b.pass(time.Second)
		return b
	},
	"over": func(t require.TestingT, speak Speak) *workerBed {
		b := newServingWorker(t, WorkerConfig{Speak: speak})
		b.stop()
		return b
	},
}

// TestWorkerSessionStops stops sessions in each state. The bed sees to it that the
// end comes once, and leaves no connection and no job.
func TestWorkerSessionStops(t *testing.T) {
	t.Parallel()
	for name, state := range workerStates {
		for _, speak := range []Speak{SpeakMesh, SpeakMDP02, SpeakMDP01} {
			t.Run(name+"/"+speak.String(), func(t *testing.T) {
				t.Parallel()
				b := state(t, speak)
				b.stop()
				require.Equal(t, 1, b.finished)
				require.Zero(t, b.s.NextWake())
				if c := b.conns[b.last]; c != nil && c.up {
					require.Equal(t, mdp.Disconnect, b.lastSend().Kind, "the broker is told")
				}
				for _, kind := range []WorkerEventKind{WorkerStop, WorkerDrain, WorkerStart, WorkerWake} {
					require.Empty(t, b.step(&WorkerEvent{Kind: kind}))
				}
				for j := range b.jobs {
					require.Empty(t, b.reply(j, false, "part"))
					require.Empty(t, b.reply(j, true, "x"))
				}
				require.Zero(t, b.s.running)
			})
		}
	}
}

// TestWorkerSessionDrains drains sessions in each state, twice, and lets everybody
// else do what they have to.
func TestWorkerSessionDrains(t *testing.T) {
	t.Parallel()
	for name, state := range workerStates {
		for _, speak := range []Speak{SpeakMesh, SpeakMDP02, SpeakMDP01} {
			t.Run(name+"/"+speak.String(), func(t *testing.T) {
				t.Parallel()
				b := state(t, speak)
				b.beginDrain()
				require.Empty(t, b.beginDrain(), "it drains already")
				for len(b.jobs) > 0 && b.finished == 0 {
					for j := range b.jobs {
						require.NoError(t, b.jobs[j].cancelled)
						b.reply(j, true, "x")
					}
				}
				if c := b.conns[b.last]; speak == SpeakMesh && b.finished == 0 {
					require.True(t, c.up && !c.over)
					for len(c.offers) == 1 { // it was joining
						b.answer(b.last, &Registered{})
					}
					require.Zero(t, c.offers[1].Capacity)
					b.answer(b.last, &Registered{})
				}
				require.Equal(t, 1, b.finished)
				require.Zero(t, b.s.NextWake())
				require.Empty(t, b.stop())
				require.Empty(t, b.step(&WorkerEvent{Kind: WorkerStart}))
			})
		}
	}
}

func TestWorkerSessionDrainScript(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	running := b.run(workerAsk{token: 1})
	require.Equal(t, []string{"mmi.register"}, workerKinds(b.beginDrain()))
	offer := b.conns[1].offers[1]
	require.Zero(t, offer.Capacity)
	require.Equal(t, b.cfg.Registration.Services, offer.Services, "what runs is still known for what it is")

	crossed := b.run(workerAsk{token: 2}) // it was handed over before the broker heard
	require.Empty(t, b.mmi(`{"jsonrpc":"2.0","id":1,"result":{}}`), "another mmi.register's answer")
	require.Empty(t, workerKinds(b.answer(1, &Registered{})))
	require.Equal(t, []string{"worker final"}, workerKinds(b.ask(workerAsk{token: 3})))
	require.Equal(t, jsonrpc.CodeNotStarted, b.failure(), "nothing new after the barrier")

	require.Equal(t, []string{"heartbeat"}, workerKinds(b.pass(time.Second)), "it lives on")
	b.heartbeat()
	b.reply(running, false, "part")
	require.Equal(t, []string{"worker final"}, workerKinds(b.reply(running, true, "x")))
	require.Equal(t, []string{"worker final", "disconnect", "hangup", "finished"}, workerKinds(b.reply(crossed, true, "x")))
	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerLost, Conn: 1, Err: errWorkerCut}))
}

func TestWorkerSessionDrainIdle(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	b.beginDrain()
	require.Equal(t, []string{"disconnect", "hangup", "finished"}, workerKinds(b.refuse(-32603)), "any answer is the barrier")
}

// TestWorkerSessionDrainUnanswered has a broker that lives but doesn't answer.
func TestWorkerSessionDrainUnanswered(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	j := b.run(workerAsk{token: 1})
	b.beginDrain()
	for range 5 {
		require.Empty(t, workerOthers(b.pass(599*time.Millisecond)))
		b.heartbeat()
	}
	require.Empty(t, workerOthers(b.pass(10*time.Millisecond)))
	require.NoError(t, b.jobs[j].cancelled)
	require.Contains(t, b.lastNote().Text, "didn't say")
	require.Equal(t, []string{"worker final", "disconnect", "hangup", "finished"}, workerKinds(b.reply(j, true, "x")))
}

func TestWorkerSessionDrainPlain(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			idle := newServingWorker(t, WorkerConfig{Speak: speak})
			require.Equal(t, []string{"disconnect", "hangup", "finished"}, workerKinds(idle.beginDrain()))

			b := newServingWorker(t, WorkerConfig{Speak: speak})
			j := b.run(workerAsk{token: 1})
			require.Empty(t, b.beginDrain())
			b.ask(workerAsk{token: 2, plain: true})
			require.Equal(t, jsonrpc.CodeNotStarted, b.failure())
			require.Equal(t, []string{"worker final", "disconnect", "hangup", "finished"}, workerKinds(b.reply(j, true, "x")))
		})
	}
}

// TestWorkerSessionDrainCutShort loses the connection while it drains: nobody waits
// for what is running, so that is the end.
func TestWorkerSessionDrainCutShort(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*workerBed){
		"lost":       func(b *workerBed) { b.cut(1) },
		"disconnect": func(b *workerBed) { b.command(mdp.Command{Kind: mdp.Disconnect}) },
		"silence":    func(b *workerBed) { b.pass(time.Minute) },
		"stop":       func(b *workerBed) { b.stop() },
	} {
		for state, answered := range map[string]bool{"leaving": false, "last jobs": true} {
			t.Run(name+"/"+state, func(t *testing.T) {
				t.Parallel()
				b := newServingWorker(t, WorkerConfig{})
				j := b.run(workerAsk{token: 1})
				b.beginDrain()
				if answered {
					b.answer(1, &Registered{})
				}
				require.NoError(t, b.jobs[j].cancelled)
				cut(b)
				require.Equal(t, 1, b.finished)
				require.Error(t, b.jobs[j].cancelled)
				require.Empty(t, b.reply(j, true, "x"))
			})
		}
	}
}

func TestWorkerSessionDrainWhileItJoins(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{})
	b.dialed(1)
	require.Empty(t, b.beginDrain())
	require.Equal(t, []string{"accepted", "mmi.register"}, workerKinds(b.answer(1, &Registered{})))
	require.Equal(t, []string{"disconnect", "hangup", "finished"}, workerKinds(b.answer(1, &Registered{})))

	plain := newWorkerBed(t, WorkerConfig{})
	plain.dialed(1)
	plain.beginDrain()
	require.Equal(t, []string{"accepted", "disconnect", "hangup", "finished"}, workerKinds(plain.mmi("501")))

	refused := newWorkerBed(t, WorkerConfig{})
	refused.dialed(1)
	refused.beginDrain()
	require.Equal(t, []string{"hangup", "finished"}, workerKinds(refused.answer(1, workerRefusals("tea"))))

	silent := newWorkerBed(t, WorkerConfig{})
	silent.dialed(1)
	silent.beginDrain()
	require.Equal(t, []string{"hangup", "finished"}, workerOthers(silent.pass(time.Minute)))
}

func TestWorkerSessionStopTellsHandlers(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	first, second := b.run(workerAsk{token: 1}), b.run(workerAsk{token: 2})
	b.control(1, `{"jsonrpc":"2.0","method":"rpc.cancel"}`)
	require.Equal(t, []string{"cancel", "disconnect", "hangup", "finished"}, workerKinds(b.stop()))
	require.ErrorIs(t, b.jobs[first].cancelled, ErrCallerCancelled, "it was told before")
	require.ErrorIs(t, b.jobs[second].cancelled, ErrStopped)
}

// TestWorkerSessionHeldWhileItDrains has a broker hold back requests of a worker
// that wants none: nothing has to be lifted.
func TestWorkerSessionHeldWhileItDrains(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{Registration: Registration{Capacity: 1}})
	old := b.run(workerAsk{token: 1})
	b.cut(1)
	b.pass(time.Second)
	b.serve()
	b.ask(workerAsk{token: 1})
	require.True(t, b.link().share.held)
	b.beginDrain()
	require.Empty(t, b.reply(old, true, "x"))
	require.Equal(t, []string{"disconnect", "hangup", "finished"}, workerKinds(b.answer(2, &Registered{})))
}
