package contract

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanned is what a scan of a JSON string finds on its way.
type scanned struct {
	end     int  // index after the closing quote; negative: no string
	escaped bool // it has escapes
}

// Eight bytes are looked at in one go: these mark, in the highest bit of each, the
// bytes that end a string or need a closer look.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a mask whose lowest set bit is in the first byte of w that is a
// quote, a backslash, a control character or not ASCII. Bits above it mean nothing.
func special(w uint64) uint64 {
	quote := w ^ lows*'"'
	slash := w ^ lows*'\\'
	return ((quote - lows) | (slash - lows) | (w - lows*' ') | w) & highs
}

// scan reads the string whose opening quote is in[i].
func (c *checker) scan(i int) scanned {
	in := c.in
	var s scanned
	for j := i + 1; ; {
		for j+8 <= len(in) {
			m := special(binary.LittleEndian.Uint64(in[j:]))
			if m != 0 {
				j += bits.TrailingZeros64(m) / 8
				break
			}
			j += 8
		}
		if j >= len(in) {
			s.end = c.malformed("a string isn't closed", i)
			return s
		}
		switch b := in[j]; {
		case b == '"':
			s.end = j + 1
			return s
		case b == '\\':
			s.escaped = true
			n := escapeLen(in[j:])
			if n == 0 {
				s.end = c.malformed("a string has a bad escape", j)
				return s
			}
			j += n
		case b < ' ':
			s.end = c.malformed("a string has a control character", j)
			return s
		case b < utf8.RuneSelf:
			j++
		default:
			r, n := utf8.DecodeRune(in[j:])
			if r == utf8.RuneError && n == 1 {
				s.end = c.malformed("a string isn't UTF-8", j)
				return s
			}
			j += n
		}
	}
}

// escapeLen returns the length of the escape that b begins with, a pair of
// surrogates taken as one, or 0 where it isn't one. A surrogate alone stands for no
// character (RFC 8259, section 8.2) and is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, ok := escapedRune(b)
		if !ok {
			return 0
		}
		if !utf16.IsSurrogate(r) {
			return 6
		}
		if low, ok := escapedRune(b[6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			return 12
		}
	}
	return 0
}

// escapedRune reads \uXXXX.
func escapedRune(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		r <<= 4
		switch {
		case isDigit(c):
			r |= rune(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

// content returns what the string at in[i] says. It is valid until the next call.
func (c *checker) content(i int, s scanned) []byte {
	if !s.escaped {
		return c.in[i+1 : s.end-1]
	}
	c.text, _ = jsontext.AppendUnquote(c.text[:0], c.in[i:s.end])
	return c.text
}

// unquoted returns what a JSON string says.
func unquoted(raw []byte) []byte {
	text, _ := jsontext.AppendUnquote(nil, raw)
	return text
}

// patternNumber is the grammar of a JSON number (RFC 8259, section 6), for
// numbers that are written as strings.
const patternNumber = `^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?$`

// numeral is what a scan of a JSON number finds on its way.
type numeral struct {
	end      int  // index after it; -1: no number
	fraction bool // it has one, of zeros perhaps
	exponent bool
	// value is the number without its fraction, where small says that it has no
	// exponent and at most 18 digits before the point, which 64 bits can hold.
	value int64
	small bool
}

// scanNumber reads the JSON number that begins at in[i].
func scanNumber(in []byte, i int) numeral {
	start := i
	if i < len(in) && in[i] == '-' {
		i++
	}
	digits := i
	var n numeral
	for i < len(in) && isDigit(in[i]) {
		n.value = n.value*10 + int64(in[i]-'0') // may wrap, and isn't small then
		i++
	}
	if i == digits || i > digits+1 && in[digits] == '0' {
		return numeral{end: -1}
	}
	n.small = i-digits <= 18
	if digits > start {
		n.value = -n.value
	}
	if i < len(in) && in[i] == '.' {
		at := i + 1
		if i = skipDigits(in, at); i == at {
			return numeral{end: -1}
		}
		n.fraction = true
	}
	if i < len(in) && in[i]|0x20 == 'e' {
		i++
		if i < len(in) && (in[i] == '+' || in[i] == '-') {
			i++
		}
		at := i
		if i = skipDigits(in, at); i == at {
			return numeral{end: -1}
		}
		n.exponent, n.small = true, false
	}
	n.end = i
	return n
}

// isNumber reports whether all of b is a JSON number.
func isNumber(b []byte) bool {
	return scanNumber(b, 0).end == len(b)
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func skipDigits(in []byte, i int) int {
	for i < len(in) && isDigit(in[i]) {
		i++
	}
	return i
}
