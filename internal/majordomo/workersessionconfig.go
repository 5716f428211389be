package majordomo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// WorkerConfig is what a worker's session is made with. The zero value of each
// member stands for its default, but for Random and Registration, which are required,
// and for Brokers: a session may begin without any.
type WorkerConfig struct {
	Brokers int // how many brokers are known from the start; a Dial action names one by its number, from 0
	Speak   Speak
	// MaxBrokers bounds to how many brokers the worker is connected, of all that are known;
	// which ones of more is random. 64.
	MaxBrokers int
	// Registration says what the worker offers. A plain session offers one
	// service alone, the first; its broker hands it one request at a time.
	// Cancel and Credit needn't be set: the session knows both.
	Registration Registration

	HeartbeatInterval time.Duration // 2.5 s, until a broker says what it wants; at least 2 ms
	Liveness          int           // 3 intervals, likewise
	BusyLimit         time.Duration // 15 min: how long a plain broker may be silent while the worker is busy
	DialTimeout       time.Duration // 5 s
	RedialMin         time.Duration // 100 ms: ceiling of the first wait before a broker is dialled again
	RedialMax         time.Duration // 30 s: ceiling of the longest wait
	ShiftMin          time.Duration // 50 ms: how long a broker keeps its share at least, and how long use is watched before
	ShiftMax          time.Duration // 1 s: the same for a broker whose share goes up and down
	MaxPartialBytes   int           // 1 MiB of PARTIALs kept for the one REPLY of MDP/0.1
	Random            func() uint64 // spreads the waits
}

// withDefaults returns c complete, or what is wrong with it.
func (c WorkerConfig) withDefaults() (WorkerConfig, error) {
	switch {
	case c.Brokers < 0:
		return c, errors.New("majordomo: WorkerConfig.Brokers is negative")
	case c.Random == nil:
		return c, errors.New("majordomo: WorkerConfig.Random is required")
	case c.Speak > SpeakMDP01:
		return c, fmt.Errorf("majordomo: WorkerConfig.Speak is unknown: %v", c.Speak)
	case len(c.Registration.Services) == 0:
		return c, errors.New("majordomo: WorkerConfig.Registration names no service")
	case c.Registration.Capacity < 1:
		return c, errors.New("majordomo: WorkerConfig.Registration.Capacity must be at least 1")
	case c.MaxBrokers < 0 || c.Liveness < 0 || c.MaxPartialBytes < 0:
		return c, errors.New("majordomo: WorkerConfig has a negative count")
	case c.HeartbeatInterval < 0 || c.BusyLimit < 0 || c.DialTimeout < 0 || c.RedialMin < 0 || c.RedialMax < 0 || c.ShiftMin < 0 || c.ShiftMax < 0:
		return c, errors.New("majordomo: WorkerConfig has a negative duration")
	}
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, 2500*time.Millisecond)
	c.MaxBrokers = cmp.Or(c.MaxBrokers, 64)
	c.Liveness = cmp.Or(c.Liveness, 3)
	c.BusyLimit = cmp.Or(c.BusyLimit, 15*time.Minute)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.RedialMin = cmp.Or(c.RedialMin, 100*time.Millisecond)
	c.RedialMax = cmp.Or(c.RedialMax, 30*time.Second)
	c.ShiftMin = cmp.Or(c.ShiftMin, 50*time.Millisecond)
	c.ShiftMax = max(cmp.Or(c.ShiftMax, time.Second), c.ShiftMin)
	c.MaxPartialBytes = cmp.Or(c.MaxPartialBytes, 1<<20)
	if c.HeartbeatInterval < 2*time.Millisecond {
		return c, fmt.Errorf("majordomo: WorkerConfig.HeartbeatInterval is %v, less than 2ms", c.HeartbeatInterval)
	}
	return c, nil
}

// offer returns the params of mmi.register, but for the capacity.
func (c *WorkerConfig) offer() (registerParams, error) {
	reg := c.Registration
	reg.Capacity, reg.Cancel, reg.Credit = 0, true, true
	params, err := json.Marshal(reg)
	if err != nil {
		return registerParams{}, fmt.Errorf("majordomo: WorkerConfig.Registration can't be written: %w", err)
	}
	return cutOffer(params), nil
}
