// Package wire reads and writes the bytes of ZeroMQ's wire protocol ZMTP 3.0 (RFC
// 23) and 3.1 (RFC 37): the [Greeting] that opens a connection, the [Header] of
// each frame, the commands, the [Metadata] that peers exchange, and which
// [SocketType] talks to which.
//
// The parse functions for what comes in pieces, [ParseGreeting] and
// [ParseHeader], take what was read so far: they say that more is needed, or what
// is wrong as soon as that can be told. The others take a whole body. The package
// is strict: reserved bits, sizes above the limit, trailing bytes, properties
// that come twice and names with foreign characters are errors. An error is a
// [*ParseError] or, for a frame above the limit, a [*SizeError]; both are safe to
// log. Where the specification asks for leniency, it says so at the function.
//
// It knows no state: whether a command is expected is for the connection to say,
// and so is what becomes of an unknown one. The mechanism CURVE has its commands
// in internal/curvezmq; here are its framing and its metadata.
//
// Everything is pure: no goroutines, no clock, no I/O. Parsing copies nothing, so
// results share memory with their input, and neither the parse nor the append
// functions for frames, PING and PONG allocate when they succeed and the
// destination is large enough.
//
// The folder testdata holds golden bytes in a form that tests in other languages
// can read; its README.md describes it.
package wire
