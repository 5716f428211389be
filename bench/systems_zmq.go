//go:build cgo && zmq

package main

import (
	"context"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmq"
)

func zmqAvailable(context.Context, string) error { return nil }

// zmqNetwork is libzmq by cgo.
var zmqNetwork network = func(setting) (transport.Transport, string, error) {
	return zmq.New(zmq.Config{}), "", nil
}
