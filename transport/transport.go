// Package transport is the seam between the Majordomo engines and whatever
// carries their messages.
//
// A [Transport] opens two kinds of ends. A [Listener] is a broker's end: it
// accepts many peers and plays the part of a ROUTER socket. A [Conn] is the end
// of a worker or a client, a DEALER socket. The package holds interfaces and
// the words they share; the implementations stand in packages of their own
// (inproc, and those for real networks), and package transporttest decides what
// each of them must do.
//
// # One connection, one life
//
// A connection that ended stays dead. Nothing below the seam reconnects,
// because whoever speaks Majordomo has to see that the other side may have
// forgotten it and must register again. The sessions above the seam dial anew.
//
// # Memory
//
// A [Message] is immutable once it was passed to Send or to a receiver: neither
// side writes to its frames again, and no transport reuses their memory. A
// message may therefore be kept, passed on or sent to many peers without a
// copy. Only the batch slice that carries messages to a receiver is borrowed. A
// sender gets the memory back only from a link that says so, see [Copier].
//
// # Nobody waits for a slow peer
//
// Send queues and Flush starts the writing; neither waits for the other side. A
// peer that doesn't read fills its bounded queue and is dropped with
// [ErrSlowPeer]; the others don't notice.
package transport

import (
	"context"
	"errors"
)

// Errors that every transport uses, wrapped with details. Test with errors.Is.
var (
	// ErrClosed is returned by operations on a connection or listener that has
	// ended, and is the reason given where this side ended it.
	ErrClosed = errors.New("transport: closed")
	// ErrPeerClosed is the reason given where the other side ended the
	// connection.
	ErrPeerClosed = errors.New("transport: closed by peer")
	// ErrSlowPeer is the reason given where a peer was dropped because its
	// outbound queue was full.
	ErrSlowPeer = errors.New("transport: peer too slow, outbound queue full")
	// ErrFull is returned by a [Conn]'s Send where the outbound queue is full.
	// The message was not queued.
	ErrFull = errors.New("transport: outbound queue full")
	// ErrEmpty is returned by Send for a message without frames. The connection
	// lives on.
	ErrEmpty = errors.New("transport: message without frames")
	// ErrTooLarge is returned by Send for a message above the transport's size
	// or frame limit. The message was not queued and the connection lives on.
	ErrTooLarge = errors.New("transport: message too large")
	// ErrRefused is returned by Dial where nobody listens at the address or the
	// listener turned the connection away.
	ErrRefused = errors.New("transport: connection refused")
	// ErrAddress is returned by Listen and Dial for an address that can't be
	// used: malformed, of another scheme, or (Listen) already in use.
	ErrAddress = errors.New("transport: bad address")
)

// Message is one multipart message: its frames in order. A message has at least
// one frame; a frame may be empty. It is immutable, see the package comment.
type Message [][]byte

// Size returns the number of bytes in all frames.
func (m Message) Size() int {
	n := 0
	for _, f := range m {
		n += len(f)
	}
	return n
}

// Endpoint says where a broker listens and how to know that it is the right one.
type Endpoint struct {
	// Addr is the address with its scheme: "inproc://tea",
	// "tcp://127.0.0.1:5555".
	Addr string
	// ServerKey is the broker's public CURVE key in Z85 (40 characters). Empty
	// means no CURVE.
	ServerKey string
}

// Identity says who is at the other end of a connection, as far as the
// transport vouches for it.
type Identity struct {
	// Name is the authenticated name: what the transport's security mechanism
	// established. Empty where the peer isn't authenticated.
	Name string
	// Addr is the remote address, for logs and listings only.
	Addr string
	// Local reports that the peer runs in this process.
	Local bool
}

// Transport opens listeners and connections. Its methods may be called from many
// goroutines at once.
type Transport interface {
	// Listen takes the address and returns once peers can dial it. A wildcard
	// in the address is resolved; the listener's Addr says to what. ctx bounds
	// the call only.
	Listen(ctx context.Context, addr string) (Listener, error)
	// Dial connects and returns after the handshake, so that a peer with wrong
	// credentials or of another protocol is an error here. ctx bounds the call
	// only; where it ends first, Dial returns its error.
	Dial(ctx context.Context, to Endpoint) (Conn, error)
}

// Listener is a broker's end.
type Listener interface {
	// Addr returns the resolved address, in the form that Dial takes.
	Addr() string
	// Serve calls accept for every peer that connects, also for those that came
	// before Serve, and gives what the peer sends to the receiver that accept
	// returned. accept is called for one peer at a time; where it returns nil
	// the peer is closed. Serve blocks until ctx ends or the listener is closed,
	// and returns ctx's error or ErrClosed once no receiver is running any more
	// for a cause of this listener. It may be called once.
	//
	// When ctx ends the address is freed and every peer is closed, as by Close.
	Serve(ctx context.Context, accept func(Peer) Receiver) error
	// Close frees the address and closes every peer, sending what was flushed
	// before as far as the peers take it at once. It is idempotent.
	Close() error
}

// Receiver takes what one peer sends. Its methods are never called at the same
// time for one peer. They may run on the goroutine of whoever flushed at the
// other end, so they must neither block nor hold a lock while they flush.
type Receiver interface {
	// Receive takes a batch of messages in the order in which they were sent.
	// The slice is valid until Receive returns; the messages may be kept.
	Receive(batch []Message)
	// Gone says that the peer is gone and why; it is the last call. A peer that
	// closed gives ErrPeerClosed, one that was dropped ErrSlowPeer, one that
	// this side closed ErrClosed.
	Gone(reason error)
}

// Link is what both ends of a connection can do.
type Link interface {
	// Send queues m for the other side. It never blocks, it runs no receiver,
	// and nothing is written before Flush, but where the queue is full. Once a
	// link has ended Send returns an error that says why. A peer whose queue is
	// full is dropped: its Send returns ErrSlowPeer and its receiver's Gone
	// follows. A peer that reads may be sent twice as much as the queue takes
	// in one turn.
	Send(m Message) error
	// Flush starts writing what was queued, without waiting for the other side.
	// Calls at the same time are safe; messages leave in the order of Send. It
	// may run receivers on the caller's goroutine, also one of this end, so hold
	// no lock that a receiver takes.
	Flush()
	// Close ends the connection. What was flushed before is written as far as
	// the other side takes it at once. It is idempotent, doesn't wait and runs
	// no receiver.
	Close() error
}

// Copier is a [Link] that may keep nothing of what it was given.
type Copier interface {
	// CopiesBelow returns the size in bytes of frames below which Send keeps
	// nothing of a message: once it has returned, the memory of such frames, and
	// of the slice that holds a message's frames, may be used again. Larger ones are
	// kept until they are written. It is the same for as long as the link lives;
	// zero: everything is kept.
	CopiesBelow() int
}

// Joiner is a [Link] that takes a frame in pieces, so that a large one needn't be put
// together in memory first.
type Joiner interface {
	// SendJoined is Send for a message whose last n frames are pieces of one: the other
	// side gets them as one frame. n is at least 1 and at most len(m). What holds for
	// frames holds for the pieces (see [Copier]).
	SendJoined(m Message, n int) error
}

// Peer is one connection at a listener. It is bound to one identity for life; a
// connection whose identity changes is another Peer.
type Peer interface {
	Link
	// Identity says who the peer is.
	Identity() Identity
}

// Conn is a worker's or a client's end.
type Conn interface {
	Link
	// Serve gives everything that the broker sends to receive, in order, until
	// ctx ends or the connection does, and returns why, once receive isn't
	// running any more: ctx's error, ErrPeerClosed, ErrClosed, ErrSlowPeer (where
	// the transport can tell that from ErrPeerClosed) or what the transport met.
	// While no Serve is running nothing is read. receive follows the rules of
	// Receiver.Receive. Serve may be called again after ctx ended it, not
	// twice at the same time.
	Serve(ctx context.Context, receive func(batch []Message)) error
}
