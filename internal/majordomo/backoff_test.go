package majordomo

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
