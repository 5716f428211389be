//go:build linux

package netns

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// A thousand workers and a thousand clients on three brokers, on one machine, at rest:
// what that takes, and that it doesn't grow.
func TestCrowdAtRest(t *testing.T) {
	slow(t)
	const (
		crowd     = 1000
		processes = 4 // of workers, and as many of clients
		samples   = 40
	)
	if os.Getenv("GOGC") == "" {
		// By Go's own setting the little garbage of a process at rest takes minutes to be
		// worth a collection, and until then memory grows. This is about what lives.
		t.Setenv("GOGC", "10")
	}
	t.Logf("for %v, GOGC %q", *rest, os.Getenv("GOGC"))
	b := &bed{t: t, lan: newLAN(t, false), ledger: newLedger(), heartbeat: mesh.Heartbeat{Interval: 2500 * time.Millisecond, Liveness: 3}}
	for i := range 3 {
		b.addBroker(i + 1)
	}
	var peers []*process
	for i, kind := range []string{"workers", "clients"} {
		h := b.lan.host(kind, fmt.Sprintf("10.77.0.%d", 10*(i+1)))
		var started []*process
		for k := range processes {
			started = append(started, b.play(h, fmt.Sprintf("%s%d", kind, k), role{Role: kind, Count: crowd / processes}))
		}
		b.await("all "+kind+" are there", 4*patience, func() bool {
			there := 0
			for _, p := range started {
				there += b.ledger.readied(p.name)
			}
			return there == processes
		})
		peers = append(peers, started...)
	}
	for _, n := range b.brokers {
		b.await(n.name+" has every worker", 4*patience, func() bool {
			workers, _ := b.peers(n)
			return workers == crowd
		})
	}
	b.pass(2 * b.heartbeat.Timeout()) // to come to rest

	watched := peers
	for _, n := range b.brokers {
		watched = append(watched, n.process)
	}
	series := make(map[*process][]usage)
	for range samples + 1 {
		for _, p := range watched {
			series[p] = append(series[p], p.usage())
		}
		b.pass(*rest / samples)
	}
	for _, n := range b.brokers {
		workers, clients := b.peers(n)
		t.Logf("%s has %d workers and %d clients", n.name, workers, clients)
		require.Equal(t, crowd, workers)
	}
	for _, p := range watched {
		first, last := quarters(series[p], *rest)
		t.Logf("%s: %.1f MiB, %.2f %% of a processor; at first %.1f MiB, %.2f %%", p.name, mib(last.resident), last.share(), mib(first.resident), first.share())
	}
	for _, p := range watched {
		first, last := quarters(series[p], *rest)
		require.Less(t, mib(last.resident), 1.1*mib(first.resident)+4, "%s grows", p.name)
		require.Less(t, last.share(), 1.5*first.share()+1, "%s gets busier", p.name)
	}
	for _, p := range peers {
		p.finish()
	}
}

// restful is what a process used in a part of the time.
type restful struct {
	resident int64 // bytes, on average
	cpu      time.Duration
	span     time.Duration
}

// share is the part of a processor, in percent.
func (r restful) share() float64 { return 100 * r.cpu.Seconds() / r.span.Seconds() }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// quarters returns what was used in the first and the last quarter of the time.
func quarters(series []usage, span time.Duration) (first, last restful) {
	n := len(series) / 4
	part := func(of []usage) (r restful) {
		for _, u := range of {
			r.resident += u.resident / int64(len(of))
		}
		r.cpu, r.span = of[len(of)-1].cpu-of[0].cpu, span/4
		return r
	}
	return part(series[:n+1]), part(series[len(series)-n-1:])
}
