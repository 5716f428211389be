package majordomo

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// ClientConfig is what a client's session is made with. The zero value of each
// member stands for its default, but for Random, which is required.
type ClientConfig struct {
	Brokers    int // how many brokers are known at first, by the numbers from 0; none is fine where ClientBrokers tells of them
	MaxBrokers int // 16: to how many there are connections; which ones of more is random
	Speak      Speak
	// Opaque makes a session for calls whose bodies aren't JSON-RPC. Nothing
	// correlates two of them, so only one is out on a connection at a time, and
	// giving one up ends the connection.
	Opaque bool
	// Address returns what texts call the broker of a number. If nil, they say the
	// number.
	Address func(broker int) string
	// Presence is a JSON object that says who this side is: the params of the first
	// mmi.ping on each connection. Nil: none.
	Presence []byte

	HeartbeatInterval time.Duration // 2.5 s, until a broker says what it wants
	Liveness          int           // 3 intervals of silence end a connection, likewise
	DialTimeout       time.Duration // 5 s
	RedialMin         time.Duration // 100 ms: ceiling of the first wait between two dials
	RedialMax         time.Duration // 30 s: ceiling of the longest

	RetryMin     time.Duration // 20 ms: ceiling of the first wait before a call is sent again
	RetryMax     time.Duration // 2 s: ceiling of the longest
	MaxAttempts  int           // 4: how often a call is sent
	RetryBudget  float64       // 0.1: retries that each first send earns
	RetryReserve int           // 10: retries that can be saved up, and that a session begins with

	MaxPending      int   // 10,000 calls that aren't done
	MaxPendingBytes int64 // 256 MiB in them
	MaxUnreadBytes  int64 // 64 MiB in the unread parts of one call, beyond what its window allows

	Random func() uint64
}

// maxPendingLimit keeps the ids of calls below 2^53, which every JSON peer reads
// exactly, with room for a generation.
const maxPendingLimit = 1 << 24

// withDefaults returns c complete, or what is wrong with it.
func (c ClientConfig) withDefaults() (ClientConfig, error) {
	switch {
	case c.Brokers < 0:
		return c, errors.New("majordomo: ClientConfig.Brokers is negative")
	case c.Random == nil:
		return c, errors.New("majordomo: ClientConfig.Random is required")
	case c.Speak > SpeakMDP01:
		return c, fmt.Errorf("majordomo: ClientConfig.Speak is unknown: %v", c.Speak)
	case !(c.RetryBudget >= 0): // not a number, too
		return c, errors.New("majordomo: ClientConfig.RetryBudget is negative")
	case c.MaxPendingBytes < 0:
		return c, errors.New("majordomo: ClientConfig.MaxPendingBytes is negative")
	case c.MaxUnreadBytes < 0:
		return c, errors.New("majordomo: ClientConfig.MaxUnreadBytes is negative")
	case c.MaxPending > maxPendingLimit:
		return c, fmt.Errorf("majordomo: ClientConfig.MaxPending is above %d", maxPendingLimit)
	}
	times := []struct {
		name string
		at   *time.Duration
		def  time.Duration
	}{
		{"HeartbeatInterval", &c.HeartbeatInterval, 2500 * time.Millisecond},
		{"DialTimeout", &c.DialTimeout, 5 * time.Second},
		{"RedialMin", &c.RedialMin, 100 * time.Millisecond},
		{"RedialMax", &c.RedialMax, 30 * time.Second},
		{"RetryMin", &c.RetryMin, 20 * time.Millisecond},
		{"RetryMax", &c.RetryMax, 2 * time.Second},
	}
	for _, v := range times {
		if *v.at < 0 {
			return c, fmt.Errorf("majordomo: ClientConfig.%s is negative", v.name)
		}
		*v.at = cmp.Or(*v.at, v.def)
	}
	counts := []struct {
		name string
		at   *int
		def  int
	}{
		{"MaxBrokers", &c.MaxBrokers, 16},
		{"Liveness", &c.Liveness, 3},
		{"MaxAttempts", &c.MaxAttempts, 4},
		{"RetryReserve", &c.RetryReserve, 10},
		{"MaxPending", &c.MaxPending, 10_000},
	}
	for _, v := range counts {
		if *v.at < 0 {
			return c, fmt.Errorf("majordomo: ClientConfig.%s is negative", v.name)
		}
		*v.at = cmp.Or(*v.at, v.def)
	}
	c.RetryBudget = cmp.Or(c.RetryBudget, 0.1)
	c.MaxPendingBytes = cmp.Or(c.MaxPendingBytes, 256<<20)
	c.MaxUnreadBytes = cmp.Or(c.MaxUnreadBytes, 64<<20)
	return c, nil
}
