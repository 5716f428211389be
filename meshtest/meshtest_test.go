package meshtest_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type Order struct {
	Sugar int `json:"sugar" minimum:"0"`
}

type Cup struct {
	Text string `json:"text"`
}

var (
	brew = mesh.NewMethod[Order, Cup]("tea.brew", mesh.Idempotent())
	boil = mesh.NewMethod[Order, Cup]("water.boil")
	pour = mesh.NewStream[Order, Cup]("tea.pour")
)

// Outside of a bubble a mesh runs in real time.
func TestRealTime(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, mesh.NewService("tea").Handle(meshtestHandler("black")))
	cup, err := brew.Call(t.Context(), m.Client(), Order{})
	require.NoError(t, err)
	require.Equal(t, Cup{"black"}, cup)
	m.Kill("worker-1")
	m.Wait(meshtest.Event(mesh.EventServiceGone).Service("tea"))
	m.Serve(mesh.NewService("tea").Handle(meshtestHandler("green")))
	cup, err = brew.Call(t.Context(), m.Client(), Order{})
	require.NoError(t, err)
	require.Equal(t, Cup{"green"}, cup)
}

// Meshes of one process, in bubbles and outside, don't meet.
func TestMeshesAreApart(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"black", "green", "white"} {
		serve := func(t *testing.T) {
			m := meshtest.New(t, mesh.NewService("tea").Handle(meshtestHandler(text)))
			for range 10 {
				cup, err := brew.Call(t.Context(), m.Client(), Order{})
				require.NoError(t, err)
				require.Equal(t, Cup{text}, cup)
			}
		}
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			serve(t)
			synctest.Test(t, serve)
			serve(t)
		})
	}
}

// The mesh's patience bounds what would take for ever, in virtual time, too.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		text := failed(t, func(t testing.TB) {
			m := meshtest.Config{Patience: time.Hour}.New(t)
			m.Stub(meshtest.Reply(brew, Cup{}))
			m.Wait(meshtest.Event(mesh.EventWorkerLeft).Service("tea"))
		})
		require.Equal(t, time.Hour, time.Since(start))
		require.Contains(t, text, `no event "worker left", of service tea came within 1h0m0s; the last 2 of 2 events:`+"\n"+
			"  no. 1, 0s, broker-1: service appeared tea at stub-tea\n"+
			"  no. 2, 0s, broker-1: worker joined tea at stub-tea")
	})
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for _, c := range []meshtest.Config{{Brokers: -1}, {Patience: -1}, {MaxMessages: -1}} {
		require.Contains(t, failed(t, func(t testing.TB) { c.New(t) }), "a field of Config is negative")
	}
	require.Contains(t, failed(t, func(t testing.TB) {
		meshtest.Config{Broker: mesh.BrokerConfig{NoWorkerWait: -1}}.New(t)
	}), "meshtest: broker-1: mesh: ")
	require.Contains(t, failed(t, func(t testing.TB) {
		meshtest.Config{Client: mesh.ClientConfig{MaxPending: -1}}.New(t)
	}), "meshtest: client-1: mesh: ")
	require.Contains(t, failed(t, func(t testing.TB) { meshtest.New(t).Serve() }), "meshtest: worker-1: mesh: ")
}

func TestNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.AddWorker(mesh.WorkerConfig{Instance: "kettle"}, mesh.NewService("tea").Handle(meshtestHandler("hot")))
		alice := m.NewClient(mesh.ClientConfig{Name: "alice"})
		_, err := brew.Call(t.Context(), alice, Order{})
		require.NoError(t, err)
		_, err = brew.Call(t.Context(), m.NewClient(mesh.ClientConfig{}), Order{})
		require.NoError(t, err)

		calls := meshtest.Calls(m, brew)
		require.Len(t, calls, 2)
		require.Equal(t, "kettle", calls[0].Worker)
		require.Equal(t, "alice", calls[0].Caller)
		require.Equal(t, "alice", calls[0].Claimed)
		require.Equal(t, "client-2", calls[1].Caller)
		require.Empty(t, calls[1].Claimed)
	})
	require.Contains(t, failed(t, func(t testing.TB) {
		m := meshtest.New(t)
		m.NewClient(mesh.ClientConfig{Name: "client-1"})
	}), `two ends of the mesh are called "client-1"`)
}

func TestConfigIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed atomic.Int64 // both brokers tell
		m := meshtest.Config{
			Brokers: 2,
			Broker:  mesh.BrokerConfig{ID: "ignored", Observe: func(batch []mesh.Event) { observed.Add(int64(len(batch))) }},
			Worker:  mesh.WorkerConfig{Capacity: 7},
			Client:  mesh.ClientConfig{Timeout: time.Minute},
		}.New(t, mesh.NewService("tea").Handle(meshtestHandler("hot")))
		m.Stub(meshtest.Hang(boil))
		start := time.Now()
		_, err := boil.Call(t.Context(), m.Client(), Order{})
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.Equal(t, time.Minute, time.Since(start))

		capacities := make(map[string]int)
		require.Len(t, m.Brokers(), 2)
		require.Same(t, m.Broker(), m.Brokers()[0])
		for i, id := range []string{"broker-1", "broker-2"} {
			snapshot, err := m.Brokers()[i].Snapshot(t.Context())
			require.NoError(t, err)
			require.Equal(t, id, snapshot.Broker)
			for _, w := range snapshot.Workers {
				capacities[w.Instance] += w.Capacity
			}
		}
		require.Len(t, capacities, 2)
		for _, capacity := range capacities {
			require.Equal(t, 7, capacity, "all brokers together")
		}
		require.Len(t, m.Events(meshtest.Event()), int(observed.Load()))
		require.NotZero(t, observed.Load())
	})
}
