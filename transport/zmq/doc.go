// Package zmq carries messages by libzmq, through github.com/pebbe/zmq4, over
// tcp:// and ipc:// (Unix sockets), with the mechanisms NULL and CURVE (RFC 26).
// It is there as the reference beside package zmtp, which speaks the same protocol
// in Go alone and is faster, and for what only libzmq has. A listener is a ROUTER
// socket to its peers, a connection a DEALER socket.
//
//	tcp := zmq.New(zmq.Config{})
//	l, err := tcp.Listen(ctx, "tcp://127.0.0.1:5555")
//
// It needs cgo, libzmq 4.3 and Unix. A program that is built without still builds:
// Listen and Dial say [ErrUnavailable].
//
// What package transport says holds here. What follows is how.
//
// # Ownership
//
// A libzmq socket belongs to one goroutine at a time. Each listener has one, which
// owns its ROUTER and calls accept and the receivers; each connection has one,
// which owns its DEALER and calls what Serve was given. Whoever sends puts the
// message into a bounded queue, and flushing wakes the owner. The owner waits in
// Go's netpoller, on duplicates of the descriptors that libzmq signals (ZMQ_FD).
//
// A Transport has one libzmq context while it has a listener or a connection, and
// none otherwise, so that it needs no closing.
//
// What was flushed before a Close has a second to get into libzmq, a fifth of one to
// get out of it, and the other side of a listener's connection a second to end it as
// well. Where that reads it takes no time. It is the owner that waits, and the Serve
// of a listener.
//
// # How a listener knows its peers
//
// A bound ROUTER can't be what a listener has to be. It doesn't show a peer before
// that sends something, it has no way to end one peer's connection after the last
// message, and the events of its monitor carry no routing id. So the listener
// accepts the connections itself. For each it has its ROUTER connect to a Unix
// socket in a directory that only this user may enter, and carries the bytes
// between the two. It looks at no more of them than the version at the very
// beginning, which has to be 3. All of ZMTP, handshake and security is libzmq's.
// Now every connection has an endpoint of its own, which the monitor
// names and which can be disconnected; a routing id that the listener chose, so
// that whatever a peer calls itself counts for nothing; and a ZAP domain of its
// own, so that the handler knows which connection it lets in.
//
// # Reconnection
//
// libzmq never reconnects here: its interval is the longest there is, 24 days, and
// the owner gives a connection up at the first event that says that it ended. To
// forbid it altogether (ZMQ_RECONNECT_IVL -1) would have libzmq throw away what had
// come and wasn't read.
//
// # Memory and limits
//
// Frames are copied between Go and libzmq, both ways. Behind the queue that Config
// bounds, libzmq itself holds up to 128 more messages for each connection and
// direction, which it counts but doesn't weigh. It gathers a message to its last
// frame before it shows the first, so Config.MaxFrames is found to be exceeded only
// then. The limit of a single frame's bytes is libzmq's own
// (ZMQ_MAXMSGSIZE) and holds at once. What is taken from libzmq is handed on after
// 256 messages or 1 MiB, whichever comes first.
//
// Transport.Stats counts who was turned away, as far as libzmq says why.
//
// # Addresses
//
// "tcp://host:port", with "*" for any interface or a free port at Listen, IPv6
// addresses in brackets; "ipc://path", with "*" for a new path, and "@name" for an
// abstract one on Linux. Names of hosts are looked up by Go, as libzmq would hold
// up all other connections for it.
package zmq
