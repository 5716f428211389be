package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// startOperable starts a broker that lets everybody operate, and a worker.
func startOperable(t *testing.T) *bed {
	t.Helper()
	b := &bed{addr: serveWith(t, mesh.BrokerConfig{ID: "b1", AllowOperate: true, NoWorkerWait: time.Minute}), room: newRoom()}
	b.room.work(t, zmtp.Config{}, transport.Endpoint{Addr: b.addr})
	return b
}

// status returns what "mesh status --json" says of the one broker.
func (b *bed) status(t *testing.T) *mesh.Snapshot {
	t.Helper()
	got := b.run(t, "status", "--json")
	require.Zero(t, got.code, got.err)
	var all []statusReport
	require.NoError(t, json.Unmarshal([]byte(got.out), &all))
	require.Len(t, all, 1)
	require.Equal(t, b.addr, all[0].Asked)
	return all[0].Snapshot
}

// waitFor waits until the broker's state is as it should be.
func (b *bed) waitFor(t *testing.T, is func(*mesh.Snapshot) bool) *mesh.Snapshot {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if s := b.status(t); is(s) {
			return s
		}
	}
	require.FailNow(t, "what was waited for didn't happen")
	panic("unreachable")
}

// call calls in a goroutine of its own.
func (b *bed) call(t *testing.T, args ...string) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	go func() { done <- b.run(t, append([]string{"call"}, args...)...) }()
	return done
}

func TestPeers(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	got := b.run(t, "peers")
	require.Zero(t, got.code, got.err)
	host, err := os.Hostname()
	require.NoError(t, err)
	tables := strings.Split(got.out, "\n\n")
	require.Len(t, tables, 3)
	broker := strings.Fields(strings.Split(tables[0], "\n")[1])
	require.Equal(t, []string{"b1", b.addr, host, strconv.Itoa(os.Getpid()), mesh.Version}, broker[:5])
	require.Equal(t, "serving", broker[6])
	require.True(t, strings.HasPrefix(tables[1], "WORKER "), tables[1])
	worker := strings.Fields(strings.Split(tables[1], "\n")[1])
	require.Equal(t, b.status(t).Workers[0].Instance, worker[0])
	require.Equal(t, []string{"b1", "-"}, worker[1:3], "it has no authenticated name")
	require.Equal(t, []string{"0", "serving", "tea"}, []string{worker[9], worker[11], worker[12]})
	require.True(t, strings.HasPrefix(tables[2], "CLIENT "), "the command itself")

	got = b.run(t, "peers", "--json")
	require.Zero(t, got.code)
	var all []peersReport
	require.NoError(t, json.Unmarshal([]byte(got.out), &all))
	require.Len(t, all, 1)
	require.Equal(t, "b1", all[0].Broker)
	require.Equal(t, []string{b.addr}, all[0].Addrs)
	require.Len(t, all[0].Workers, 1)
	require.NotEmpty(t, all[0].Clients)
}

// Each broker is asked, and one that fails doesn't keep the others from being shown.
func TestPeersOfSeveralBrokers(t *testing.T) {
	t.Parallel()
	b, other, nobody := startOperable(t), serveWith(t, mesh.BrokerConfig{ID: "b2"}), closedPort(t)
	got := b.run(t, "peers", "--broker", b.addr+","+other)
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "\nb1 ")
	require.Contains(t, got.out, "\nb2 ")

	for _, command := range []string{"peers", "status"} {
		got = b.run(t, command, "--broker", nobody, "--broker", b.addr)
		require.Equal(t, exitFailed, got.code)
		require.Contains(t, got.out, "b1 ")
		require.True(t, strings.HasPrefix(got.err, nobody+": mesh: no broker can be reached: "), got.err)
		require.True(t, strings.HasSuffix(got.err, "\nmesh: 1 of 2 brokers failed\n"), got.err)

		got = b.run(t, command, "--json", "--broker", nobody, "--broker", b.addr)
		require.Equal(t, exitFailed, got.code)
		var all []statusReport
		require.NoError(t, json.Unmarshal([]byte(got.out), &all))
		require.Len(t, all, 2)
		require.Contains(t, all[0].Error, "no broker can be reached")
		require.Empty(t, all[1].Error)
		require.Equal(t, "b1", all[1].Broker)

		got = b.run(t, command, "--broker", nobody)
		require.Equal(t, exitFailed, got.code)
		require.True(t, strings.HasPrefix(got.err, "mesh: no broker can be reached: "), got.err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	require.Zero(t, b.run(t, "call", "tea.note").code)
	waits := b.call(t, "tea.wait")
	await(t, b.room.inside)
	got := b.run(t, "status")
	require.Zero(t, got.code, got.err)
	require.True(t, strings.HasPrefix(got.out, "b1 at "+b.addr+": serving for "), got.out)
	require.Contains(t, got.out, " 0 queued (0 bytes), 1 running, 0 abandoned, 0 in quarantine\n")
	require.Contains(t, got.out, "\never:  2 received: 1 replied, 0 failed,")
	require.Contains(t, got.out, "\n\nSERVICE  WORKERS  QUEUED  RUNNING  FINISHED  FAILED  STATE\ntea      1        0       1        1         0       serving\n")
	require.NotContains(t, got.out, "REQUEST")

	got = b.run(t, "status", "--requests")
	require.Regexp(t, `\nREQUEST +STATE +METHOD +CALLER +WORKER +ATTEMPTS +AGE\n2 +running +tea\.wait +tcp://\S+ +\S+ +1 +\S+s\n$`, got.out)
	close(b.room.release)
	require.Zero(t, await(t, waits).code)

	empty := &bed{addr: serveWith(t, mesh.BrokerConfig{ID: "b2"})}
	got = empty.run(t, "status", "--requests")
	require.Zero(t, got.code)
	require.True(t, strings.HasSuffix(got.out, " unexpected\n"), "no table")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	require.Equal(t, outcome{out: "paused tea\n"}, b.run(t, "pause", "tea"))
	waits := b.call(t, "tea.echo", `{}`)
	s := b.waitFor(t, func(s *mesh.Snapshot) bool { return s.Queued == 1 })
	require.True(t, s.Services[0].Paused)
	require.Contains(t, b.run(t, "status").out, " paused\n")
	require.Equal(t, outcome{out: "resumed tea\n"}, b.run(t, "resume", "tea"))
	require.Equal(t, outcome{out: "{}\n"}, await(t, waits))
	require.Equal(t, outcome{exitFailed, "", "mesh: no such service (-32000): \"coffee\"\n"}, b.run(t, "pause", "coffee"))

	// A broker that doesn't know the service is left out, if another does.
	other, nobody := serveWith(t, mesh.BrokerConfig{AllowOperate: true}), closedPort(t)
	require.Equal(t, outcome{out: "paused tea at " + b.addr + "\n"}, b.run(t, "pause", "tea", "--broker", other+","+b.addr))
	got := b.run(t, "resume", "tea", "--broker", nobody+","+b.addr)
	require.Equal(t, exitFailed, got.code, "one that can't be asked is not")
	require.Equal(t, "resumed tea at "+b.addr+"\n", got.out)
	got = b.run(t, "pause", "coffee", "--broker", other+","+b.addr)
	require.Equal(t, exitFailed, got.code)
	require.Empty(t, got.out)
	require.Contains(t, got.err, "mesh: 2 of 2 brokers failed\n")
}

func TestDrainAndDisconnect(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	instance := b.status(t).Workers[0].Instance
	waits := b.call(t, "tea.wait")
	await(t, b.room.inside)
	require.Equal(t, outcome{out: "drained " + instance + "\n"}, b.run(t, "drain", instance))
	require.True(t, b.status(t).Workers[0].Draining)
	require.Contains(t, b.run(t, "peers").out, " draining ")
	require.Equal(t, outcome{out: "disconnected " + instance + "\n"}, b.run(t, "disconnect", instance))
	require.Contains(t, await(t, waits).err, "mesh: worker lost (-32004)")
	b.waitFor(t, func(s *mesh.Snapshot) bool { return len(s.Workers) == 1 && !s.Workers[0].Draining })
	require.Equal(t, outcome{exitFailed, "", "mesh: not found (-32013): no such worker\n"}, b.run(t, "drain", "nobody"))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	waits := b.call(t, "tea.wait")
	await(t, b.room.inside)
	request := strconv.FormatUint(b.status(t).Requests[0].Request, 10)
	require.Equal(t, outcome{out: "cancelled " + request + "\n"}, b.run(t, "cancel", request))
	require.Equal(t, outcome{exitFailed, "", "mesh: cancelled (-32005): cancelled by an operator\n"}, await(t, waits))
	require.Error(t, await(t, b.room.left), "its handler was told")
	require.Equal(t, outcome{exitFailed, "", "mesh: not found (-32013): no such request waits\n"}, b.run(t, "cancel", request))
}

func TestReleaseAndDrop(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	for _, command := range []string{"release", "drop"} {
		require.Equal(t, outcome{exitFailed, "", "mesh: not found (-32013): no such request in quarantine\n"}, b.run(t, command, "7"))
	}
	for range 2 {
		b.poison(t)
	}
	held := b.status(t).Quarantine
	require.Len(t, held, 2)
	first, second := strconv.FormatUint(held[0].Request, 10), strconv.FormatUint(held[1].Request, 10)
	require.Regexp(t, `\n`+first+` +quarantined +poison\.take +- +- +1 +`, b.run(t, "status", "--requests").out)
	require.Equal(t, first+"\tquarantined poison.take\n"+second+"\tquarantined poison.take\n:4\n", b.run(t, "__complete", "drop", "").out)

	require.Equal(t, outcome{out: "dropped " + first + "\n"}, b.run(t, "drop", first))
	got := b.run(t, "release", second)
	require.Zero(t, got.code, got.err)
	require.Regexp(t, "^released "+second+", which runs as [0-9]+\n$", got.out)
	require.Empty(t, b.status(t).Quarantine)
}

// poison has a request quarantined: its worker is lost.
func (b *bed) poison(t *testing.T) {
	t.Helper()
	inside := make(chan struct{}, 1)
	service := mesh.NewService("poison").HandleRaw("take", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		inside <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}, mesh.Idempotent(), mesh.Attempts(1))
	w, err := mesh.NewWorker(mesh.WorkerConfig{
		Instance: "victim", Transport: zmtp.New(zmtp.Config{}), Brokers: []transport.Endpoint{{Addr: b.addr}},
	}, service)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	await(t, w.Ready())
	waits := b.call(t, "poison.take")
	await(t, inside)
	cancel()
	require.ErrorIs(t, <-ran, context.Canceled)
	require.Contains(t, await(t, waits).err, "mesh: quarantined (-32006)")
}

func TestCompleteOperations(t *testing.T) {
	t.Parallel()
	b := startOperable(t)
	instance := b.status(t).Workers[0].Instance
	waits := b.call(t, "tea.wait")
	await(t, b.room.inside)
	request := b.status(t).Requests[0].Request
	for command, want := range map[string]string{
		"pause": "tea\tAll about tea.\n", "resume": "tea\tAll about tea.\n", "drain": instance + "\ttea\n", "disconnect": instance + "\ttea\n",
		"cancel": strconv.FormatUint(request, 10) + "\trunning tea.wait\n", "release": "", "drop": "",
	} {
		require.Equal(t, want+":4\n", b.run(t, "__complete", command, "").out, command)
		require.Equal(t, ":4\n", b.run(t, "__complete", command, "one", "").out, command)
	}
	close(b.room.release)
	require.Zero(t, await(t, waits).code)
}

// What a peer says of itself can't spoil a table or a terminal.
func TestTables(t *testing.T) {
	t.Parallel()
	rows := table{"A", "B"}.begin()
	rows.row("", "two\tcells\nor \x1b[31mmore")
	var out strings.Builder
	require.NoError(t, printTables(&out, rows, table{"NONE"}.begin()))
	require.Equal(t, "A  B\n-  two cells or \ufffd[31mmore\n", out.String())
	require.Equal(t, "0.1s", ago(100*time.Millisecond))
	require.Equal(t, "1h0m1s", ago(time.Hour+1200*time.Millisecond))
}
