//go:build linux

package netns

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// ledger has what workers and clients said.
type ledger struct {
	mu    sync.Mutex // guards what follows
	calls []report
	ran   map[string]int // by the ID of a call of load.once: how often a handler began it
	ready map[string]int // by process: how often it said so
	made  map[string]int // by client that is done: how many calls it made
	last  map[string]*mesh.Snapshot
	bad   []string // lines that are none
}

func newLedger() *ledger {
	return &ledger{ran: make(map[string]int), ready: make(map[string]int), made: make(map[string]int), last: make(map[string]*mesh.Snapshot)}
}

// of returns who hears a process.
func (l *ledger) of(name string) (hear func(line []byte)) {
	return func(line []byte) {
		var r report
		err := json.Unmarshal(line, &r)
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case err != nil:
			l.bad = append(l.bad, name+": "+string(line))
		case r.Event == "call":
			l.calls = append(l.calls, r)
		case r.Event == "ran":
			l.ran[r.ID]++
		case r.Event == "ready":
			l.ready[name]++
		case r.Event == "status":
			l.last[name] = r.Status
		case r.Event == "done":
			l.made[name] = r.Calls
		}
	}
}

// broker returns who hears a broker, which prints where it listens.
func (l *ledger) broker(name string) (hear func(line []byte)) {
	return func([]byte) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ready[name]++
	}
}

// readied returns how often a process said that it is ready.
func (l *ledger) readied(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready[name]
}

// status returns what a broker said last, and forgets it.
func (l *ledger) status(name string) *mesh.Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.last[name]
	delete(l.last, name)
	return s
}

// audit holds the mesh to its promises: each call ended in one way; a call that may
// run again has its reply; one that mustn't ran at most once, exactly once where it
// has its reply, and failed with one of the codes, if at all. It needs all clients
// done, and returns how many calls failed.
func (l *ledger) audit(t *testing.T, codes ...mesh.Code) (failed int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.bad)
	ended := make(map[string]int, len(l.calls))
	var wrong []string
	complain := func(r *report, text string) {
		wrong = append(wrong, fmt.Sprintf("%s %s after %v: %d %s", r.ID, text, r.Latency, r.Code, r.Error))
	}
	for i := range l.calls {
		r := &l.calls[i]
		ended[r.ID]++
		if r.Code != 0 {
			failed++
		}
		switch {
		case r.Code != 0 && r.Idempotent:
			complain(r, "may run again, and failed")
		case r.Code != 0 && !slices.Contains(codes, mesh.Code(r.Code)):
			complain(r, "failed in a way in which it mustn't")
		case r.Code == 0 && !r.Idempotent && l.ran[r.ID] != 1:
			complain(r, fmt.Sprintf("has a reply and ran %d times", l.ran[r.ID]))
		}
	}
	for id, n := range ended {
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s ended %d times", id, n))
		}
	}
	for id, n := range l.ran {
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s ran %d times", id, n))
		}
	}
	made := 0
	for _, n := range l.made {
		made += n
	}
	require.NotZero(t, made)
	require.Len(t, ended, made, "calls have no outcome")
	const shown = 20
	require.Empty(t, wrong[:min(len(wrong), shown)], "%d in all, of %d calls", len(wrong), made)
	t.Logf("%d calls, %d failed, each of which mustn't run twice", made, failed)
	return failed
}

// figures are what calls were like.
type figures struct {
	rate          float64 // with a reply, a second
	failed        int
	p50, p99, max time.Duration // of those with a reply
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f calls a second, p50 %v, p99 %v, at most %v, %d failed", f.rate,
		f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond), f.max.Round(10*time.Microsecond), f.failed)
}

// span is a part of a test's time.
type span struct{ from, to time.Time }

// between returns the figures of the calls that began in a span of time, of the
// clients whose names begin so. The calls have to have ended.
func (l *ledger) between(s span, clients string) figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	var f figures
	var latencies []time.Duration
	for i := range l.calls {
		r := &l.calls[i]
		switch {
		case r.Start < s.from.UnixNano() || r.Start >= s.to.UnixNano() || !strings.HasPrefix(r.ID, clients):
		case r.Code != 0:
			f.failed++
		default:
			latencies = append(latencies, r.Latency)
		}
	}
	if len(latencies) == 0 {
		return f
	}
	slices.Sort(latencies)
	f.rate = float64(len(latencies)) / s.to.Sub(s.from).Seconds()
	f.p50, f.p99, f.max = latencies[len(latencies)/2], latencies[len(latencies)*99/100], latencies[len(latencies)-1]
	return f
}

// typical returns the figures of the load's calls that began in a span of time, the p99 being
// the median of those of its seconds, so that one bad moment of a busy machine doesn't
// count.
func (l *ledger) typical(s span) figures {
	f := l.between(s, "c")
	var seconds []time.Duration
	for at := s.from; !at.Add(time.Second).After(s.to); at = at.Add(time.Second) {
		seconds = append(seconds, l.between(span{at, at.Add(time.Second)}, "c").p99)
	}
	slices.Sort(seconds)
	f.p99 = seconds[len(seconds)/2]
	return f
}

// failures returns when the calls that failed ended.
func (l *ledger) failures() (ends []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.calls {
		if r := &l.calls[i]; r.Code != 0 {
			ends = append(ends, time.Unix(0, r.Start).Add(r.Latency))
		}
	}
	return ends
}
