package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func frames(s ...string) [][]byte {
	m := make([][]byte, len(s))
	for i := range s {
		m[i] = []byte(s[i])
	}
	return m
}

func TestSmoke(t *testing.T) {
	now := time.Unix(0, 0)
	b, err := NewBroker(Config{Observe: true}, now)
	require.NoError(t, err)
	step := func(p *Peer, f ...string) []Action {
		var ev Event
		ev.Received(p, frames(f...), false)
		return b.Step(now, &ev)
	}
	w, c := NewPeer(Identity{}, nil), NewPeer(Identity{}, nil)
	require.Empty(t, step(w, "MDPW02", "\x01", "tea"))
	a := step(c, "MDPC02", "\x01", "tea", `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":1000},"params":{}}`)
	require.Len(t, a, 1)
	require.Equal(t, w, a[0].Peer)
	addr := string(a[0].Message[2])
	t.Logf("%q", a[0].Message)
	a = step(w, "MDPW02", "\x04", addr, "", `{"jsonrpc":"2.0","id":1,"result":{}}`)
	require.Len(t, a, 1)
	t.Logf("%q", a[0].Message)
	require.Equal(t, c, a[0].Peer)
	a = step(c, "MDPC02", "\x01", "mmi.status", `{"jsonrpc":"2.0","id":1,"method":"mmi.status"}`)
	t.Logf("%q", a[0].Message)
	a = step(c, "MDPC02", "\x01", "mmi.service", `tea`)
	t.Logf("%q", a[0].Message)
}
