// Package faulty wraps a transport and makes its messages suffer: they are
// dropped, delayed, duplicated and reordered by a seeded generator, links are
// partitioned and healed, and ends crash without a goodbye. It is for tests.
//
// Everything happens at the dialler's end, in both directions, so the diallers
// have to go through the [Transport] and the listeners may. Direction "up" is
// from the dialler to the listener, "down" the other way.
//
// # Names
//
// A link runs between a dialler and the address that it dialled. Diallers are
// named with [Transport.As]; without a name they are called "conn". The links of
// one dialler are numbered in the order in which they were made: "worker#2" is
// the second. Where a method takes a name it takes an address, the name of a
// dialler (all its links), one link, or [Any].
//
// # Determinism
//
// Each direction of each link has a generator of its own, seeded with
// Config.Seed and the link's name. The same messages in the same order meet the
// same faults, whatever happens on other links. Diallers that dial at the same
// time should have names of their own, so that their numbers don't depend on who
// came first.
//
// Time is that of package time, so in a testing/synctest bubble delays take
// none. There all faults of a run can be repeated but for one thing: what two
// links do at the very same instant may happen in either order.
package faulty
