package wire

import "strconv"

// The names of commands. PING, PONG, SUBSCRIBE and CANCEL are of ZMTP 3.1. The
// others that a mechanism has are its own.
const (
	// Ready ends the handshake of NULL and has the sender's metadata.
	Ready = "READY"
	// Error refuses a peer during the handshake and says why.
	Error = "ERROR"
	// Ping asks for a PONG and may say how long its sender waits for traffic.
	Ping = "PING"
	// Pong answers a PING.
	Pong = "PONG"
	// Subscribe adds a subscription; its data is the prefix.
	Subscribe = "SUBSCRIBE"
	// Cancel takes a subscription away; its data is the prefix.
	Cancel = "CANCEL"
)

// AppendCommand appends the beginning of a command's body, which is the name with
// its length, to dst and returns it. The data of the command is what the caller
// appends next. It panics if the name isn't 1 to 255 letters, which only a mistake
// in the program can cause.
func AppendCommand(dst []byte, name string) []byte {
	if !isName(name) {
		panic("zmtp: command: bad name " + strconv.Quote(name))
	}
	dst = append(dst, byte(len(name)))
	return append(dst, name...)
}

// ParseCommand splits the body of a command frame into name and data, which are
// parts of it (RFC 37, Formal Grammar: command-body). A body that is empty, ends
// within the name or has a name of other characters than letters is a
// [*ParseError]. The name may be one that nobody knows.
func ParseCommand(body []byte) (name, data []byte, err error) {
	if len(body) == 0 {
		return nil, nil, &ParseError{"command", "an empty frame"}
	}
	n := int(body[0])
	switch {
	case n == 0:
		return nil, nil, &ParseError{"command", "an empty name"}
	case n > len(body)-1:
		return nil, nil, &ParseError{"command", "a name of " + strconv.Itoa(n) + " bytes in a frame that has " + strconv.Itoa(len(body)-1) + " more"}
	}
	name = body[1 : 1+n : 1+n]
	if !isName(name) {
		return nil, nil, &ParseError{"command", "a name with other characters than letters"}
	}
	return name, body[1+n : len(body) : len(body)], nil
}

func isName[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		if !isAlpha(name[i]) {
			return false
		}
	}
	return true
}
