package majordomo

import "time"

// redial decides which broker a session dials next and how long it waits before.
// It goes round the list of brokers: within a round nothing is waited for, since
// another broker may answer at once; after each round that brought nothing it
// waits, with exponential backoff and full jitter.
type redial struct {
	brokers  int
	at       int // which broker is dialled
	failures int // in a row
	min, max time.Duration
	random   func() uint64
}

// failed moves on after a connection that failed or was lost.
func (d *redial) failed() (broker int, wait time.Duration) {
	d.failures++
	d.at = (d.at + 1) % d.brokers
	if d.failures%d.brokers != 0 {
		return d.at, 0
	}
	return d.at, d.backoff(d.failures/d.brokers - 1)
}

// worked is told that a broker was of use. To be connected to one isn't enough: one
// that turns everybody away would be dialled without a pause.
func (d *redial) worked() { d.failures = 0 }

func (d *redial) backoff(n int) time.Duration { return backoff(d.min, d.max, n, d.random) }

// backoff returns a random wait in [0, min(limit, first·2^n)): full jitter.
func backoff(first, limit time.Duration, n int, random func() uint64) time.Duration {
	ceiling := limit
	if n < 63 && first <= limit>>n {
		ceiling = first << n
	}
	return time.Duration(random() % uint64(max(ceiling, 1)))
}
