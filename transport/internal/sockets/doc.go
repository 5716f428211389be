// Package sockets has what transports over tcp:// and ipc:// do alike, whatever
// they speak: they parse addresses, listen, accept, count connections by host,
// check their configuration, and say what a message costs. An error of it has
// the package's name in front where the caller gives one, and otherwise is for
// the caller to wrap.
package sockets
