package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of a ping without params there remain its name, and its share of the chunks that the
// answer is cut from. Not parallel: AllocsPerRun counts for the whole program.
func TestPingAllocates(t *testing.T) {
	ping := newPinging(t)
	require.Less(t, testing.AllocsPerRun(1000, ping), 1.5)
}

// Clients that are there don't wake the broker one by one: they are looked at together.
func TestIdleClientsWakeTogether(t *testing.T) {
	t.Parallel()
	const clients, minute = 500, time.Minute
	begin := time.Unix(1_000_000_000, 0)
	b, err := NewBroker(Config{}, begin)
	require.NoError(t, err)
	peers := make([]*Peer, clients)
	for i := range peers {
		peers[i] = NewPeer(Identity{Addr: "client"}, nil)
	}
	ping := [][]byte{[]byte("MDPC02"), {1}, []byte("mmi.ping"), []byte(`{"jsonrpc":"2.0","id":1,"method":"mmi.ping"}`)}
	wakes, pongs := 0, 0
	step := func(now time.Time, ev *Event) {
		for _, a := range b.Step(now, ev) {
			require.Equal(t, Send, a.Kind)
			pongs++
		}
	}
	for at := time.Duration(0); at < minute; at += time.Millisecond {
		now := begin.Add(at)
		if wake := b.NextWake(); !wake.IsZero() && !now.Before(wake) {
			step(now, &Event{Kind: Wake})
			wakes++
		}
		// Each asks in a millisecond of its own, or shares it with few.
		if i := int(at/time.Millisecond) % 2500; i < clients {
			var ev Event
			ev.Received(peers[i], ping, false)
			step(now, &ev)
		}
	}
	require.Equal(t, clients*int(minute/(2500*time.Millisecond)), pongs)
	// A look, and two for timers that move down the wheel.
	require.LessOrEqual(t, wakes, 3*looks*int(minute/(2500*time.Millisecond)))
}
