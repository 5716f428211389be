package majordomo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// What waits doesn't keep the chunk that its transport read it into: it is copied if
// it is small and comes from another process. What the request says stays the same.
func TestQueuedRequestsOwnTheirMemory(t *testing.T) {
	t.Parallel()
	small := `{"jsonrpc":"2.0","id":7,"method":"tea.brew","meta":{"key":"k","timeout_ms":1000},"params":{"a":1}}`
	for name, test := range map[string]struct {
		id     Identity
		body   []string
		copied bool
	}{
		"from another process": {Identity{}, []string{small}, true},
		"several frames":       {Identity{}, []string{"a", "", "b"}, true},
		"in this process":      {Identity{Local: true}, []string{small}, false},
		"a large one":          {Identity{}, []string{string(make([]byte, ownBelow))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1_000_000, 0)
			b, err := NewBroker(Config{}, now)
			require.NoError(t, err)
			c := mdp.Command{Version: mdp.V02, Kind: mdp.ClientRequest, Service: []byte("tea")}
			for _, f := range test.body {
				c.Body = append(c.Body, []byte(f))
			}
			var ev Event
			ev.Received(NewPeer(test.id, nil), c.AppendTo(nil), false)
			sent, env := ev.Command.Body, ev.Envelope
			b.Step(now, &ev)
			r := b.services["tea"].first()
			require.NotNil(t, r)
			require.Equal(t, sent, r.body)
			require.Equal(t, "tea", string(r.name))
			require.Equal(t, env, r.env)
			for i, f := range sent {
				if len(f) > 0 {
					require.Equal(t, test.copied, &f[0] != &r.body[i][0])
				}
			}
			if len(r.env.Method) > 0 {
				require.Equal(t, test.copied, &env.Method[0] != &r.env.Method[0])
			}
		})
	}
}
