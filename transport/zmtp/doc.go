// Package zmtp carries messages over ZeroMQ's wire protocol, ZMTP 3.1 (RFC 37)
// and 3.0 (RFC 23), in Go alone: over tcp:// and ipc:// (Unix sockets), with the
// mechanisms NULL and CURVE (RFC 26). A listener plays the part of a ROUTER
// socket; DEALER and REQ sockets of any ZeroMQ library may connect to it. A
// connection is a DEALER.
//
//	tcp := zmtp.New(zmtp.Config{})
//	l, err := tcp.Listen(ctx, "tcp://127.0.0.1:5555")
//
// What package transport says holds here. What follows is how.
//
// # Goroutines
//
// Each connection has one goroutine that reads, and little else while it is idle:
// a buffer of 1 KiB, the last small messages (64 KiB of them at most), and no
// writer. Whoever flushes a link writes what is waiting itself, with one system
// call that doesn't block. Only what the kernel doesn't take is left to a writer
// goroutine, which exists as long as there is a backlog. So a peer that doesn't
// read holds nobody up: its queue fills, and a listener drops it.
//
// # Memory
//
// A reader cuts small frames from the chunk that it read them into, which is
// never used again; a frame that is large gets memory of its own, which grows as
// its bytes come, so that a peer has to send what it makes this side hold. Who
// keeps a message keeps of others no more than a chunk of them, 64 KiB.
//
// # Addresses
//
// "tcp://host:port", with "*" for any interface or a free port at Listen, IPv6
// addresses in brackets; "ipc://path", with "*" for a new path, and "@name" for an
// abstract one on Linux.
package zmtp
