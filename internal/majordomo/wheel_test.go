package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A timer that is set again and again, in one slot after the other, leaves no memory
// behind in each of them.
func TestWheelKeepsFewBlocks(t *testing.T) {
	t.Parallel()
	var w wheel
	now := time.Duration(0)
	timers := make([]timer, 3)
	for step := range 20_000 {
		w.set(&timers[step%len(timers)], now+2500*time.Millisecond+time.Duration(step%97)*time.Millisecond)
		now += 37 * time.Millisecond
		for w.pop(now) != nil {
			continue
		}
	}
	kept := 0
	for level := range w.slots {
		for slot := range w.slots[level] {
			require.Nil(t, w.slots[level][slot].free)
		}
	}
	for b := w.spares.first; b != nil; b = b.next {
		require.Zero(t, b.live)
		kept++
	}
	require.Equal(t, w.spares.n, kept)
	require.LessOrEqual(t, kept, maxSpares)
	for i := range timers {
		w.set(&timers[i], now+time.Second)
	}
	now += time.Minute
	for range timers {
		require.NotNil(t, w.pop(now))
	}
	require.Nil(t, w.pop(now))
}
