package mdp

import (
	"strconv"
	"strings"
)

// The functions in this file say what is wrong with a message that parse
// refused. They run on bad input only.

// missing says that a command ends before the frame at index at.
func missing(v Version, k Kind, at int, what string) *ParseError {
	return &ParseError{at, "missing: " + wireName(v, k) + " of " + v.String() + " has " + what + " here"}
}

// superfluous says that a command goes on with the frame at index at, where it
// should have ended.
func superfluous(v Version, k Kind, at int) *ParseError {
	return &ParseError{at, "one frame too many: " + wireName(v, k) + " of " + v.String() + " ends before it"}
}

// incomplete says what a command lacks whose fields, a service name and maybe a
// body, begin at index at.
func incomplete(v Version, k Kind, msg [][]byte, at int) *ParseError {
	if len(msg) == at {
		return missing(v, k, at, "the service name")
	}
	return missing(v, k, len(msg), "a body of one or more frames")
}

// badAddress says what is wrong with the frames from index at on, which should
// be a client address, an empty frame and a body.
func badAddress(v Version, k Kind, msg [][]byte, at int) *ParseError {
	switch {
	case len(msg) == at:
		err := missing(v, k, at, "the client address")
		err.Reason += misnumbered(v, codes[v][k], true)
		return err
	case len(msg[at]) == 0:
		return &ParseError{at, "empty: " + wireName(v, k) + " has the client address here"}
	case len(msg) == at+1:
		return missing(v, k, at+1, "an empty frame")
	case len(msg[at+1]) != 0:
		return &ParseError{at + 1, "not empty: an empty frame parts the client address from the body"}
	}
	return missing(v, k, at+2, "a body of one or more frames")
}

// badCommand says what is wrong with the command at index at, which may lie
// behind the end.
func (r receiver) badCommand(head header, msg [][]byte, at int) *ParseError {
	v := head.version()
	if len(msg) == at {
		return &ParseError{at, "missing: the command"}
	}
	if n := len(msg[at]); n != 1 {
		return &ParseError{at, "a command is one byte, and this frame has " + strconv.Itoa(n)}
	}
	code := msg[at][0]
	k := head.command(code)
	var reason string
	switch {
	case k != Invalid:
		reason = "command " + hexByte(code) + " is " + wireName(v, k) + ", which a " + r.name + " never receives"
		if r.has(ClientRequest) && !head.isWorker() {
			reason += "; a client's REQUEST is 0x01"
		}
	case '0' <= code && code <= '9':
		reason = "unknown command " + hexByte(code) + ": a command is a number in binary, not a digit in ASCII"
	default:
		reason = "unknown command " + hexByte(code)
	}
	if head.isWorker() {
		reason += misnumbered(v, code, len(msg) == at+1)
	}
	return &ParseError{at, reason}
}

// misnumbered returns a hint where a worker's command looks as if it had the
// number of the other version; bare: nothing follows it.
func misnumbered(v Version, code byte, bare bool) string {
	switch {
	case v == V01 && code == 6 && bare:
		return "; MDP/0.1's DISCONNECT is 0x05"
	case v == V02 && code == 4 && bare:
		return "; MDP/0.2's HEARTBEAT is 0x05"
	}
	return ""
}

// foreign says why a message without a header isn't one, with a hint for the
// dialects that are known to call themselves Majordomo.
func foreign(msg [][]byte) *ParseError {
	if len(msg) == 0 {
		return &ParseError{-1, "no frames"}
	}
	if hint := dialect(msg[0]); hint != "" {
		return &ParseError{0, hint}
	}
	delimiter := firstEmpty(msg)
	switch {
	case delimiter < 0 && len(msg) > MaxEnvelope:
		return &ParseError{MaxEnvelope, "more than " + strconv.Itoa(MaxEnvelope) + " frames before the first empty one"}
	case delimiter < 0:
		return &ParseError{0, "unknown header" + quote(msg[0])}
	}
	at := delimiter + 1
	if at == len(msg) {
		return &ParseError{at, "missing: a header follows the first empty frame"}
	}
	frame := msg[at]
	switch {
	case len(frame) == 0:
		return &ParseError{at, "empty: a header follows the first empty frame, of which a REQ socket sends one itself"}
	case string(frame) == "MDPC02" || string(frame) == "MDPW02":
		return &ParseError{at, "header " + string(frame) + " behind an empty frame: a message of MDP/0.2 begins with its header (RFC 18); send no empty frame, use DEALER and not REQ"}
	}
	if hint := dialect(frame); hint != "" {
		return &ParseError{at, hint}
	}
	return &ParseError{at, "unknown header" + quote(frame)}
}

// dialect returns what is to be said about a frame that stands where a header
// should, if it is known, and else nothing.
func dialect(frame []byte) string {
	const speak = "; speak MDP/0.1 or MDP/0.2"
	switch s := string(frame); {
	case s == "MDPC01" || s == "MDPW01":
		return "header " + s + " without an empty frame before it (RFC 7): a DEALER socket has to send one, a REQ socket does it itself"
	case s == "MDPC03" || s == "MDPW03":
		return "header " + s + " is of OpenCMW's protocol" + speak
	case s == "MDPC0X" || s == "MDPW0X":
		return "header " + s + " is of a draft in zeromq/majordomo's libmdp" + speak
	case s == "C" || s == "W":
		return "header " + s + " is of PIGATO's protocol" + speak
	case len(s) >= 2 && s[0] == 0xAA && s[1]&0xF0 == 0xA0:
		return "a zproto message as zeromq/majordomo sends it" + speak
	}
	return ""
}

// quote returns a header in quotes, preceded by a space. Of a frame that doesn't
// look like one it tells the size alone, because it may hold what nobody should
// find in a log.
func quote(frame []byte) string {
	const longest = 8
	if len(frame) != len(headerC02) && !strings.HasPrefix(string(frame[:min(len(frame), longest)]), "MDP") {
		return ", a frame of " + strconv.Itoa(len(frame)) + " bytes"
	}
	if len(frame) > longest {
		return " that begins with " + strconv.QuoteToASCII(string(frame[:longest]))
	}
	return " " + strconv.QuoteToASCII(string(frame))
}

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return "0x" + string([]byte{digits[b>>4], digits[b&15]})
}

// wireName returns what the RFCs call a command.
func wireName(v Version, k Kind) string {
	switch k {
	case ClientRequest, WorkerRequest:
		return "REQUEST"
	case ClientPartial, WorkerPartial:
		return "PARTIAL"
	case ClientFinal, WorkerFinal:
		if v == V01 {
			return "REPLY"
		}
		return "FINAL"
	case Ready:
		return "READY"
	case Heartbeat:
		return "HEARTBEAT"
	}
	return "DISCONNECT"
}
