package faulty

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"
)

// The defaults of a [Config] and its [Faults].
const (
	DefaultMaxDelay = 10 * time.Millisecond
	DefaultMaxHeld  = 64 << 10
)

// Config says what happens to messages. The zero value does no harm to any.
type Config struct {
	// Seed makes the faults what they are; see the package comment.
	Seed uint64
	// Up is for messages that diallers send, Down for those that they receive.
	// Transport.SetFaults changes both later.
	Up, Down Faults
	// LosePartitioned makes a message that is sent into a partition be lost
	// while its link lives on. If false it waits until the partition heals, as
	// it would in the buffers of TCP.
	LosePartitioned bool
	// MaxHeld bounds the messages that one direction of a link holds back. Above
	// it Send returns transport.ErrFull, and a link that is sent more ends with
	// transport.ErrSlowPeer. If zero, DefaultMaxHeld.
	MaxHeld int
	// Trace, if set, is called for everything that happens, one call at a time
	// and in order. It must not block nor call anything of this package or of
	// the transport.
	Trace func(Event)
}

// Faults are the probabilities, from 0 to 1, of what may happen to a message.
// Each is drawn for itself; a message that is dropped suffers nothing else.
type Faults struct {
	// Drop is the probability that a message never arrives.
	Drop float64
	// Duplicate is the probability that a message arrives twice.
	Duplicate float64
	// Reorder is the probability that a message is overtaken by the next one. It
	// waits for that one for MaxDelay at most.
	Reorder float64
	// Delay is the probability that a message is held back for a time between
	// MinDelay and MaxDelay. What is sent after it waits behind it.
	Delay float64
	// MinDelay is the shortest delay.
	MinDelay time.Duration
	// MaxDelay is the longest delay. If zero, DefaultMaxDelay, or MinDelay where
	// that is longer.
	MaxDelay time.Duration
}

func (f Faults) withDefaults() Faults {
	f.MaxDelay = cmp.Or(f.MaxDelay, max(DefaultMaxDelay, f.MinDelay))
	return f
}

// validate returns an error that names the first field that can't be meant.
func (f Faults) validate(direction string) error {
	for _, p := range []struct {
		field string
		value float64
	}{
		{"Drop", f.Drop},
		{"Duplicate", f.Duplicate},
		{"Reorder", f.Reorder},
		{"Delay", f.Delay},
	} {
		if !(p.value >= 0 && p.value <= 1) { // also no NaN
			return fmt.Errorf("faulty: %s.%s is %v, must be from 0 to 1", direction, p.field, p.value)
		}
	}
	if f.MinDelay < 0 || f.MaxDelay < 0 || f.MaxDelay > 0 && f.MaxDelay < f.MinDelay {
		return fmt.Errorf("faulty: %s.MinDelay and MaxDelay are %v and %v, must be neither negative nor swapped",
			direction, f.MinDelay, f.MaxDelay)
	}
	return nil
}

func (c Config) validate() error {
	if c.MaxHeld < 0 {
		return fmt.Errorf("faulty: Config.MaxHeld is %d, must not be negative", c.MaxHeld)
	}
	return cmp.Or(c.Up.validate("Config.Up"), c.Down.validate("Config.Down"))
}

// fate is what was drawn for one message.
type fate struct {
	drop, duplicate, reorder bool
	delay                    time.Duration
}

// draw decides on a message. It takes as many numbers from rng whatever comes
// out, so that a changed probability changes nothing for the messages after it.
func (f Faults) draw(rng *rand.Rand) fate {
	drop, duplicate, reorder, delay, howLong := rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()
	drawn := fate{
		drop:      drop < f.Drop,
		duplicate: duplicate < f.Duplicate,
		reorder:   reorder < f.Reorder,
	}
	if delay < f.Delay {
		drawn.delay = f.MinDelay + time.Duration(howLong*float64(f.MaxDelay-f.MinDelay))
	}
	return drawn
}
