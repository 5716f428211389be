package majordomo

import "time"

// backoff returns a random wait in [0, min(limit, first·2^n)): full jitter.
func backoff(first, limit time.Duration, n int, random func() uint64) time.Duration {
	ceiling := limit
	if n < 63 && first <= limit>>n {
		ceiling = first << n
	}
	return time.Duration(random() % uint64(max(ceiling, 1)))
}

// redial counts the attempts in a row to be connected to a broker that came to nothing:
// dials in vain, and connections that ended too soon. That somebody answered is no
// reason to begin anew: a broker that falls over everything that it is sent, or a load
// balancer with nobody behind it, would be dialled without a pause.
type redial struct{ failures int }

// failed counts an attempt that came to nothing. It returns how long to wait before the
// next: a random time below a ceiling that doubles from first to limit.
func (r *redial) failed(first, limit time.Duration, random func() uint64) time.Duration {
	wait := backoff(first, limit, r.failures, random)
	r.failures++
	return wait
}

// lived is told that the broker still speaks on a connection that has been of use for
// so long. From patience on, the time for which peers may be silent, the row has ended.
func (r *redial) lived(age, patience time.Duration) {
	if age >= patience {
		r.failures = 0
	}
}
