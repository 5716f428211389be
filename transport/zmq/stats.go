package zmq

// Stats are what the listeners of a [Transport] counted since it was made. What libzmq
// doesn't tell isn't counted: a peer that sends a single frame above
// Config.MaxMessageBytes, a command of ZMTP that is broken after a handshake with NULL,
// or nothing for Config.HeartbeatTimeout, looks as if it had ended the connection itself.
type Stats struct {
	Accepted  uint64 // connections that were accepted by the system
	Greeted   uint64 // those whose handshake succeeded
	Limited   uint64 // those closed for a limit on connections or handshakes
	Strangers uint64 // those whose key isn't allowed in
	Failed    uint64 // other handshakes that failed: other protocols, wrong mechanism, silence, broken commands
	Violated  uint64 // connections ended after the handshake because the peer broke the protocol or a limit
	Slow      uint64 // connections ended because their queue was full
}
