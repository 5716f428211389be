package majordomo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// WorkerConfig is what a worker's session is made with. The zero value of each
// member stands for its default, but for Brokers, Random and Registration, which
// are required.
type WorkerConfig struct {
	Brokers int // how many endpoints there are; a Dial action names one by its index
	Speak   Speak
	// Registration says what the worker offers. A plain session offers one
	// service alone, the first; its broker hands it one request at a time.
	// Cancel and Credit needn't be set: the session knows both.
	Registration Registration

	HeartbeatInterval time.Duration // 2.5 s, until a broker says what it wants; at least 2 ms
	Liveness          int           // 3 intervals, likewise
	BusyLimit         time.Duration // 15 min: how long a plain broker may be silent while the worker is busy
	DialTimeout       time.Duration // 5 s
	RedialMin         time.Duration // 100 ms: ceiling of the wait after the first round of brokers
	RedialMax         time.Duration // 30 s: ceiling of the longest wait
	MaxPartialBytes   int           // 1 MiB of PARTIALs kept for the one REPLY of MDP/0.1
	Random            func() uint64 // spreads the waits
}

// withDefaults returns c complete, or what is wrong with it.
func (c WorkerConfig) withDefaults() (WorkerConfig, error) {
	switch {
	case c.Brokers < 1:
		return c, errors.New("majordomo: WorkerConfig.Brokers must be at least 1")
	case c.Random == nil:
		return c, errors.New("majordomo: WorkerConfig.Random is required")
	case c.Speak > SpeakMDP01:
		return c, fmt.Errorf("majordomo: WorkerConfig.Speak is unknown: %v", c.Speak)
	case len(c.Registration.Services) == 0:
		return c, errors.New("majordomo: WorkerConfig.Registration names no service")
	case c.Registration.Capacity < 1:
		return c, errors.New("majordomo: WorkerConfig.Registration.Capacity must be at least 1")
	case c.Liveness < 0 || c.MaxPartialBytes < 0:
		return c, errors.New("majordomo: WorkerConfig has a negative count")
	case c.HeartbeatInterval < 0 || c.BusyLimit < 0 || c.DialTimeout < 0 || c.RedialMin < 0 || c.RedialMax < 0:
		return c, errors.New("majordomo: WorkerConfig has a negative duration")
	}
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, 2500*time.Millisecond)
	c.Liveness = cmp.Or(c.Liveness, 3)
	c.BusyLimit = cmp.Or(c.BusyLimit, 15*time.Minute)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.RedialMin = cmp.Or(c.RedialMin, 100*time.Millisecond)
	c.RedialMax = cmp.Or(c.RedialMax, 30*time.Second)
	c.MaxPartialBytes = cmp.Or(c.MaxPartialBytes, 1<<20)
	if c.HeartbeatInterval < 2*time.Millisecond {
		return c, fmt.Errorf("majordomo: WorkerConfig.HeartbeatInterval is %v, less than 2ms", c.HeartbeatInterval)
	}
	return c, nil
}

// offer returns the params of mmi.register with that capacity.
func (c *WorkerConfig) offer(capacity int) ([]byte, error) {
	reg := c.Registration
	reg.Capacity, reg.Cancel, reg.Credit = capacity, true, true
	params, err := json.Marshal(reg)
	if err != nil {
		return nil, fmt.Errorf("majordomo: WorkerConfig.Registration can't be written: %w", err)
	}
	return params, nil
}
