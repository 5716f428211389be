//go:build !cgo || !zmq

package main

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh/transport"
)

func zmqAvailable(context.Context, string) error {
	return fmt.Errorf("%w: built without cgo or without -tags zmq", errNotAvailable)
}

var zmqNetwork network = func(setting) (transport.Transport, string, error) {
	return nil, "", errNotAvailable
}
