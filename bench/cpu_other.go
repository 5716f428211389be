//go:build !linux

package main

import (
	"errors"
	"runtime"
	"time"
)

var errLinux = errors.New("only on Linux")

// cpuTime measures nothing here: the processor time is reported as 0.
func cpuTime([]int) (time.Duration, error) { return 0, nil }

func residentBytes(int) (int64, error) { return 0, errLinux }

func pin(cpus []int) (unpin func(), err error) {
	if len(cpus) > 0 {
		return nil, errLinux
	}
	return func() {}, nil
}

func describeMachine(o options) machine {
	return machine{
		CPU: "unknown", Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version(),
		Clients: o.clients, Workers: o.workers, Rounds: o.rounds, Duration: o.duration.String(), WarmUp: o.warmUp.String(),
	}
}
