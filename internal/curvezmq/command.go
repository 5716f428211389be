package curvezmq

import "strconv"

// The commands' names, each with its length before it (RFC 26, High-level Grammar).
const (
	helloName    = "\x05HELLO"
	welcomeName  = "\x07WELCOME"
	initiateName = "\x08INITIATE"
	readyName    = "\x05READY"
	errorName    = "\x05ERROR"
	messageName  = "\x07MESSAGE"
)

// The parts of the commands, by where they begin, and the commands' sizes.
const (
	helloVersionAt = len(helloName)
	helloPaddingAt = helloVersionAt + 2
	helloClientAt  = helloPaddingAt + 72 // RFC 26's text says 70, its sizes say 72
	helloNonceAt   = helloClientAt + KeySize
	helloBoxAt     = helloNonceAt + shortNonce
	helloZeros     = 64
	helloSize      = helloBoxAt + helloZeros + overhead // 200

	cookieSize = longNonce + 2*KeySize + overhead // 96

	welcomeNonceAt = len(welcomeName)
	welcomeBoxAt   = welcomeNonceAt + longNonce
	welcomeSize    = welcomeBoxAt + KeySize + cookieSize + overhead // 168

	initiateCookieAt = len(initiateName)
	initiateNonceAt  = initiateCookieAt + cookieSize
	initiateBoxAt    = initiateNonceAt + shortNonce
	vouchSize        = longNonce + 2*KeySize + overhead               // 96
	initiateMin      = initiateBoxAt + KeySize + vouchSize + overhead // 257

	readyNonceAt = len(readyName)
	readyBoxAt   = readyNonceAt + shortNonce
	readyMin     = readyBoxAt + overhead // 30

	messageNonceAt = len(messageName)
	messageBoxAt   = messageNonceAt + shortNonce
	messageMin     = messageBoxAt + 1 + overhead // 33
)

// maxReason is the largest reason of an ERROR.
const maxReason = 255

// hasName reports whether a body begins with a command's name.
func hasName(body []byte, name string) bool {
	return len(body) >= len(name) && string(body[:len(name)]) == name
}

// checkName refuses a body that is another command than the one of the name.
func checkName(body []byte, name string) error {
	if hasName(body, name) {
		return nil
	}
	return &CommandError{name[1:], ErrUnexpected, "got " + describe(body)}
}

// checkSize refuses a body that doesn't have the size.
func checkSize(body []byte, name string, size int) error {
	if len(body) == size {
		return nil
	}
	return &CommandError{name[1:], ErrSize, strconv.Itoa(len(body)) + " bytes, want " + strconv.Itoa(size)}
}

// checkMin refuses a body that is smaller than the size.
func checkMin(body []byte, name string, size int) error {
	if len(body) >= size {
		return nil
	}
	return &CommandError{name[1:], ErrSize, strconv.Itoa(len(body)) + " bytes, want at least " + strconv.Itoa(size)}
}

// describe says which command a body is, if it is one of CurveZMQ's or of NULL's,
// and else its size: it may hold what nobody should find in a log.
func describe(body []byte) string {
	for _, name := range []string{helloName, welcomeName, initiateName, readyName, errorName, messageName} {
		if hasName(body, name) {
			return name[1:]
		}
	}
	return strconv.Itoa(len(body)) + " bytes that are no command of CURVE"
}

// parseError returns what an ERROR command, which the body is, tells the client.
func parseError(body []byte) error {
	data := body[len(errorName):]
	if len(data) == 0 || int(data[0]) != len(data)-1 {
		return &CommandError{"ERROR", ErrSize, "the reason is not as long as it says"}
	}
	return &RefusedError{Reason: printable(data[1:])}
}

// printable returns the text with "?" for all that isn't printable ASCII.
func printable[T string | []byte](text T) string {
	b := []byte(text)
	safe := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '?'
		}
		safe[i] = c
	}
	return string(safe)
}
