//go:build cgo && unix

package zmq_test

import (
	"context"
	"testing"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/transporttest"
	"github.com/mdpmesh/mesh/transport/zmq"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// split is a transport that listens by one and dials by another.
type split struct{ listens, dials transport.Transport }

func (s split) Listen(ctx context.Context, addr string) (transport.Listener, error) {
	return s.listens.Listen(ctx, addr)
}

func (s split) Dial(ctx context.Context, to transport.Endpoint) (transport.Conn, error) {
	return s.dials.Dial(ctx, to)
}

// library is one of the two that speak ZMTP, with keys or without.
type library struct {
	name string
	open func(*curve.KeyPair, func(curve.Key) (string, bool)) transport.Transport
}

var (
	byZMQ = library{"zmq", func(keys *curve.KeyPair, authenticate func(curve.Key) (string, bool)) transport.Transport {
		return zmq.New(zmq.Config{Keys: keys, Authenticate: authenticate, MaxMessageBytes: maxBytes, MaxFrames: maxFrames})
	}}
	byZMTP = library{"zmtp", func(keys *curve.KeyPair, authenticate func(curve.Key) (string, bool)) transport.Transport {
		return zmtp.New(zmtp.Config{Keys: keys, Authenticate: authenticate, MaxMessageBytes: maxBytes, MaxFrames: maxFrames})
	}}
)

// Each library's listener passes the suite with the other's connections.
func TestCrosswise(t *testing.T) {
	for _, ends := range []struct{ listens, dials library }{{byZMQ, byZMTP}, {byZMTP, byZMQ}} {
		for _, scheme := range []struct {
			name string
			addr func(testing.TB) func() string
		}{{"tcp", tcp}, {"ipc", ipc}} {
			for _, mechanism := range []string{"NULL", "CURVE"} {
				t.Run(ends.dials.name+" to "+ends.listens.name+"/"+scheme.name+"/"+mechanism, func(t *testing.T) {
					transporttest.Run(t, func(t *testing.T) transporttest.Fixture {
						t.Helper()
						f := transporttest.Fixture{Addr: scheme.addr(t), MaxMessageBytes: maxBytes, MaxFrames: maxFrames}
						if mechanism == "NULL" {
							f.Transport = split{ends.listens.open(nil, nil), ends.dials.open(nil, nil)}
							return f
						}
						server, client := newKeys(t), newKeys(t)
						f.Transport = split{ends.listens.open(server, allow(client, "client")), ends.dials.open(client, nil)}
						f.Endpoint = func(addr string) transport.Endpoint {
							return transport.Endpoint{Addr: addr, ServerKey: server.Public.String()}
						}
						return f
					})
				})
			}
		}
	}
}
