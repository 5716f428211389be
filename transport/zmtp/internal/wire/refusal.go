package wire

import "strconv"

// maxReason is the largest reason of an ERROR.
const maxReason = 255

// AppendError appends the body of an ERROR command to dst and returns it (RFC 37,
// The NULL Security Mechanism). A reason of more than 255 bytes is cut, and what
// isn't printable ASCII becomes "?". libzmq knows the reasons "300", "400" and
// "500" as temporary, authentication and internal error (RFC 27).
func AppendError(dst []byte, reason string) []byte {
	reason = reason[:min(len(reason), maxReason)]
	dst = AppendCommand(dst, Error)
	dst = append(dst, byte(len(reason)))
	for i := range len(reason) {
		dst = append(dst, printable(reason[i]))
	}
	return dst
}

// ParseReason reads the data of an ERROR command and returns the reason, made safe
// to log: what isn't printable ASCII becomes "?". Data that is shorter or longer
// than the reason's length says is a [*ParseError].
func ParseReason(data []byte) (string, error) {
	if len(data) == 0 {
		return "", &ParseError{Error, "no reason"}
	}
	if n := int(data[0]); n != len(data)-1 {
		return "", &ParseError{Error, "a reason of " + strconv.Itoa(n) + " bytes in " + strconv.Itoa(len(data)-1)}
	}
	reason := make([]byte, 0, maxReason)
	for _, c := range data[1:] {
		reason = append(reason, printable(c))
	}
	return string(reason), nil
}

func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return '?'
	}
	return c
}
