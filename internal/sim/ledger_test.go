package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// basicPlan is a small world in which nothing goes wrong.
func basicPlan(seed uint64) Plan {
	return Plan{
		Seed: seed, Brokers: 1, Load: 3 * time.Second,
		Services: []servicePlan{{name: "s0", attempts: 2}},
		Workers:  []workerPlan{{services: []int{0}, capacity: 4}, {services: []int{0}, capacity: 4}},
		Clients:  []clientPlan{{every: 20 * time.Millisecond, burst: 2}, {every: 20 * time.Millisecond, burst: 2}},
		Broker: majordomo.Config{
			HeartbeatInterval: 200 * time.Millisecond, Liveness: liveness, BusyLimit: 2 * time.Second,
			QueueTimeout: time.Second, NoWorkerWait: 500 * time.Millisecond, Services: make(map[string]majordomo.ServiceConfig),
		},
		Network: networkPlan{latency: time.Millisecond, jitter: time.Millisecond, queue: 100_000},
		Handler: handlerPlan{mean: 20 * time.Millisecond, fails: 0.1, deaf: 0.2},
	}
}

// once returns a function that reports true the first time that it is asked with
// true.
func once() func(bool) bool {
	done := false
	return func(now bool) bool {
		if done || !now {
			return false
		}
		done = true
		return true
	}
}

// isRequest says whether an event is a client's request that has an id.
func isRequest(ev *majordomo.Event) bool {
	return ev.Kind == majordomo.Message && ev.Err == nil && ev.Command.Kind == mdp.ClientRequest &&
		!mdp.Reserved(ev.Command.Service) && ev.Envelope.Kind == jsonrpc.Request
}

// isRegistration says whether an event is a worker's registration.
func isRegistration(ev *majordomo.Event) bool {
	return ev.Kind == majordomo.Message && ev.Err == nil && string(ev.Command.Service) == mdp.MMIRegister
}

// say has a broker send something of its own.
func say(b *brokerNode, p *majordomo.Peer, c mdp.Command) {
	b.act(&majordomo.Action{Kind: majordomo.Send, Peer: p, Message: c.AppendTo(nil)})
}

// instead has a broker answer a request by itself, with an error.
func instead(code int, data string) func(w *World) {
	return func(w *World) {
		first := once()
		w.tamper.broker.event = func(b *brokerNode, ev *majordomo.Event) bool {
			if !first(isRequest(ev)) {
				return false
			}
			body := jsonrpc.AppendFailure(nil, ev.Envelope.ID, code, "planted", []byte(data))
			say(b, ev.Peer, mdp.Command{Version: ev.Command.Version, Kind: mdp.ClientFinal, Service: ev.Command.Service, Body: [][]byte{body}})
			return true
		}
	}
}

// sends has each message that a broker sends looked at, and others sent instead.
func sends(change func(b *brokerNode, c mdp.Command, m [][]byte) [][][]byte) func(w *World) {
	return func(w *World) {
		w.tamper.broker.actions = func(b *brokerNode, actions []majordomo.Action) []majordomo.Action {
			var all []majordomo.Action
			for _, a := range actions {
				if a.Kind != majordomo.Send {
					all = append(all, a)
					continue
				}
				c, err := parse(fromBroker, a.Message)
				if err != nil {
					panic(err)
				}
				for _, m := range change(b, c, a.Message) {
					a.Message = m
					all = append(all, a)
				}
			}
			return all
		}
	}
}

// contract has brokers read another contract than workers registered.
func contract(from, to string) func(w *World) {
	return func(w *World) {
		w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool {
			if isRegistration(ev) {
				ev.Command.Body = [][]byte{bytes.ReplaceAll(ev.Command.Body[0], []byte(from), []byte(to))}
				jsonrpc.Scan(ev.Command.Body[0], &ev.Envelope)
			}
			return false
		}
	}
}

// dones has each outcome at clients looked at; what isn't kept is swallowed.
func dones(keep func(a *majordomo.ClientAction) []majordomo.ClientAction) func(w *World) {
	return func(w *World) {
		w.tamper.clientActions = func(_ *clientNode, actions []majordomo.ClientAction) []majordomo.ClientAction {
			var all []majordomo.ClientAction
			for i := range actions {
				if actions[i].Kind == majordomo.ClientDone {
					all = append(all, keep(&actions[i])...)
				} else {
					all = append(all, actions[i])
				}
			}
			return all
		}
	}
}

// killings has a worker crash again and again.
func killings(w *World) {
	w.repeat(50*time.Millisecond, func() {
		n := w.workers[w.dice.IntN(len(w.workers))]
		n.crash(false)
		w.after(50*time.Millisecond, n.start)
	})
}

// plainClients makes all clients plain ones, which cancel nothing.
func plainClients(p *Plan) {
	for at := range p.Clients {
		p.Clients[at].speak = majordomo.SpeakMDP02
	}
	p.Handler.mean = 100 * time.Millisecond
}

// planted is a bug, and the promise that it breaks.
type planted struct {
	name    string
	promise string
	plan    func(p *Plan)
	plant   func(w *World)
}

var bugs = []planted{
	{
		name: "a caller gets two outcomes", promise: promiseOutcome,
		plant: dones(func(a *majordomo.ClientAction) []majordomo.ClientAction { return []majordomo.ClientAction{*a, *a} }),
	},
	{
		name: "a caller gets two outcomes on a bad wire", promise: promiseOutcome,
		plan:  func(p *Plan) { p.Network.wild = true },
		plant: dones(func(a *majordomo.ClientAction) []majordomo.ClientAction { return []majordomo.ClientAction{*a, *a} }),
	},
	{
		name: "a caller gets no outcome", promise: promiseOutcome,
		plant: func(w *World) {
			first := once()
			dones(func(a *majordomo.ClientAction) []majordomo.ClientAction {
				if first(a.Call.Deadline.IsZero()) {
					return nil
				}
				return []majordomo.ClientAction{*a}
			})(w)
		},
	},
	{
		name: "a call goes on after its deadline", promise: promiseDeadline,
		plan: func(p *Plan) { p.Handler.slow = 0.5 },
		plant: func(w *World) {
			first := once()
			dones(func(a *majordomo.ClientAction) []majordomo.ClientAction {
				if first(a.Failure != nil && a.Failure.Local && a.Failure.Code == jsonrpc.CodeExpired) {
					return nil
				}
				return []majordomo.ClientAction{*a}
			})(w)
		},
	},
	{
		name: "a broker replies twice", promise: promiseOutcome,
		plant: sends(func(_ *brokerNode, c mdp.Command, m [][]byte) [][][]byte {
			if c.Kind == mdp.ClientFinal && !mdp.Reserved(c.Service) {
				return [][][]byte{m, m}
			}
			return [][][]byte{m}
		}),
	},
	{
		name: "a broker loses a request", promise: promiseOutcome,
		plant: func(w *World) {
			first := once()
			w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool {
				return first(isRequest(ev) && ev.Envelope.Meta.TimeoutMS < 0)
			}
		},
	},
	{
		name: "a reply goes astray", promise: promiseTrue,
		plant: dones(func(a *majordomo.ClientAction) []majordomo.ClientAction {
			if a.Result != nil {
				a.Result = []byte(`{"n":1,"run":1}`)
			}
			return []majordomo.ClientAction{*a}
		}),
	},
	{
		name: "a broker says that a request was lost with a worker, and none had it", promise: promiseNotLost,
		plant: instead(jsonrpc.CodeWorkerLost, `{}`),
	},
	{
		name: "an idempotent request is lost with its first worker", promise: promiseNotLost,
		plan: func(p *Plan) { p.Handler.mean = 60 * time.Millisecond },
		plant: func(w *World) {
			contract(`"idempotent":true`, `"idempotent":false`)(w)
			killings(w)
		},
	},
	{
		name: "a request is quarantined too soon", promise: promiseReason,
		plan: func(p *Plan) { p.Handler.mean = 60 * time.Millisecond },
		plant: func(w *World) {
			contract(`"attempts":2`, `"attempts":1`)(w)
			killings(w)
		},
	},
	{
		name: "a request is handed over too often", promise: promiseAttempts,
		plan: func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) {
			contract(`"attempts":2`, `"attempts":9`)(w)
			killings(w)
		},
	},
	{
		name: "what isn't idempotent is handed over twice", promise: promiseOnce,
		plan: func(p *Plan) { p.Workers[0].capacity, p.Workers[1].capacity = 100, 100 },
		plant: func(w *World) {
			first := once()
			sends(func(_ *brokerNode, c mdp.Command, m [][]byte) [][][]byte {
				if c.Kind != mdp.WorkerRequest || !first(bytes.Contains(c.Body[0], []byte(`"s0.once","meta":{"att`))) {
					return [][][]byte{m}
				}
				again := append([][]byte(nil), m...)
				again[2] = bytes.Clone(m[2])
				again[2][1] ^= 0x40 // another token
				return [][][]byte{m, again}
			})(w)
		},
	},
	{
		name: "what isn't idempotent runs again after its worker died", promise: promiseOnce,
		plan: func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) {
			contract(`"name":"once"`, `"name":"once","idempotent":true`)(w)
			killings(w)
		},
	},
	{
		name: "a worker runs a request twice", promise: promiseOnce,
		plant: func(w *World) {
			first := once()
			w.tamper.handler = func(h *handler) {
				if first(true) {
					again := *h
					h.node.after(time.Millisecond, again.begin)
				}
			}
		},
	},
	{
		name: "a keyed request runs twice", promise: promiseKey,
		plant: func(w *World) {
			w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool {
				ev.Envelope.Meta.Key = nil
				return false
			}
		},
	},
	{
		name: "a handler starts after its deadline", promise: promiseInTime,
		plant: func(w *World) {
			w.tamper.handler = func(h *handler) {
				if !h.job.Deadline.IsZero() {
					h.begins = h.job.Deadline.Sub(h.node.clock())
				}
			}
		},
	},
	{
		name: "an expired request is handed over", promise: promiseInTime,
		plan: plainClients,
		plant: func(w *World) {
			w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool {
				if isRequest(ev) && ev.Envelope.Meta.TimeoutMS >= 0 {
					ev.Envelope.Meta.TimeoutMS += 500
				}
				return false
			}
		},
	},
	{
		name: "a broker says that a request was not handed over, and it was", promise: promiseHandedOver,
		plant: sends(func(_ *brokerNode, c mdp.Command, m [][]byte) [][][]byte {
			if c.Kind == mdp.ClientFinal {
				m = append([][]byte(nil), m...)
				m[len(m)-1] = bytes.ReplaceAll(m[len(m)-1], []byte(`"handed_over":true`), []byte(`"handed_over":false`))
			}
			return [][][]byte{m}
		}),
	},
	{
		name: "a broker says that a request was handed over, and it was not", promise: promiseHandedOver,
		plant: instead(jsonrpc.CodeOverloaded, `{"handed_over":true}`),
	},
	{
		name: "a caller is told that nothing ran, and it did", promise: promiseHandedOver,
		plant: dones(func(a *majordomo.ClientAction) []majordomo.ClientAction {
			if a.Failure != nil {
				a.Failure.HandedOver = majordomo.HandedNo
			}
			return []majordomo.ClientAction{*a}
		}),
	},
	{
		name: "a caller is told a failure that is none of its own", promise: promiseReason,
		plant: instead(jsonrpc.CodeNotStarted, `{"handed_over":false}`),
	},
	{
		name: "a broker hands over more than a worker takes", promise: promiseCapacity,
		plan:  func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: contract(`"capacity":4`, `"capacity":9`),
	},
	{
		name: "a worker runs more than its capacity", promise: promiseCapacity,
		plan:  func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) { w.tamper.handler = func(h *handler) { h.node.plan.capacity = 2 } },
	},
	{
		name: "a queue is longer than its limit", promise: promiseQueues,
		plan:  func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) { w.at(time.Second, func() { w.plan.Broker.MaxQueued = 3 }) },
	},
	{
		name: "a worker that drains gets something new", promise: promiseBarrier,
		plan: func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) {
			w.tamper.broker.event = func(b *brokerNode, ev *majordomo.Event) bool {
				if !isRegistration(ev) || number(ev.Command.Body[0], `"capacity":`) != 0 {
					return false
				}
				body := jsonrpc.AppendResult(nil, ev.Envelope.ID, []byte(`{}`))
				say(b, ev.Peer, mdp.Command{Version: mdp.V02, Kind: mdp.ClientFinal, Service: ev.Command.Service, Body: [][]byte{body}})
				return true
			}
			w.at(time.Second, func() { w.workers[0].drain(0) })
		},
	},
	{
		name: "a client doesn't pass on a cancel", promise: promiseCancel,
		plant: func(w *World) {
			w.tamper.clientActions = func(_ *clientNode, actions []majordomo.ClientAction) []majordomo.ClientAction {
				var all []majordomo.ClientAction
				for _, a := range actions {
					if a.Kind == majordomo.ClientSend {
						if _, ok := cancels(toBroker, a.Message); ok {
							continue
						}
					}
					all = append(all, a)
				}
				return all
			}
		},
	},
	{
		name: "a broker doesn't pass on a cancel", promise: promiseCancel,
		plan: func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: sends(func(_ *brokerNode, c mdp.Command, m [][]byte) [][][]byte {
			if c.Kind == mdp.WorkerRequest && isControl(c.Body) {
				return nil
			}
			return [][][]byte{m}
		}),
	},
	{
		name: "a worker doesn't pass on a cancel", promise: promiseCancel,
		plan: func(p *Plan) { p.Handler.mean = 100 * time.Millisecond },
		plant: func(w *World) {
			w.tamper.workerActions = func(_ *workerNode, actions []majordomo.WorkerAction) []majordomo.WorkerAction {
				var all []majordomo.WorkerAction
				for _, a := range actions {
					if a.Kind != majordomo.WorkerCancel {
						all = append(all, a)
					}
				}
				return all
			}
		},
	},
	{
		name: "a part of a stream is lost", promise: promiseStream,
		plant: func(w *World) {
			first := once()
			sends(func(_ *brokerNode, c mdp.Command, m [][]byte) [][][]byte {
				if first(c.Kind == mdp.ClientPartial) {
					return nil
				}
				return [][][]byte{m}
			})(w)
		},
	},
	{
		name: "a stream goes on without credit", promise: promiseStream,
		plan: func(p *Plan) { p.Handler.mean = time.Millisecond },
		plant: func(w *World) {
			w.tamper.workerActions = func(_ *workerNode, actions []majordomo.WorkerAction) []majordomo.WorkerAction {
				for i := range actions {
					if actions[i].Kind == majordomo.WorkerCredit {
						actions[i].N += 20
					}
				}
				return actions
			}
		},
	},
	{
		name: "a broker keeps a peer that is gone", promise: promiseRest,
		plan: func(p *Plan) {
			p.Clients[0] = clientPlan{speak: majordomo.SpeakMDP02, every: 300 * time.Millisecond, burst: 1}
			p.Handler.mean = time.Millisecond
		},
		plant: func(w *World) {
			w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool {
				return ev.Kind == majordomo.Gone && ev.Peer.Identity().Addr == "c0"
			}
			w.at(time.Second, func() { w.clients[0].crash(false) })
		},
	},
	{
		name: "a broker doesn't come to rest", promise: promiseRest,
		plant: func(w *World) {
			w.tamper.broker.actions = func(_ *brokerNode, actions []majordomo.Action) []majordomo.Action {
				if w.ledger.resting && len(actions) > 0 && actions[0].Kind == majordomo.Send {
					c := mdp.Command{Version: mdp.V02, Kind: mdp.ClientFinal, Service: []byte("s0"), Body: [][]byte{{}}}
					return append(actions, majordomo.Action{Kind: majordomo.Send, Peer: actions[0].Peer, Message: c.AppendTo(nil)})
				}
				return actions
			}
		},
	},
	{
		name: "a broker that was healed serves nobody", promise: promiseRecovery,
		plan: plainClients,
		plant: func(w *World) {
			w.tamper.broker.event = func(_ *brokerNode, ev *majordomo.Event) bool { return w.calm && isRequest(ev) }
		},
	},
	{
		name: "a worker that drains doesn't end", promise: promiseDrain,
		plant: func(w *World) {
			w.tamper.workerActions = func(_ *workerNode, actions []majordomo.WorkerAction) []majordomo.WorkerAction {
				var all []majordomo.WorkerAction
				for _, a := range actions {
					if a.Kind != majordomo.WorkerFinished {
						all = append(all, a)
					}
				}
				return all
			}
		},
	},
	{
		name: "an engine panics", promise: "panic: planted",
		plant: dones(func(*majordomo.ClientAction) []majordomo.ClientAction { panic("planted") }),
	},
}

// The ledger finds each bug that is planted, and none where there is none.
func TestLedgerFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		report, err := New(basicPlan(1), nil).Run()
		require.NoError(t, err)
		require.Greater(t, report.Replied, 100)
	})
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			var err error
			// The bug may show as something else first.
			for seed := uint64(1); seed <= 10 && (err == nil || !strings.Contains(err.Error(), bug.promise)); seed++ {
				p := basicPlan(seed)
				if bug.plan != nil {
					bug.plan(&p)
				}
				w := New(p, nil)
				bug.plant(w)
				_, err = w.Run()
			}
			require.ErrorContains(t, err, bug.promise)
		})
	}
}

// The same seed is the same world.
func TestWorldsAreRepeatable(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 3; seed++ {
		var told []string
		for range 2 {
			trace := NewTrace(1_000_000)
			report, err := New(Draw(seed), trace).Run()
			require.NoError(t, err)
			told = append(told, fmt.Sprintf("%+v\n%s", report, trace.Last(1_000_000)))
		}
		require.Equal(t, told[0], told[1], "seed %d", seed)
	}
}
