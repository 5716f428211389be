// Package majordomo holds the protocol engines of mesh: the broker and the
// worker's and the client's sessions, as pure state machines.
//
// An engine is given the time and an [Event] and returns what has to be done, as
// a list of [Action] values: it starts no goroutine, takes no lock, reads no
// clock, draws no random number and does no I/O. Whoever drives it decides how
// bytes and time reach it: package mesh drives it over transports and the
// process's clock, the simulator drives hundreds in virtual time, and the tests
// call it directly.
//
// The broker speaks both sub-protocols of MDP/0.1 (RFC 7) and MDP/0.2 (RFC 18)
// and the management interface MMI (RFC 8) with the extensions that
// docs/protocol.md describes.
//
// # Cost
//
// A step costs the same whether ten or a hundred thousand workers are idle and
// whether ten or a million requests are queued: timers live in a hierarchical
// timing wheel, everything that waits is a link of an intrusive list, and
// nothing is scanned. Work that grows with what was queued (answering a whole
// queue when a broker drains) is cut into slices of bounded length.
package majordomo
