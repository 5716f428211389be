// Package mdp reads and writes the frames of the Majordomo protocol: MDP/0.1
// (RFC 7), MDP/0.2 (RFC 18) and the words of the management interface MMI
// (RFC 8). It turns a message into a typed [Command] and back.
//
// A message is the list of its frames as a DEALER socket sends and receives
// them: without the routing id that a ROUTER socket puts in front. There is one
// parse function for each receiver, because the same frames mean different
// things to different ends: [ParseBroker], [ParseWorker] and [ParseClient]. Both
// versions are told apart by the header, so a broker can serve them at one
// address; [Command.AppendTo] writes the version that the command names.
//
// The package is strict: a missing or superfluous frame, an unknown command or
// header and a command that the receiver never gets are all a [*ParseError],
// which names the frame and says what to do where a known dialect is
// recognised. It knows no state: whether a valid command is expected is for the
// engines to say, and so is what becomes of a bad service name ([CheckService]).
//
// The second thing in here is the client address that a broker gives a worker
// with a request and gets back with the reply ([Address], [AppendToken]). It is
// the broker's own to fill; a worker sends it back byte for byte.
//
// Everything is pure: no goroutines, no clock, no I/O. Parsing copies nothing, so
// a command shares memory with its message, and neither it nor AppendTo
// allocates when it succeeds and the destination is large enough. Messages are
// immutable: nobody writes to a frame that was parsed or produced here.
//
// The folder testdata holds golden messages in a form that tests in other
// languages can read; its README.md describes it.
package mdp
