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
