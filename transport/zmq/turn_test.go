//go:build cgo && unix

package zmq

import (
	"testing"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// sizes notes how many bytes are delivered at a time.
type sizes struct{ batches []int }

func (s *sizes) Receive(batch []transport.Message) {
	sum := 0
	for _, m := range batch {
		sum += m.Size()
	}
	s.batches = append(s.batches, sum)
}

func (*sizes) Gone(error) {}

// What an owner holds for the receivers at a time is bounded in bytes, whatever has come.
func TestTurn(t *testing.T) {
	const size, messages = 300 << 10, 100
	within, err := zmq4.NewContext()
	require.NoError(t, err)
	defer func() { require.NoError(t, within.Term()) }()
	// filled returns a socket that has received all the messages, of a peer with the id.
	filled := func(t *testing.T, kind zmq4.Type, id string) *socket {
		t.Helper()
		s, err := newSocket(within, kind)
		require.NoError(t, err)
		t.Cleanup(s.close)
		require.NoError(t, s.Bind("inproc://"+id))
		other, err := newSocket(within, zmq4.DEALER)
		require.NoError(t, err)
		t.Cleanup(other.close)
		require.NoError(t, other.SetIdentity(id))
		require.NoError(t, other.Connect("inproc://"+id))
		for range messages {
			require.NoError(t, other.send("", transport.Message{make([]byte, size)}))
		}
		return s
	}
	cfg := Config{}.withDefaults()
	var wants []int
	for left := messages; left > 0; left -= 4 {
		wants = append(wants, 4*size) // the fourth is the first that is too much
	}
	t.Run("listener", func(t *testing.T) {
		var got sizes
		o := owner{
			cfg: &cfg, within: &instance{}, router: filled(t, zmq4.ROUTER, "1"),
			peers: map[string]*peer{"1": {stage: accepted, receiver: &got}},
			admit: func(transport.Peer) transport.Receiver { return nil },
		}
		for o.receive() { // nothing comes in between
		}
		require.Equal(t, wants, got.batches)
	})
	t.Run("connection", func(t *testing.T) {
		var got sizes
		c := newConn(&Transport{cfg: cfg}, filled(t, zmq4.DEALER, "2"), nil)
		c.reading.Store(&reading{receive: got.Receive})
		for c.receive() {
		}
		require.Equal(t, wants, got.batches)
	})
}
