package zmtp

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// heldPeer is a receiver that goes no further than its first batch until it is let.
type heldPeer struct {
	began, release chan struct{}
	gone           chan error
}

func (h *heldPeer) Receive([]transport.Message) {
	select {
	case h.began <- struct{}{}:
		<-h.release
	default:
	}
}

func (h *heldPeer) Gone(reason error) { h.gone <- reason }

// What was flushed before a Close arrives also where the side that closes hasn't read all
// that came: a socket that is closed like that resets the connection, and what the other
// side hasn't got by then is lost.
func TestCloseWithSomethingUnread(t *testing.T) {
	t.Parallel()
	const replies = 2000
	l, err := New(Config{}).Listen(t.Context(), "tcp://127.0.0.1:*")
	require.NoError(t, err)
	held := &heldPeer{began: make(chan struct{}, 1), release: make(chan struct{}), gone: make(chan error, 1)}
	accepted := make(chan transport.Peer, 1)
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
			accepted <- p
			return held
		})
	}()
	c, err := New(Config{}).Dial(t.Context(), transport.Endpoint{Addr: l.Addr()})
	require.NoError(t, err)
	ask := func() {
		require.NoError(t, c.Send(transport.Message{[]byte("question")}))
		c.Flush()
	}
	ask()
	p := <-accepted
	<-held.began
	ask() // nobody reads this one before the Close

	for i := range replies {
		require.NoError(t, p.Send(transport.Message{binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, 1024)}))
	}
	p.Flush()
	require.NoError(t, p.Close())
	close(held.release)
	var got []uint32
	err = c.Serve(t.Context(), func(batch []transport.Message) {
		for _, m := range batch {
			got = append(got, binary.BigEndian.Uint32(m[0]))
		}
	})
	require.ErrorIs(t, err, transport.ErrPeerClosed)
	require.Len(t, got, replies)
	require.EqualValues(t, replies-1, got[replies-1])
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-held.gone, transport.ErrClosed)
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-served, transport.ErrClosed)
}
