package curvezmq

import (
	"errors"
	"strconv"
)

// The cases of a [*CommandError].
var (
	// ErrUnexpected is another command than the one that is due.
	ErrUnexpected = errors.New("not the command that is due")
	// ErrSize is a command that is too short or too long.
	ErrSize = errors.New("wrong size")
	// ErrVersion is another version of CurveZMQ than 1.0.
	ErrVersion = errors.New("unknown version")
	// ErrMalformed is a field that has to be zero and isn't, or unknown flags.
	ErrMalformed = errors.New("malformed")
	// ErrKey is a public key that no secret key has.
	ErrKey = errors.New("not a usable public key")
	// ErrBox is a box that doesn't open: the peer has other keys than it should, or
	// somebody changed the command.
	ErrBox = errors.New("box does not open")
	// ErrVouch is a client whose vouch is for another connection or server.
	ErrVouch = errors.New("vouch is not for this connection")
	// ErrReplay is a command whose number is not above that of the one before.
	ErrReplay = errors.New("nonce does not rise")
	// ErrExhausted is the end of the numbers for commands, after 2^64-1 of them.
	ErrExhausted = errors.New("nonces exhausted")
	// ErrOrder is a call that isn't due: the machine is in another state, or it
	// failed before.
	ErrOrder = errors.New("called out of order")
)

// CommandError says which command of the handshake or of the traffic was refused,
// or couldn't be made, and why. It holds nothing secret, so it is safe to log.
type CommandError struct {
	// Command is the command that was due, such as "HELLO".
	Command string
	// Err is the case, one of the errors of this package.
	Err error
	// Detail says more, or is empty.
	Detail string
}

// Error returns the error in the form "curve: HELLO: wrong size: 199 bytes, want 200".
func (e *CommandError) Error() string {
	s := "curve: " + e.Command + ": " + e.Err.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the case.
func (e *CommandError) Unwrap() error { return e.Err }

// RefusedError says that the server refused the client with an ERROR command (RFC
// 26, The ERROR Command). The client must not try again with the same keys.
type RefusedError struct {
	// Reason is what the server said, made safe to log: what isn't printable ASCII
	// became "?". libzmq says "400" for a key that it doesn't know (RFC 27).
	Reason string
}

// Error returns the error with the server's reason in quotes.
func (e *RefusedError) Error() string {
	return "curve: the server refused this client: " + strconv.Quote(e.Reason)
}

var (
	_ error = (*CommandError)(nil)
	_ error = (*RefusedError)(nil)
)
