//go:build linux

package netns

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// announcing are the flags of brokers that are found by their beacons.
var announcing = []string{"--listen", "tcp://*:5555", "--announce", "--beacon-insecure"}

// finding is a role whose brokers nobody has told it of.
func finding(r role) role {
	r.Discover = true
	return r
}

// Where there is no IPv4, brokers are found and reached by IPv6: by addresses that hold
// beyond the link, and by those of the link alone, which need its name.
func TestBeaconsOverIPv6(t *testing.T) {
	need(t)
	for name, global := range map[string]bool{"global addresses": true, "link-local ones": false} {
		t.Run(name, func(t *testing.T) {
			b := &bed{t: t, lan: newLAN(t, false), ledger: newLedger(), heartbeat: brisk}
			only6 := func(name string, number int) *host {
				h := b.lan.host(name, fmt.Sprintf("10.77.0.%d", number))
				h.run("addr del " + h.addr + "/24 dev eth0")
				if global {
					h.run(fmt.Sprintf("addr add fd77::%d/64 dev eth0", number))
				}
				return h
			}
			worker, client := only6("w1", 11), only6("c1", 21)
			w := b.play(worker, "w1", finding(role{Role: "worker"})) // before the broker
			b.serve(only6("b1", 1), announcing...)
			b.await("the worker has found the broker", patience, func() bool { return b.ledger.readied("w1") > 0 })
			from := time.Now()
			c := b.play(client, "c1", finding(role{Role: "client", Callers: 1, Pause: 20 * time.Millisecond}))
			b.await("calls are made", patience, func() bool { return b.ledger.between(span{from, time.Now()}, "c1").rate > 0 })
			c.finish()
			w.finish()
			require.Zero(t, b.ledger.audit(t))
		})
	}
}

// Interfaces that come are spoken to and heard on, and with one that goes the others
// are as before.
func TestBeaconsOnInterfacesThatComeAndGo(t *testing.T) {
	slow(t)
	b := &bed{t: t, lan: newLAN(t, false), ledger: newLedger(), heartbeat: brisk}
	workers := func(n *node) int {
		there, _ := b.peers(n)
		return there
	}
	joined := func(n *node) bool { return workers(n) == 1 }
	// The worker's host and that of the second broker have no network in common.
	far := b.lan.host("b2", "10.77.0.2")
	far.cut()
	first, second := b.serve(b.lan.host("b1", "10.77.0.1"), announcing...), b.serve(far, announcing...)
	worker := b.lan.host("w1", "10.77.0.11")
	w := b.play(worker, "w1", finding(role{Role: "worker"}))
	b.await("the worker is at the first broker", patience, func() bool { return joined(first) })
	require.Zero(t, workers(second))

	for _, when := range []string{"comes", "comes again"} {
		require.NoError(t, worker.inside(func() error {
			return batch(far.space, "link add eth1 type veth peer name eth1 netns /proc/self/fd/3")
		}))
		worker.run("addr add 10.78.0.11/24 dev eth1", "link set eth1 up")
		far.run("addr add 10.78.0.2/24 dev eth1", "link set eth1 up")
		b.await("the worker is at the second broker, when the link "+when, patience, func() bool { return joined(second) })
		require.True(t, joined(first))

		worker.run("link del eth1")
		b.await("the second broker has lost the worker", patience, func() bool { return workers(second) == 0 })
		require.True(t, joined(first))
	}
	third := b.serve(b.lan.host("b3", "10.77.0.3"), announcing...)
	b.await("the worker is at a broker that starts now", patience, func() bool { return joined(third) })
	w.finish()
}
