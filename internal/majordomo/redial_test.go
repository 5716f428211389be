package majordomo

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRedialGoesRound(t *testing.T) {
	t.Parallel()
	d := redial{brokers: 3, min: 100 * time.Millisecond, max: time.Second, random: func() uint64 { return 50_000_000 }}
	const pause = 50 * time.Millisecond
	for round := range 5 {
		for i, want := range []struct {
			broker int
			wait   time.Duration
		}{{1, 0}, {2, 0}, {0, pause}} {
			broker, wait := d.failed()
			require.Equal(t, want.broker, broker, "round %d, failure %d", round, i)
			require.Equal(t, want.wait, wait, "round %d, failure %d", round, i)
		}
	}
	d.failed()
	d.worked()
	broker, wait := d.failed()
	require.Equal(t, 2, broker, "a broker that worked doesn't send it back to the first")
	require.Zero(t, wait, "the others are tried at once")
}

func TestRedialBacksOff(t *testing.T) {
	t.Parallel()
	var drawn uint64
	d := redial{brokers: 2, min: 100 * time.Millisecond, max: time.Second, random: func() uint64 { return drawn }}
	for _, ceiling := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
		ceiling *= time.Millisecond //nolint:durationcheck // it is a number until here
		_, wait := d.failed()
		require.Zero(t, wait)
		drawn = uint64(ceiling) - 1
		_, wait = d.failed()
		require.Equal(t, ceiling-1, wait)
	}
	d.worked()
	drawn = uint64(99 * time.Millisecond)
	d.failed()
	_, wait := d.failed()
	require.Equal(t, 99*time.Millisecond, wait, "from the start again")
}

func TestBackoffCeiling(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, limit time.Duration
		n            int
		ceiling      time.Duration
	}{
		"first":                {100, 3000, 0, 100},
		"doubled":              {100, 3000, 3, 800},
		"limited":              {100, 3000, 5, 3000},
		"exactly the limit":    {100, 3200, 5, 3200},
		"first beyond limit":   {100, 10, 0, 10},
		"many":                 {100, 3000, 1 << 40, 3000},
		"shift that wraps":     {time.Hour, 24 * time.Hour, 31, 24 * time.Hour},
		"shift of all bits":    {1, math.MaxInt64, 63, math.MaxInt64},
		"the longest there is": {1, math.MaxInt64, 62, 1 << 62},
		"none":                 {0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			draw := func(v time.Duration) func() uint64 { return func() uint64 { return uint64(v) } }
			require.Equal(t, test.ceiling-1, backoff(test.first, test.limit, test.n, draw(test.ceiling-1)))
			require.Zero(t, backoff(test.first, test.limit, test.n, draw(test.ceiling)))
		})
	}
}
