package zmq

import "errors"

var (
	// ErrUnavailable is wrapped by the errors of Listen and Dial where the program
	// has no libzmq in it.
	ErrUnavailable = errors.New("zmq: this program was built without libzmq, which needs cgo (CGO_ENABLED=1) and Unix")
	// ErrProtocol is wrapped where the other side broke the wire protocol: it
	// doesn't speak ZMTP, or sent more than the limits allow.
	ErrProtocol = errors.New("zmq: protocol violated by peer")
	// ErrMechanism is wrapped by the error of Dial where the two sides want
	// different mechanisms: one has CURVE and the other hasn't.
	ErrMechanism = errors.New("zmq: the peer wants another security mechanism")
)
