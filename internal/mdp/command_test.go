package mdp_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func TestCommandReplyGetsEnvelopeBack(t *testing.T) {
	t.Parallel()
	request, err := mdp.ParseBroker([][]byte{{0, 0, 0, 7}, {'r'}, {}, []byte("MDPC01"), []byte("tea"), []byte("a")})
	require.NoError(t, err)

	reply := mdp.Command{
		Version:  request.Version,
		Kind:     mdp.ClientFinal,
		Service:  request.Service,
		Envelope: request.Envelope,
		Body:     [][]byte{[]byte("b")},
	}
	require.Equal(t,
		[][]byte{{0, 0, 0, 7}, {'r'}, {}, []byte("MDPC01"), []byte("tea"), []byte("b")},
		reply.AppendTo(nil))
	require.Equal(t, 6, reply.Len())
}

// Fields that a kind doesn't have stay out of its message.
func TestCommandIgnoresOtherFields(t *testing.T) {
	t.Parallel()
	full := mdp.Command{
		Service:  []byte("tea"),
		Address:  []byte("address"),
		Envelope: [][]byte{{'e'}},
		Body:     [][]byte{[]byte("body")},
	}
	for _, row := range grammar {
		c := full
		c.Version, c.Kind = row.version, row.kind
		msg := c.AppendTo(nil)
		require.Len(t, msg, c.Len())
		if row.version == mdp.V01 && row.kind == mdp.ClientFinal {
			continue // a client doesn't take an envelope, its REQ socket does
		}
		require.NoError(t, checkParse(row.to, msg))
		_, err := parsers[row.to](msg)
		require.NoError(t, err, "%v %v", row.version, row.kind)
	}
}

func TestCommandAppendsBehindOtherFrames(t *testing.T) {
	t.Parallel()
	heartbeat := mdp.Command{Version: mdp.V02, Kind: mdp.Heartbeat}
	require.Equal(t,
		[][]byte{[]byte("routing id"), []byte("MDPW02"), {5}},
		heartbeat.AppendTo([][]byte{[]byte("routing id")}))
}

func TestCommandThatDoesNotExist(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version mdp.Version
		kind    mdp.Kind
		want    string
	}{
		{0, mdp.Ready, "mdp: MDP/? has no command ready"},
		{3, mdp.Ready, "mdp: MDP/? has no command ready"},
		{mdp.V01, mdp.Invalid, "mdp: MDP/0.1 has no command invalid"},
		{mdp.V02, mdp.Invalid, "mdp: MDP/0.2 has no command invalid"},
		{mdp.V02, mdp.Disconnect + 1, "mdp: MDP/0.2 has no command invalid"},
		{mdp.V02, 255, "mdp: MDP/0.2 has no command invalid"},
		{mdp.V01, mdp.ClientPartial, "mdp: MDP/0.1 has no command client partial"},
		{mdp.V01, mdp.WorkerPartial, "mdp: MDP/0.1 has no command worker partial"},
	} {
		c := mdp.Command{Version: tt.version, Kind: tt.kind}
		require.PanicsWithValue(t, tt.want, func() { c.AppendTo(nil) })
		require.PanicsWithValue(t, tt.want, func() { c.Len() })
	}
}

// The frames that messages share can't be appended to in place.
func TestCommandSharedFramesAreClipped(t *testing.T) {
	t.Parallel()
	own := []byte("own")
	for _, row := range grammar {
		c := mdp.Command{Version: row.version, Kind: row.kind, Service: own, Address: own, Body: [][]byte{own}}
		for _, frame := range c.AppendTo(nil) {
			require.NotNil(t, frame)
			if string(frame) != "own" {
				require.Len(t, frame, cap(frame))
			}
		}
	}
}

func TestCommandAppendGrowsOnce(t *testing.T) {
	c := mdp.Command{
		Version: mdp.V01,
		Kind:    mdp.WorkerRequest,
		Address: []byte("address"),
		Body:    make([][]byte, 20),
	}
	// One allocation, but that the race detector adds to it.
	once := testing.AllocsPerRun(10, func() { sink = slices.Grow([][]byte(nil), c.Len()) })
	require.Equal(t, once, testing.AllocsPerRun(10, func() { sink = c.AppendTo(nil) }))
}

// sink keeps the compiler from leaving allocations out.
var sink [][]byte

func TestStrings(t *testing.T) {
	t.Parallel()
	require.Equal(t, "MDP/0.1", mdp.V01.String())
	require.Equal(t, "MDP/0.2", mdp.V02.String())
	require.Equal(t, "MDP/?", mdp.Version(9).String())
	seen := make(map[string]bool)
	for k := mdp.Invalid; k <= mdp.Disconnect; k++ {
		require.NotEmpty(t, k.String())
		require.False(t, seen[k.String()], k.String())
		seen[k.String()] = true
	}
	require.Equal(t, "invalid", mdp.Kind(200).String())
}
