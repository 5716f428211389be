// Package curvezmq is CurveZMQ (RFC 26), the mechanism that ZMTP calls CURVE (RFC
// 25): two peers prove their keys to each other, agree on a key for this
// connection alone, and encrypt every message with it.
//
// There is a state machine for each end, [Client] and [Server], over the bodies of
// ZMTP's frames; framing, greeting and metadata are the transport's. The calls
// follow the protocol:
//
//	client                          server
//	Hello() → HELLO                 Hello(HELLO) → WELCOME
//	Welcome(WELCOME) → INITIATE     Initiate(INITIATE) → the client's key
//	Ready(READY) → Session          Ready() → READY, Session; or Refuse() → ERROR
//
// Between Initiate and Ready the server's caller decides whether the client's key
// is allowed. Nothing here allows it by itself, and no [Session] exists before. The
// caller limits the time of the handshake too: RFC 26 wants the cookie's key gone
// after 60 seconds, and it goes with the Server.
//
// Both machines check every byte that the other one chose: names, sizes, version,
// padding, keys, that the numbers of commands rise, and all boxes. What is wrong is
// a [*CommandError]; then the connection is to be closed, and the machine answers
// no further call. A server that says ERROR is a [*RefusedError].
//
// The handshake's commands go in command frames, but a MESSAGE goes in a message
// frame without MORE, whatever is in it: so libzmq does, though RFC 37 says command
// frames, and a MESSAGE in one of those libzmq drops without a word. What kind of
// frame is inside says the flags byte in the box, [More] and [Command]; with the
// second, PING, PONG, SUBSCRIBE and CANCEL of ZMTP 3.1 travel. To a peer whose
// greeting says 3.0, libzmq sends PING all the same, but subscriptions as messages.
//
// Keys and their text are in package transport/curve. No error here holds anything
// secret.
//
// Everything is pure: no goroutines, no clock, no I/O; randomness comes from the
// caller, who passes crypto/rand.Reader outside of tests.
package curvezmq
