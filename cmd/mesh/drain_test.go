package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

const kitchen = "kitchen-1" // the instance of the worker in these tests

// pair is two brokers that let everybody operate, and a worker of both.
type pair struct {
	first, second *bed
	both          string // addresses
	stop          context.CancelFunc
}

func startPair(t *testing.T) *pair {
	t.Helper()
	r := newRoom()
	var beds []*bed
	var brokers []transport.Endpoint
	for range 2 {
		b := &bed{addr: serveWith(t, mesh.BrokerConfig{AllowOperate: true, NoWorkerWait: time.Minute}), room: r}
		beds, brokers = append(beds, b), append(brokers, transport.Endpoint{Addr: b.addr})
	}
	w, err := mesh.NewWorker(mesh.WorkerConfig{
		Instance: kitchen, Transport: zmtp.New(zmtp.Config{}), Brokers: brokers,
		Redial: mesh.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond},
	}, r.service)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	for _, b := range beds {
		b.waitFor(t, func(s *mesh.Snapshot) bool { return len(s.Workers) == 1 })
	}
	return &pair{beds[0], beds[1], beds[0].addr + "," + beds[1].addr, stop}
}

// drain drains the worker at both brokers, and waits in a goroutine of its own.
func (p *pair) drain(t *testing.T, args ...string) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	go func() {
		done <- command(t, nil, "", join([]string{"drain", kitchen, "--wait", "--broker", p.both}, args...)...)
	}()
	return done
}

// goesOn fails the test where something has ended already.
func goesOn(t *testing.T, done <-chan outcome) {
	t.Helper()
	select {
	case got := <-done:
		require.FailNow(t, "it has ended", "%+v", got)
	default:
	}
}

func drained(s *mesh.Snapshot) bool { return len(s.Workers) == 1 && s.Workers[0].Draining }

// The command waits for what the worker has, wherever it has it.
func TestDrainWaits(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	waits := p.second.call(t, "tea.wait")
	await(t, p.second.room.inside)
	done := p.drain(t, "--timeout", "1m")
	p.first.waitFor(t, drained)
	p.second.waitFor(t, drained)
	goesOn(t, done)
	close(p.second.room.release)
	require.Zero(t, await(t, waits).code, "it was finished")
	require.Equal(t, outcome{out: "drained " + kitchen + " at " + p.first.addr + ", " + p.second.addr + "\n"}, await(t, done))
}

// While it waits for one broker, the worker must not come back to another.
func TestDrainWaitsForAllAtOnce(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	waits := p.second.call(t, "tea.wait")
	await(t, p.second.room.inside)
	done := p.drain(t, "--timeout", "1m")
	before := p.first.waitFor(t, drained).Workers[0].Addr
	require.Equal(t, outcome{out: "disconnected " + kitchen + "\n"}, p.first.run(t, "disconnect", kitchen), "which ends its drain")
	p.first.waitFor(t, func(s *mesh.Snapshot) bool { return drained(s) && s.Workers[0].Addr != before })
	goesOn(t, done)
	close(p.second.room.release)
	require.Zero(t, await(t, waits).code)
	require.Zero(t, await(t, done).code)
}

// A worker that is gone has nothing left.
func TestDrainOfAWorkerThatStops(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	waits := p.first.call(t, "tea.wait")
	await(t, p.first.room.inside)
	done := p.drain(t, "--timeout", "1m")
	p.first.waitFor(t, drained)
	p.stop()
	require.Zero(t, await(t, done).code)
	require.Equal(t, exitFailed, await(t, waits).code)
	require.Equal(t, outcome{exitFailed, "", "mesh: not found (-32013): no such worker\n"}, p.first.run(t, "drain", kitchen, "--wait"))
}

func TestDrainTakesTooLong(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	waits := p.second.call(t, "tea.wait")
	await(t, p.second.room.inside)
	got := await(t, p.drain(t, "--timeout", "2s"))
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "drained "+kitchen+" at "+p.first.addr+"\n", got.out)
	require.Equal(t, p.second.addr+": mesh: time is over, and kitchen-1 still has 1 request\nmesh: 1 of 2 brokers failed\n", got.err)
	require.True(t, drained(p.second.status(t)), "it stays drained")

	got = p.second.run(t, "drain", kitchen, "--wait", "--timeout", "2s")
	require.Equal(t, outcome{exitFailed, "", "mesh: time is over, and kitchen-1 still has 1 request\n"}, got)
	close(p.second.room.release)
	require.Zero(t, await(t, waits).code)
}

// A broker that doesn't have the worker, or can't be asked, keeps nobody waiting.
func TestDrainWaitsForNobodyElse(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	other, nobody := serveWith(t, mesh.BrokerConfig{AllowOperate: true}), closedPort(t)
	p.both = other + "," + p.first.addr
	require.Equal(t, outcome{out: "drained " + kitchen + " at " + p.first.addr + "\n"}, await(t, p.drain(t, "--timeout", "1m")))

	p.both = nobody + "," + p.first.addr
	got := await(t, p.drain(t, "--timeout", "1m"))
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "drained "+kitchen+" at "+p.first.addr+"\n", got.out)
	require.Contains(t, got.err, nobody+": mesh: no broker can be reached: ")
}

// Whoever may not see how the worker stands is told so.
func TestDrainUnseen(t *testing.T) {
	t.Parallel()
	b := &bed{addr: serveWith(t, mesh.BrokerConfig{Authorizer: blinding{}}), room: newRoom()}
	b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: b.addr})
	got := b.run(t, "drain", kitchen, "--wait")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "mesh: not permitted (-32008): mmi.status\n", got.err)
}

// blinding lets everybody do all but see.
type blinding struct{}

func (blinding) Allow(_ transport.Identity, right mesh.Right, _, _ []byte) bool {
	return right != mesh.RightSee
}

func (blinding) Partly(transport.Identity, mesh.Right) bool { return false }

func (blinding) ByMethod([]byte) bool { return false }
