package zmtp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// What is encrypted later is kept until then.
func TestCopiesBelow(t *testing.T) {
	require.Equal(t, copyBelow, (&link{}).CopiesBelow())
	require.Zero(t, (&link{secrecy: &secrecy{}}).CopiesBelow())
}

// Where not all is encrypted at once, what comes meanwhile isn't put in the room of what
// still waits.
func TestSealingRoom(t *testing.T) {
	t.Parallel()
	c := dialCurveEcho(t)
	c.writer = flusher // so that nobody else writes
	for _, m := range []string{string(make([]byte, maxOut)), "second", "third"} {
		require.NoError(t, c.Send(transport.Message{[]byte(m)}))
	}
	c.Flush()
	c.release(c.take())
	_ = append(c.spare, make([]transport.Message, 3)...)
	require.Equal(t, []transport.Message{{[]byte("second")}, {[]byte("third")}}, c.sealing)
	c.writer = nobody
}
