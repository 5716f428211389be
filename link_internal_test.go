package mesh

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

// heard is a receiver at a broker's end.
type heard struct{ messages []string }

func (h *heard) Receive(batch []transport.Message) {
	for _, m := range batch {
		h.messages = append(h.messages, string(m[0]))
	}
}

func (*heard) Gone(error) {}

// A connection is closed by a turn that may have come between another one's sending
// and its flushing.
func TestLinkClosesAfterWhatWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := inproc.New(inproc.Config{})
		l, err := hub.Listen(t.Context(), "inproc://b")
		require.NoError(t, err)
		var h heard
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = l.Serve(context.Background(), func(transport.Peer) transport.Receiver { return &h }) // it is closed below
		}()
		conn, err := hub.Dial(t.Context(), transport.Endpoint{Addr: "inproc://b"})
		require.NoError(t, err)
		c := &linkConn{conn: conn, cancel: func() {}}
		require.NoError(t, conn.Send(transport.Message{[]byte("sent")}))
		c.close()
		synctest.Wait()
		require.NoError(t, l.Close())
		<-served
		require.Equal(t, []string{"sent"}, h.messages)
	})
}
