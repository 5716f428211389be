// Package jsonrpc reads and writes the JSON-RPC 2.0 envelope of a message body:
// who asks (id), for what (method), under which conditions (the extension
// member meta), and where the payload (params, result or error) begins and ends.
//
// It is the hottest code of the library, so the envelope is scanned by hand: the
// payload is checked but never decoded, and what is read are sub-slices of the
// body. Reading a body and writing one into a large enough buffer allocate
// nothing, except for a string that has escapes and for many free strings.
//
// # What is an envelope
//
// [Scan] accepts exactly one JSON object (RFC 8259, UTF-8, no byte-order mark)
// that is a request, a notification, a result or a failure by JSON-RPC 2.0,
// whatever the order of its members. Members that it doesn't know are ignored.
// Everything else is [Opaque]: carried, but not understood. Because other programs
// read the same body, and one takes the first of two members and another the
// last, a member that is there twice makes it opaque too, be its name spelled
// with escapes. Names differ where their case does.
//
// The package is pure: no I/O, no clock, no state, no reflection. It doesn't
// judge methods or codes; that is for its callers.
package jsonrpc
