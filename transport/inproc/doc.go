// Package inproc carries messages between the parts of one process, with no
// port and no copy.
//
// A [Network] is a world of its own: an address such as "inproc://tea" means
// something only to the diallers of the Network that listens there, so any
// number of tests or meshes run side by side. Messages are immutable (see
// package transport) and are handed over as they are.
//
// # Who runs a receiver
//
// There is no goroutine per connection. Flush runs the receiver of the other
// end on the goroutine that flushes. Where another goroutine is running that
// receiver already it picks the messages up, and Flush returns at once; so the
// receivers of two connections that answer each other don't call one another
// ever deeper. No lock is held meanwhile. A goroutine that has handed over some
// hundred messages in one Flush leaves the rest to the goroutine in Serve,
// which otherwise only waits; that one also makes the rare calls, accept and
// most of the Gones.
//
// A receiver that panics does so on the goroutine that flushed.
//
// Nothing here reads a clock or starts a goroutine, and channels are made where
// they are used, so a Network works inside a testing/synctest bubble.
package inproc
