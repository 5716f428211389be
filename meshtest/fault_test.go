package meshtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
	"github.com/mdpmesh/mesh/transport/faulty"
)

// Brokers hear of a worker's death, but not of its power cut.
func TestWorkersEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    func(*meshtest.Mesh, string)
		notice time.Duration
	}{
		"killed":  {(*meshtest.Mesh).Kill, 0},
		"crashed": {(*meshtest.Mesh).Crash, 7500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := meshtest.New(t)
				w := m.Serve(mesh.NewService("water").Handle(boil.With(func(ctx context.Context, _ Order) (Cup, error) {
					<-ctx.Done()
					return Cup{}, nil
				})))
				pending := boil.Go(t.Context(), m.Client(), Order{})
				m.Wait(meshtest.Event(mesh.EventDispatched))
				start := time.Now()
				test.end(m, "worker-1")
				synctest.Wait()
				require.True(t, meshtest.Calls(m, boil)[0].Ended, "its handler's context is over at once")
				_, err := pending.Wait()
				require.ErrorIs(t, err, mesh.ErrWorkerLost)
				require.Equal(t, test.notice, time.Since(start))
				require.NoError(t, w.Shutdown(t.Context()))
				<-time.After(time.Hour)
				require.Len(t, m.Events(meshtest.Event(mesh.EventWorkerJoined)), 1, "it doesn't come back")
			})
		})
	}
}

func TestBrokersEndAndComeBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    func(*meshtest.Mesh, string)
		notice time.Duration
	}{
		"killed":  {(*meshtest.Mesh).Kill, 0},
		"crashed": {(*meshtest.Mesh).Crash, 7500 * time.Millisecond},
		"shut down": {func(m *meshtest.Mesh, _ string) {
			_ = m.Broker().Shutdown(context.Background()) // it has no deadline to fail for
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := meshtest.Config{
					Worker: mesh.WorkerConfig{Redial: mesh.Backoff{Max: time.Second}},
					Client: mesh.ClientConfig{Timeout: time.Hour, Redial: mesh.Backoff{Max: time.Second}},
				}.New(t)
				m.Stub(meshtest.Reply(brew, Cup{"hot"}))
				_, err := brew.Call(t.Context(), m.Client(), Order{})
				require.NoError(t, err)
				before := m.Broker()
				joined := m.Wait(meshtest.Event(mesh.EventWorkerJoined))

				start := time.Now()
				test.end(m, "broker-1")
				pending := brew.Go(t.Context(), m.Client(), Order{})
				<-time.After(time.Minute)
				m.Restart("broker-1")
				require.NotSame(t, before, m.Broker())
				cup, err := pending.Wait()
				require.NoError(t, err)
				require.Equal(t, Cup{"hot"}, cup)
				again := m.Wait(meshtest.Event(mesh.EventWorkerJoined).After(joined))
				require.GreaterOrEqual(t, time.Since(start), time.Minute)
				require.Less(t, again.At, 2*time.Minute)
			})
		})
	}
}

func TestClientsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Hang(brew))
		pending := brew.Go(t.Context(), m.Client(), Order{})
		m.Wait(meshtest.Event(mesh.EventDispatched))
		m.Crash("client-1")
		_, err := pending.Wait()
		require.ErrorIs(t, err, mesh.ErrClosed)
		ended := m.Wait(meshtest.Event(mesh.EventCancelled))
		require.Equal(t, 7500*time.Millisecond, ended.At)
	})
}

func TestPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meshtest.New(t)
		m.Stub(meshtest.Reply(brew, Cup{"hot"}))
		call := func() error {
			_, err := brew.Call(t.Context(), m.Client(), Order{}, mesh.Timeout(time.Second), mesh.NoRetry())
			return err
		}
		require.NoError(t, call())
		heal := m.Partition("client-1", "broker-1")
		require.ErrorIs(t, call(), mesh.ErrTimeout)
		require.Len(t, meshtest.Calls(m, brew), 1)
		heal()
		require.NoError(t, call())
		m.PartitionOneWay("broker-1", meshtest.Any)
		require.ErrorIs(t, call(), mesh.ErrTimeout)
		m.Heal()
		require.NoError(t, call())
	})
}

// The same seed brings the same faults.
func TestSetFaults(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (runs []int) {
		synctest.Test(t, func(t *testing.T) {
			m := meshtest.Config{Seed: seed}.New(t)
			m.Stub(meshtest.Reply(brew, Cup{"hot"}))
			call := func() {
				before := len(meshtest.Calls(m, brew))
				_, err := brew.Call(t.Context(), m.Client(), Order{})
				require.NoError(t, err)
				synctest.Wait()
				runs = append(runs, len(meshtest.Calls(m, brew))-before)
			}
			call()
			m.SetFaults(faulty.Faults{Duplicate: 0.5}, faulty.Faults{})
			for range 20 {
				call()
			}
			m.SetFaults(faulty.Faults{}, faulty.Faults{})
			call()
		})
		return runs
	}
	first := run(1)
	require.Equal(t, 1, first[0])
	require.Contains(t, first, 2)
	require.Equal(t, 1, first[len(first)-1])
	require.Equal(t, first, run(1))
	require.NotEqual(t, first, run(2))
}

func TestFaultsThatCantBe(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]func(m *meshtest.Mesh){
		`no end of the mesh is called "worker-1"`:      func(m *meshtest.Mesh) { m.Kill("worker-1") },
		`no end of the mesh is called "broker-2"`:      func(m *meshtest.Mesh) { m.Partition("client-1", "broker-2") },
		`"client-1" and "client-1" aren't connected`:   func(m *meshtest.Mesh) { m.Partition("client-1", "client-1") },
		`"broker-1" and "broker-1" aren't connected`:   func(m *meshtest.Mesh) { m.PartitionOneWay("broker-1", "broker-1") },
		`broker-1 runs; kill, crash or shut it down`:   func(m *meshtest.Mesh) { m.Restart("broker-1") },
		`no broker is called "client-1"`:               func(m *meshtest.Mesh) { m.Restart("client-1") },
		`faulty: up.Drop is 2, must be from 0 to 1`:    func(m *meshtest.Mesh) { m.SetFaults(faulty.Faults{Drop: 2}, faulty.Faults{}) },
		`faulty: down.Drop is -1, must be from 0 to 1`: func(m *meshtest.Mesh) { m.SetFaults(faulty.Faults{}, faulty.Faults{Drop: -1}) },
	} {
		require.Contains(t, failed(t, func(t testing.TB) { test(meshtest.New(t)) }), want)
	}
}
