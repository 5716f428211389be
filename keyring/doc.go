// Package keyring says who a broker's peers are and what they may do, by a file of
// public keys and rights that is read again while the broker runs.
//
// A [Keyring] does two jobs. It names the owner of a public CURVE key
// ([Keyring.Authenticate]), for a transport that has seen the peer prove that it
// has the secret one; and it is the [mesh.Authorizer] that decides by that name.
// Whatever the file doesn't say is refused: a key that it doesn't have is nobody's,
// and a name that it doesn't have may do nothing.
//
// # The file
//
// The file is TOML 1.0. A peer is a table with the peer's name, a role one that
// peers share:
//
//	[peer.web]
//	key = "xk3H>NZ.-nD>^z6Jv(h(G=vNXoMLQFybuj9)VQJG"
//	roles = ["guest"]
//	call = ["search.query", "tea.*"]
//
//	[peer.kitchen]
//	keys = ["*9^f{wHi*E2QHn{Fz0E&4R/J??t8.mZckU@Aik%r", "zmPo#S$DZDUf0%/!sDR8kz9E.]5Rs?WuY&e0%+C8"]
//	register = ["tea"]
//
//	[role.guest]
//	call = ["job"]
//	see = true
//
// The members are
//
//	key        the peer's public key, 40 characters of Z85 (RFC 32)
//	keys       several, any of which will do: while a peer changes its key, both
//	roles      names of those whose rights it has as well as its own
//	call       what it may call: "tea" or "tea.*" is all of a service, "tea.brew"
//	           one method, "*" everything
//	register   the services that it may offer
//	see        true: it may ask for services, their contracts and the broker's state;
//	           or the services of which it sees these
//	operate    true: it may pause and resume services, drain and disconnect
//	           workers, cancel, release and drop requests; or the services of which
//	           it may do so
//
// The services of register, see and operate are given by their full names, and "*" is
// all of them. A role has the last four. An entry of call is split at its last dot, as methods
// are on the wire: all of the service "shop.tea" is "shop.tea.*", never "shop.tea",
// which is the method tea of the service shop.
//
// Nothing in the file is secret, but who may write it decides everything. No error
// of this package shows a key or what might be one, since a secret key may have
// got into the file by mistake.
//
// # Peers in the process
//
// A peer in the broker's own process that has no name may do everything: code that
// runs there can't be held back. Whoever gives such a peer a name has the rights
// of that name asked for.
//
// The file is read with github.com/BurntSushi/toml: it is the oldest reader of TOML
// in Go, is kept up to date, needs no other module, and tells where a value
// stands. A format of our own would be one more to learn, and JSON has no
// comments, which a file of keys needs.
package keyring
