package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	flagSeeds = flag.Int("seeds", seedsFromEnvironment(), "how many seeds TestSim runs; MESH_SIM_SEEDS sets it, too")
	flagFirst = flag.Uint64("first", 1, "the first seed that TestSim runs")
	flagAll   = flag.Bool("all", false, "TestSim goes on after a seed that fails, and names each")
	flagSeed  = flag.Uint64("seed", 0, "the one seed that TestSim replays, with what happens as text")
)

// ordinarySeeds is what the ordinary suite has time for.
const ordinarySeeds = 80

func seedsFromEnvironment() int {
	if n, err := strconv.Atoi(os.Getenv("MESH_SIM_SEEDS")); err == nil && n > 0 {
		return n
	}
	return ordinarySeeds
}

// TestSim runs a world of each seed and stops at the first that breaks a promise.
func TestSim(t *testing.T) {
	if *flagSeed != 0 {
		replay(t, *flagSeed)
		return
	}
	var (
		next   atomic.Uint64
		failed atomic.Uint64 // the lowest seed that failed, plus one
		mu     sync.Mutex    // guards total
		total  Report
		wg     sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for failed.Load() == 0 || *flagAll {
				n := next.Add(1)
				if n > uint64(*flagSeeds) {
					return
				}
				seed := *flagFirst + n - 1
				report, err := New(Draw(seed), nil).Run()
				if err != nil {
					t.Logf("seed %d: %v", seed, err)
					failed.CompareAndSwap(0, seed)
					continue
				}
				mu.Lock()
				total.add(&report)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%+v", total)
	if seed := failed.Load(); seed != 0 {
		replay(t, seed)
	}
}

func (r *Report) add(o *Report) {
	r.Calls += o.Calls
	r.Replied += o.Replied
	r.Failed += o.Failed
	r.Runs += o.Runs
	r.Messages += o.Messages
	r.Events += o.Events
	r.Virtual += o.Virtual
	if r.Failures == nil {
		r.Failures = make(map[int]int)
	}
	for code, n := range o.Failures {
		r.Failures[code] += n
	}
}

// replay runs one seed with a trace, which it writes to the test's artifacts; the
// end of it is logged.
func replay(t *testing.T, seed uint64) {
	t.Helper()
	trace := NewTrace(200_000)
	report, err := New(Draw(seed), trace).Run()
	file := filepath.Join(t.ArtifactDir(), fmt.Sprintf("seed-%d.txt", seed))
	require.NoError(t, os.WriteFile(file, []byte(trace.Last(200_000)), 0o600))
	t.Logf("%+v", report)
	if err != nil {
		t.Fatalf("seed %d: %v\n\n%s\nAll of it: %s\nAgain: go test ./internal/sim -run TestSim -seed %d -artifacts", seed, err, trace.Last(60), file, seed)
	}
	t.Logf("seed %d breaks no promise; what happened: %s", seed, file)
}
