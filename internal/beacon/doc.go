// Package beacon is presence by UDP multicast: brokers say once a second where they
// are, and workers and clients hear it (docs/protocol.md "Discovery").
//
// It has two halves. What a beacon is ([Beacon], [Decode], [Verify]) and what is made
// of one that was heard ([Table]) is computed without sockets or a clock. A [Speaker]
// and a [Listener] carry datagrams: over IPv4 and IPv6, on each interface that takes
// multicast, with interfaces that come and go.
//
// Nothing that is heard is believed without a proof: a MAC made with a key of the
// cluster, or a server key that the receiver has pinned. What is refused changes
// nothing, and is counted under the name of what is wrong with it ([Verdict]).
package beacon
