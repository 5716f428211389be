package inproc

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

type nobody struct{}

func (nobody) Receive([]transport.Message) {}
func (nobody) Gone(error)                  {}

// A listener holds nothing of connections that ended, whichever way.
func TestEndedConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{MaxQueuedMessages: 1})
		l, err := n.listen(t.Context(), "inproc://tea")
		require.NoError(t, err)
		var peers []transport.Peer
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = l.Serve(context.Background(), func(p transport.Peer) transport.Receiver {
				peers = append(peers, p)
				if len(peers) == 4 {
					return nil
				}
				return nobody{}
			})
		})
		ends := []func(transport.Conn, transport.Peer){
			func(c transport.Conn, _ transport.Peer) { _ = c.Close() },
			func(_ transport.Conn, p transport.Peer) { _ = p.Close() },
			func(_ transport.Conn, p transport.Peer) {
				for p.Send(transport.Message{nil}) == nil {
				}
			},
			func(transport.Conn, transport.Peer) {}, // turned away
		}
		for i, end := range ends {
			c, err := n.Dial(t.Context(), transport.Endpoint{Addr: "inproc://tea"})
			require.NoError(t, err)
			synctest.Wait()
			end(c, peers[i])
			synctest.Wait()
			require.Empty(t, l.links)
			require.Empty(t, l.todo)
			require.Zero(t, l.pending)
		}
		require.NoError(t, l.Close())
		wg.Wait()
		require.Empty(t, n.listeners)
	})
}
