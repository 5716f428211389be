//go:build cgo && unix

package zmq_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// echoer sends back what comes.
type echoer struct{ peer transport.Peer }

func (e echoer) Receive(batch []transport.Message) {
	for _, m := range batch {
		_ = e.peer.Send(m)
	}
	e.peer.Flush()
}

func (echoer) Gone(error) {}

// BenchmarkEcho has one connection with so many messages of 128 bytes under way,
// by either library.
func BenchmarkEcho(b *testing.B) {
	for _, lib := range []library{byZMQ, byZMTP} {
		for _, inflight := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("%s/%d", lib.name, inflight), func(b *testing.B) {
				z := lib.open(nil, nil)
				l, err := z.Listen(b.Context(), "tcp://127.0.0.1:*")
				require.NoError(b, err)
				served := make(chan error, 1)
				go func() {
					served <- l.Serve(context.Background(), func(p transport.Peer) transport.Receiver { return echoer{p} })
				}()
				c, err := z.Dial(b.Context(), transport.Endpoint{Addr: l.Addr()})
				require.NoError(b, err)
				m := transport.Message{make([]byte, 128)}
				sent, received := 0, 0
				send := func(n int) {
					for ; n > 0 && sent < b.N; n-- {
						_ = c.Send(m)
						sent++
					}
					c.Flush()
				}
				b.ResetTimer()
				send(inflight)
				err = c.Serve(b.Context(), func(batch []transport.Message) {
					if received += len(batch); received == b.N {
						_ = c.Close()
					}
					send(len(batch))
				})
				b.StopTimer()
				require.ErrorIs(b, err, transport.ErrClosed)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
				require.NoError(b, l.Close())
				require.ErrorIs(b, <-served, transport.ErrClosed)
			})
		}
	}
}
