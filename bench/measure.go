package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load says what one measurement does.
type load struct {
	size, inFlight   int
	warmUp, duration time.Duration
	pids             []int // of the other processes, whose processor time counts
}

// sample is what came out of it.
type sample struct {
	calls    int
	elapsed  time.Duration
	cpu      time.Duration // of all processes
	p50, p99 time.Duration
}

// What the goroutines of a measurement do with a call that has ended.
const (
	warming   int32 = iota // forget it
	measuring              // record it
	over                   // make no other
)

// measure makes calls, as many at a time as the load says, spread evenly over
// the connections.
func measure(ctx context.Context, connections []connection, l load) (sample, error) {
	runtime.GC() // what the last measurement left is none of this one's business
	var (
		phase   atomic.Int32
		callers sync.WaitGroup
		took    = make([][]uint32, l.inFlight) // ns, up to 4.29 s
		failed  = make(chan error, l.inFlight)
		ctxDone = context.AfterFunc(ctx, func() { phase.Store(over) })
		pids    = append(slices.Clone(l.pids), os.Getpid())
	)
	defer ctxDone()
	for i := range l.inFlight {
		call := connections[i%len(connections)](l.size)
		callers.Go(func() {
			var mine []uint32
			recording := false
			for start := time.Now(); ; {
				err := call()
				end := time.Now()
				now := phase.Load()
				if err != nil {
					failed <- err
					break
				}
				if now == measuring && !recording {
					recording, mine = true, mine[:0] // keeps the memory that warming up took
				}
				if now == over {
					break
				}
				mine = append(mine, uint32(min(end.Sub(start), math.MaxUint32)))
				start = end
			}
			if recording {
				took[i] = mine
			}
		})
	}

	<-time.After(l.warmUp)
	before, err := cpuTime(pids)
	phase.CompareAndSwap(warming, measuring)
	start := time.Now()
	<-time.After(l.duration)
	phase.Store(over)
	elapsed := time.Since(start)
	after, err2 := cpuTime(pids)
	callers.Wait()

	close(failed)
	if err := cmp.Or(ctx.Err(), err, err2, <-failed); err != nil {
		return sample{}, err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return sample{}, errors.New("no call ended in time")
	}
	slices.Sort(all)
	return sample{
		calls: len(all), elapsed: elapsed, cpu: after - before,
		p50: quantile(all, 0.50), p99: quantile(all, 0.99),
	}, nil
}

// quantile returns a quantile of sorted nanoseconds.
func quantile(sorted []uint32, q float64) time.Duration {
	return time.Duration(sorted[min(int(float64(len(sorted))*q), len(sorted)-1)])
}
