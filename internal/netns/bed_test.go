//go:build linux

package netns

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// The policy of the brokers of most scenarios: brisk, so that these are short.
var brisk = mesh.Heartbeat{Interval: 500 * time.Millisecond, Liveness: 3}

// slack is what a busy machine may add to a time that is held to.
const slack = time.Second

// bed is a mesh on a network.
type bed struct {
	t         *testing.T
	lan       *lan
	ledger    *ledger
	heartbeat mesh.Heartbeat
	load      role // of the clients

	brokers, workers, clients []*node
	statuses                  int // how often a broker was asked
}

// node is a host with the one program that is run there, again and again.
type node struct {
	host  *host
	start func() *process
	*process
}

// newBed starts three brokers, four workers and four clients, which make calls from
// now on.
func newBed(t *testing.T, lossy bool, heartbeat mesh.Heartbeat) *bed {
	t.Helper()
	b := &bed{
		t: t, lan: newLAN(t, lossy), ledger: newLedger(), heartbeat: heartbeat,
		load: role{Role: "client", Callers: 8, Pause: 20 * time.Millisecond, Work: 2 * time.Millisecond},
	}
	for i := range 3 {
		b.addBroker(i + 1)
	}
	for i := range 4 {
		b.workers = append(b.workers, b.add(fmt.Sprintf("w%d", i+1), fmt.Sprintf("10.77.0.%d", 11+i), role{Role: "worker"}))
	}
	for _, n := range b.workers {
		b.await(n.name+" is at a broker", patience, func() bool { return b.ledger.readied(n.name) > 0 })
	}
	for i := range 4 {
		b.clients = append(b.clients, b.add(fmt.Sprintf("c%d", i+1), fmt.Sprintf("10.77.0.%d", 21+i), b.load))
	}
	return b
}

// addBroker starts a broker at a host of its own.
func (b *bed) addBroker(number int) {
	b.t.Helper()
	h := b.lan.host(fmt.Sprintf("b%d", number), fmt.Sprintf("10.77.0.%d", number))
	b.serve(h, "--listen", b.address(&node{host: h}))
}

// serve starts a broker at a host, which has the broker's name. The flags say where it
// listens.
func (b *bed) serve(h *host, flags ...string) *node {
	b.t.Helper()
	name := h.name
	n := &node{host: h}
	n.start = func() *process {
		before := b.ledger.readied(name)
		args := append([]string{
			"broker", "--id", name, "--log-json", "--heartbeat", b.heartbeat.Interval.String(), "--liveness", fmt.Sprint(b.heartbeat.Liveness),
		}, flags...)
		p := n.host.start(name, nil, b.ledger.broker(name), os.Getenv(insideVariable), args...)
		b.await(name+" listens", patience, func() bool { return b.ledger.readied(name) > before })
		return p
	}
	n.process = n.start()
	b.brokers = append(b.brokers, n)
	return n
}

// address is where a broker listens.
func (b *bed) address(n *node) string { return "tcp://" + n.host.addr + ":5555" }

// add starts a worker or a client at a host of its own.
func (b *bed) add(name, addr string, r role) *node {
	b.t.Helper()
	n := &node{host: b.lan.host(name, addr)}
	n.start = func() *process { return b.play(n.host, name, r) }
	n.process = n.start()
	return n
}

// play has this binary play a role at a host.
func (b *bed) play(h *host, name string, r role) *process {
	b.t.Helper()
	r.Name = name
	if r.Brokers == nil && !r.Discover {
		for _, n := range b.brokers {
			r.Brokers = append(r.Brokers, b.address(n))
		}
	}
	text, err := json.Marshal(r)
	require.NoError(b.t, err)
	return h.start(name, []string{roleVariable + "=" + string(text)}, b.ledger.of(name), "/proc/self/exe")
}

// restart starts a node's program anew, once it has ended.
func (n *node) restart() { n.process = n.start() }

// await waits until something is so, and returns how long that took.
func (b *bed) await(what string, within time.Duration, is func() bool) time.Duration {
	b.t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > within {
			require.FailNow(b.t, "it doesn't come about", "%s, within %v", what, within)
		}
		b.pass(20 * time.Millisecond)
	}
	return time.Since(start)
}

// pass lets time pass while the load goes on.
func (b *bed) pass(d time.Duration) { <-time.After(d) }

// status asks a broker what it knows, from its own host, so that its link doesn't
// matter. It is nil where the broker doesn't say.
func (b *bed) status(n *node) *mesh.Snapshot {
	b.t.Helper()
	b.statuses++
	name := fmt.Sprintf("s%d", b.statuses)
	p := b.play(n.host, name, role{Role: "status", Brokers: []string{b.address(n)}})
	p.await()
	return b.ledger.status(name)
}

// peers returns how many workers and clients a broker has.
func (b *bed) peers(n *node) (workers, clients int) {
	b.t.Helper()
	s := b.status(n)
	if s == nil {
		return -1, -1
	}
	for i := range s.Clients {
		if !strings.HasPrefix(s.Clients[i].Addr, "tcp://"+n.host.addr+":") && !strings.HasPrefix(s.Clients[i].Addr, n.host.addr+":") { // who asks
			clients++
		}
	}
	return len(s.Workers), clients
}

// whole waits until every broker has every worker, and returns how long that took.
func (b *bed) whole() time.Duration {
	b.t.Helper()
	start := time.Now()
	for _, n := range b.brokers {
		b.await(n.name+" has every worker", patience, func() bool {
			workers, _ := b.peers(n)
			return workers == len(b.workers)
		})
	}
	return time.Since(start)
}

// settle lets the mesh become whole, and the load steady.
func (b *bed) settle() {
	b.t.Helper()
	b.whole()
	b.pass(time.Second)
}

// saturate has clients of its own make as many calls as they can for a while, beside
// the load, and returns what they had.
func (b *bed) saturate(d time.Duration) figures {
	b.t.Helper()
	b.statuses++
	var all []*process
	prefix := fmt.Sprintf("x%d-", b.statuses)
	for i, n := range b.clients {
		all = append(all, b.play(n.host, fmt.Sprintf("%s%d", prefix, i), role{Role: "client", Callers: 32}))
	}
	b.pass(time.Second) // to start
	busy := b.watch(d)
	for _, p := range all {
		p.finish()
	}
	return b.ledger.between(busy, prefix)
}

// end ends clients and workers, and audits what they said.
func (b *bed) end(codes ...mesh.Code) (failed int) {
	b.t.Helper()
	for _, n := range b.clients {
		n.finish()
	}
	for _, n := range b.workers {
		n.finish()
	}
	return b.ledger.audit(b.t, codes...)
}
