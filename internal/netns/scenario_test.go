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
	all := b.watch(time.Second)
	b.end()
	t.Log(b.ledger.between(all, "c"))
}

// A broker is killed, and comes back.
func TestBrokerKilled(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	before := b.calm()
	t.Log("as much as goes, three brokers: ", b.saturate(steady))

	victim := b.brokers[1]
	killed := time.Now()
	victim.kill()
	broken, after := b.recovery(killed)
	t.Log("as much as goes, two brokers: ", b.saturate(steady))
	victim.restart()
	t.Log("every worker is back after ", b.whole())
	b.pass(time.Second)
	b.end(lost...)

	b.recovered(before, broken, after)
	for _, end := range b.ledger.failures() {
		require.WithinRange(t, end, broken.from, broken.to, "only what was on its way may fail")
	}
}

// watch lets time pass, and returns when that was.
func (b *bed) watch(d time.Duration) span {
	from := time.Now()
	b.pass(d)
	return span{from, time.Now()}
}

func (b *bed) calm() span { return b.watch(steady) }

// recovery lets two liveness times pass since something broke, while calls may take
// longer, and then some more, while they mustn't.
func (b *bed) recovery(broke time.Time) (broken, after span) {
	broken = span{broke, broke.Add(2 * b.heartbeat.Timeout())}
	b.pass(time.Until(broken.to))
	return broken, b.calm()
}

// recovered holds what came after to what was before, and returns what was between.
func (b *bed) recovered(before, broken, after span) (meanwhile figures) {
	b.t.Helper()
	was, is := b.ledger.typical(before), b.ledger.typical(after)
	meanwhile = b.ledger.between(broken, "c")
	b.t.Log("before: ", was)
	b.t.Log("within two liveness times: ", meanwhile)
	b.t.Log("from then on: ", is)
	b.sameAs(was, is)
	return meanwhile
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
	meanwhile := span{from, time.Now()}
	b.pass(time.Second)
	require.Zero(t, b.end())
	t.Log("meanwhile: ", b.ledger.between(meanwhile, "c"))
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
			before := b.calm()

			victim := b.brokers[0]
			cut := time.Now()
			c.cut(victim.host)
			took := b.await("the broker drops all peers", b.heartbeat.Timeout()+slack, func() bool {
				workers, clients := b.peers(victim)
				return workers == 0 && clients == 0
			})
			t.Log("the broker dropped its peers after ", took)
			broken, after := b.recovery(cut)
			c.heal(victim.host)
			t.Log("healed, and every worker is back after ", b.whole())
			b.pass(time.Second)
			b.end(lost...)

			// Workers and clients dropped the broker, and what they had there was done elsewhere.
			require.Less(t, b.recovered(before, broken, after).max, b.heartbeat.Timeout()+slack)
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
	stormy := b.watch(30 * time.Second)
	failed := b.end(lost...)
	f := b.ledger.between(stormy, "c")
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
	before := b.calm()

	victim := b.brokers[2]
	stopped := time.Now()
	victim.signal(unix.SIGSTOP)
	broken, after := b.recovery(stopped)
	victim.signal(unix.SIGCONT)
	t.Log("going on, and every worker is back after ", b.whole())
	b.pass(time.Second)
	b.end(lost...)

	require.Less(t, b.recovered(before, broken, after).max, b.heartbeat.Timeout()+slack)
}

// One worker is killed, and another stands still for longer than the liveness time.
func TestWorkersLost(t *testing.T) {
	slow(t)
	b := newBed(t, false, brisk)
	b.settle()
	before := b.calm()

	killed := time.Now()
	b.workers[0].kill()
	b.workers[1].signal(unix.SIGSTOP)
	for _, n := range b.brokers {
		b.await(n.name+" drops both", b.heartbeat.Timeout()+slack, func() bool {
			workers, _ := b.peers(n)
			return workers == len(b.workers)-2
		})
	}
	broken, after := b.recovery(killed)
	b.workers[0].restart()
	b.workers[1].signal(unix.SIGCONT)
	t.Log("back, and every worker is everywhere after ", b.whole())
	b.pass(time.Second)
	b.end(mesh.CodeWorkerLost)

	b.recovered(before, broken, after)
	for _, end := range b.ledger.failures() {
		require.WithinRange(t, end, broken.from, broken.to)
	}
}
