//go:build linux

package netns

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mdpmesh/mesh"
)

// lost are the ways in which a call that mustn't run twice may end, where it was on
// its way when a process or a link was lost.
var lost = []mesh.Code{mesh.CodeBrokerLost, mesh.CodeWorkerLost}

// steady is for how long the load is measured.
const steady = 5 * time.Second

// The short scenario: everything works while nothing happens.
func TestNothingHappens(t *testing.T) {
	need(t)
	b := newBed(t, true, brisk)
	from := time.Now()
	b.pass(time.Second)
	to := time.Now()
	b.end()
	t.Log(b.ledger.between(from, to, "c"))
}

// A broker is killed, and comes back.
func TestBrokerKilled(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	from := time.Now()
	b.pass(steady)
	to := time.Now()
	t.Log("as much as goes, three brokers: ", b.saturate(steady))

	victim := b.brokers[1]
	killed := time.Now()
	victim.kill()
	normal := killed.Add(2 * b.heartbeat.Timeout())
	b.pass(time.Until(normal))
	b.pass(steady)
	after := time.Now()
	t.Log("as much as goes, two brokers: ", b.saturate(steady))
	victim.restart()
	t.Log("every worker is back after ", b.whole())
	b.pass(time.Second)
	b.end(lost...)

	was, is := b.ledger.typical(from, to), b.ledger.typical(normal, after)
	t.Log("three brokers: ", was)
	t.Log("within two liveness times: ", b.ledger.between(killed, normal, "c"))
	t.Log("two brokers, from then on: ", is)
	b.sameAs(was, is)
	for _, end := range b.ledger.failures() {
		require.WithinRange(t, end, killed, normal, "only what was on its way may fail")
	}
}

// sameAs holds figures to those of a time when nothing happened. Latencies of a busy
// machine waver; what is looked for is a call that waits for something that is gone,
// which takes a good part of the liveness time.
func (b *bed) sameAs(was, is figures) {
	b.t.Helper()
	require.NotZero(b.t, was.rate)
	require.Zero(b.t, is.failed)
	require.Less(b.t, is.p99, 3*was.p99+50*time.Millisecond, "p99 was %v", was.p99)
	require.Greater(b.t, is.rate, was.rate/2)
}

// All brokers, then all workers, are restarted one after another, and nobody notices.
func TestRollingRestart(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	from := time.Now()
	for _, n := range b.brokers {
		n.signal(unix.SIGTERM)
		n.ended()
		n.restart()
		t.Log(n.name, " has every worker again after ", b.whole())
	}
	for _, n := range b.workers {
		n.finish()
		n.restart()
		t.Log(n.name, " is everywhere again after ", b.whole())
	}
	to := time.Now()
	b.pass(time.Second)
	require.Zero(t, b.end())
	t.Log("meanwhile: ", b.ledger.between(from, to, "c"))
}

// The link of a broker is cut, both ways and each way alone, and heals.
func TestLinkCut(t *testing.T) {
	slow(t)
	for _, c := range []struct {
		name  string
		lossy bool
		cut   func(*host)
		heal  func(*host)
	}{
		{"both ways", false, (*host).cut, (*host).join},
		{"to the broker", true, func(h *host) { h.impair(toHost, weather{loss: 100}) }, func(h *host) { h.impair(toHost, weather{}) }},
		{"from the broker", true, func(h *host) { h.impair(fromHost, weather{loss: 100}) }, func(h *host) { h.impair(fromHost, weather{}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, c.lossy, brisk)
			b.settle()
			from := time.Now()
			b.pass(steady)
			to := time.Now()

			victim := b.brokers[0]
			cut := time.Now()
			c.cut(victim.host)
			took := b.await("the broker drops all peers", b.heartbeat.Timeout()+slack, func() bool {
				workers, clients := b.peers(victim)
				return workers == 0 && clients == 0
			})
			t.Log("the broker dropped its peers after ", took)
			normal := cut.Add(2 * b.heartbeat.Timeout())
			b.pass(time.Until(normal))
			b.pass(steady)
			after := time.Now()
			c.heal(victim.host)
			t.Log("healed, and every worker is back after ", b.whole())
			b.pass(time.Second)
			b.end(lost...)

			was, is := b.ledger.typical(from, to), b.ledger.typical(normal, after)
			during := b.ledger.between(cut, normal, "c")
			t.Log("before: ", was)
			t.Log("within two liveness times: ", during)
			t.Log("cut, from then on: ", is)
			b.sameAs(was, is)
			// Workers and clients dropped the broker, and what they had there was done elsewhere.
			require.Less(t, during.max, b.heartbeat.Timeout()+slack)
		})
	}
}

// Each broker's link loses a tenth of all packets and holds up the others.
func TestBadWeather(t *testing.T) {
	slow(t)
	b := newBed(t, true, mesh.Heartbeat{Interval: 2500 * time.Millisecond, Liveness: 3}) // the default
	b.settle()
	for _, n := range b.brokers {
		n.host.impair(bothWays, weather{loss: 10, delay: 50 * time.Millisecond})
	}
	from := time.Now()
	b.pass(30 * time.Second)
	to := time.Now()
	failed := b.end(lost...)
	f := b.ledger.between(from, to, "c")
	t.Log(f)
	require.Greater(t, f.p50, 200*time.Millisecond, "twice there and back again")
	require.Less(t, failed, len(b.ledger.calls)/100)
}

// A broker stands still for longer than the liveness time, and goes on as if nothing
// had been.
func TestBrokerStopped(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	from := time.Now()
	b.pass(steady)
	to := time.Now()

	victim := b.brokers[2]
	stopped := time.Now()
	victim.signal(unix.SIGSTOP)
	normal := stopped.Add(2 * b.heartbeat.Timeout())
	b.pass(time.Until(normal))
	b.pass(steady)
	after := time.Now()
	victim.signal(unix.SIGCONT)
	t.Log("going on, and every worker is back after ", b.whole())
	b.pass(time.Second)
	b.end(lost...)

	was, is := b.ledger.typical(from, to), b.ledger.typical(normal, after)
	during := b.ledger.between(stopped, normal, "c")
	t.Log("before: ", was)
	t.Log("within two liveness times: ", during)
	t.Log("stopped, from then on: ", is)
	b.sameAs(was, is)
	require.Less(t, during.max, b.heartbeat.Timeout()+slack)
}

// One worker is killed, and another stands still for longer than the liveness time.
func TestWorkersLost(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	from := time.Now()
	b.pass(steady)
	to := time.Now()

	killed := time.Now()
	b.workers[0].kill()
	b.workers[1].signal(unix.SIGSTOP)
	for _, n := range b.brokers {
		b.await(n.name+" drops both", b.heartbeat.Timeout()+slack, func() bool {
			workers, _ := b.peers(n)
			return workers == len(b.workers)-2
		})
	}
	normal := killed.Add(2 * b.heartbeat.Timeout())
	b.pass(time.Until(normal))
	b.pass(steady)
	after := time.Now()
	b.workers[0].restart()
	b.workers[1].signal(unix.SIGCONT)
	t.Log("back, and every worker is everywhere after ", b.whole())
	b.pass(time.Second)
	b.end(mesh.CodeWorkerLost)

	was, is := b.ledger.typical(from, to), b.ledger.typical(normal, after)
	t.Log("four workers: ", was)
	t.Log("two workers: ", is)
	b.sameAs(was, is)
	for _, end := range b.ledger.failures() {
		require.WithinRange(t, end, killed, normal)
	}
}
