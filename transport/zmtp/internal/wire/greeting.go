package wire

import (
	"bytes"
	"strconv"
)

// GreetingSize is the number of bytes of a greeting.
const GreetingSize = 64

// The parts of a greeting, by where they begin (RFC 37, Formal Grammar).
const (
	markAt      = 9
	majorAt     = 10
	minorAt     = 11
	mechanismAt = 12
	serverAt    = 32
)

// Version is a version of ZMTP.
type Version struct{ Major, Minor uint8 }

var (
	// V30 is ZMTP 3.0 (RFC 23).
	V30 = Version{3, 0}
	// V31 is ZMTP 3.1 (RFC 37): 3.0, and PING, PONG, SUBSCRIBE and CANCEL as
	// commands.
	V31 = Version{3, 1}
)

// AtLeast reports whether v is other or came after it. Only a peer that is at
// least [V31] may be sent a PING.
func (v Version) AtLeast(other Version) bool {
	return v.Major > other.Major || v.Major == other.Major && v.Minor >= other.Minor
}

// String returns the version in the form "ZMTP 3.1".
func (v Version) String() string {
	return "ZMTP " + strconv.Itoa(int(v.Major)) + "." + strconv.Itoa(int(v.Minor))
}

// Mechanism is the name of a security mechanism: 1 to 20 characters of A to Z,
// digits, "-", "_", "." and "+".
type Mechanism string

const (
	// Null is no security at all (RFC 37, The NULL Security Mechanism).
	Null Mechanism = "NULL"
	// Plain is a user name and a password in clear text (RFC 24).
	Plain Mechanism = "PLAIN"
	// Curve is authentication and encryption (RFC 25).
	Curve Mechanism = "CURVE"
)

const mechanismSize = serverAt - mechanismAt

// Greeting is what each peer sends first (RFC 37, Formal Grammar).
type Greeting struct {
	Version   Version
	Mechanism Mechanism
	// AsServer says that the peer is the server of the security mechanism. Don't
	// judge a peer by it: libzmq's CURVE server sends false too.
	AsServer bool
}

// AppendTo appends the 64 bytes of the greeting to dst and returns it. The whole
// greeting may be sent at once, before the peer's is read: older versions are not
// supported. AppendTo panics if the mechanism is no valid name, which only a
// mistake in the program can cause.
func (g Greeting) AppendTo(dst []byte) []byte {
	if reason := badMechanism(g.Mechanism); reason != "" {
		panic("zmtp: greeting: " + reason)
	}
	var b [GreetingSize]byte
	b[0], b[markAt] = 0xff, 0x7f
	b[majorAt], b[minorAt] = g.Version.Major, g.Version.Minor
	copy(b[mechanismAt:], g.Mechanism)
	if g.AsServer {
		b[serverAt] = 1
	}
	return append(dst, b[:]...)
}

// ParseGreeting reads a greeting from b, which holds what has come from the peer
// so far. It returns true and the greeting if b holds [GreetingSize] bytes or
// more, and false if more are needed. A peer that can't be understood is a
// [*ParseError] as soon as its bytes show it: it speaks another protocol, ZMTP 1.0
// or 2.0, or its mechanism is no name.
//
// Any version from 3.0 on is taken (RFC 37, Version Negotiation: a higher one must
// be), and padding and filler may hold anything. Whether the mechanism is the one
// that is wanted is for the caller to check: exactly, or the connection ends.
func ParseGreeting(b []byte) (Greeting, bool, error) {
	if len(b) == 0 {
		return Greeting{}, false, nil
	}
	if b[0] != 0xff {
		return Greeting{}, false, foreign(b)
	}
	// In ZMTP 1.0 the bytes up to here are the header of a long frame, and a flag
	// that is always zero stands where the mark does (RFC 37, Backwards
	// Interoperability).
	if len(b) > markAt && b[markAt] != 0x7f {
		if b[markAt]&1 == 0 {
			return Greeting{}, false, greetingError("the peer speaks ZMTP 1.0 (ZeroMQ 2), and 3.0 is the oldest supported")
		}
		return Greeting{}, false, greetingError("not ZMTP: byte 9 is " + hexByte(b[markAt]) + ", want 0x7f")
	}
	if len(b) > majorAt && b[majorAt] < 3 {
		return Greeting{}, false, greetingError("the peer speaks ZMTP 2.0 (ZeroMQ 3) or older, and 3.0 is the oldest supported")
	}
	if len(b) < GreetingSize {
		return Greeting{}, false, nil
	}
	name, padding, _ := bytes.Cut(b[mechanismAt:serverAt], []byte{0})
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return Greeting{}, false, greetingError("the mechanism's name goes on behind a zero byte")
	}
	mechanism := mechanismOf(name)
	if reason := badMechanism(mechanism); reason != "" {
		return Greeting{}, false, greetingError(reason)
	}
	if b[serverAt] > 1 {
		return Greeting{}, false, greetingError("as-server is " + hexByte(b[serverAt]) + ", want 0x00 or 0x01")
	}
	return Greeting{
		Version:   Version{b[majorAt], b[minorAt]},
		Mechanism: mechanism,
		AsServer:  b[serverAt] == 1,
	}, true, nil
}

func mechanismOf(name []byte) Mechanism {
	switch string(name) { // these don't allocate
	case string(Null):
		return Null
	case string(Plain):
		return Plain
	case string(Curve):
		return Curve
	}
	return Mechanism(name)
}

// badMechanism says what is wrong with a name, or nothing.
func badMechanism(m Mechanism) string {
	switch {
	case m == "":
		return "no mechanism"
	case len(m) > mechanismSize:
		return "a mechanism of " + strconv.Itoa(len(m)) + " characters, at most " + strconv.Itoa(mechanismSize) + " fit"
	}
	for i := range len(m) {
		if c := m[i]; (c < 'A' || c > 'Z') && !isDigit(c) && !isMark(c) {
			return "a mechanism's name with the byte " + hexByte(c) + "; want upper-case letters, digits and -_.+"
		}
	}
	return ""
}

// starts are how other protocols begin.
var starts = []struct{ bytes, name string }{
	{"GET ", "HTTP"}, {"HEAD", "HTTP"}, {"POST", "HTTP"}, {"PUT ", "HTTP"}, {"PATC", "HTTP"}, {"DELE", "HTTP"},
	{"OPTI", "HTTP"}, {"CONN", "HTTP"}, {"TRAC", "HTTP"}, {"PRI ", "HTTP"}, {"HTTP", "HTTP"},
	{"\x16\x03", "TLS"}, // a record of a handshake
	{"SSH-", "SSH"},
}

// foreign says what a peer might be that doesn't begin as ZMTP 2.0 and later do.
func foreign(b []byte) error {
	const shown = 4
	start := "the peer begins with " + strconv.QuoteToASCII(string(b[:min(len(b), shown)]))
	for _, s := range starts {
		if bytes.HasPrefix(b, []byte(s.bytes)) {
			return greetingError("not ZMTP: " + start + "; is it " + s.name + "?")
		}
	}
	// A short frame of ZMTP 1.0 begins with its size, which counts the flags, and
	// flags of zero; it is the peer's identity.
	if len(b) >= 2 && b[0] > 0 && b[1] == 0 {
		return greetingError("the peer speaks ZMTP 1.0 (ZeroMQ 2), and 3.0 is the oldest supported; or it isn't ZMTP: " + start)
	}
	return greetingError("not ZMTP: " + start)
}

func greetingError(reason string) error { return &ParseError{"greeting", reason} }

func hexByte(c byte) string {
	const digits = "0123456789abcdef"
	return "0x" + string([]byte{digits[c>>4], digits[c&15]})
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isMark says whether c is one of the characters that names have beside letters and
// digits.
func isMark(c byte) bool { return c == '-' || c == '_' || c == '.' || c == '+' }

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
