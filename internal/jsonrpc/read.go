package jsonrpc

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// readRaw returns the value at i of a member of the envelope as it is.
func readRaw(b []byte, i int) (raw []byte, end int, reason string) {
	end, reason = skipValue(b, i, 1)
	if reason != "" {
		return nil, 0, reason
	}
	return b[i:end:end], end, ""
}

// readName returns the name of the member at i, decoded, and where its value
// begins, of which there is at least one byte.
func readName(b []byte, i int) (name []byte, value int, reason string) {
	end, escaped, value, reason := skipName(b, i)
	if reason != "" {
		return nil, 0, reason
	}
	name = b[i+1 : end-1]
	if escaped {
		// Half a surrogate is no trouble: no name that counts has U+FFFD.
		name, _ = unescape(name)
	}
	return name, value, ""
}

// readString returns the string at i, decoded. It gives otherwise as the reason
// where the value isn't a string.
func readString(b []byte, i int, otherwise string) (s []byte, end int, reason string) {
	if b[i] != '"' {
		return nil, 0, otherwise
	}
	end, escaped, reason := skipString(b, i)
	if reason != "" {
		return nil, 0, reason
	}
	s = b[i+1 : end-1 : end-1]
	if escaped {
		var paired bool
		if s, paired = unescape(s); !paired {
			return nil, 0, reasonSurrogate
		}
	}
	return s, end, ""
}

// maxDigits is how many digits an int64 always has room for.
const maxDigits = 18

// readCount returns the integer at i. It gives otherwise as the reason where the
// value isn't an integer from 0 to limit.
func readCount(b []byte, i int, limit int64, otherwise string) (n int64, end int, reason string) {
	if !isDigit(b, i) {
		return 0, 0, otherwise
	}
	end, reason = skipNumber(b, i)
	if reason != "" {
		return 0, 0, reason
	}
	if end-i > maxDigits {
		return 0, 0, otherwise
	}
	for _, c := range b[i:end] {
		if c < '0' || c > '9' { // a fraction or an exponent
			return 0, 0, otherwise
		}
		n = n*10 + int64(c-'0')
	}
	if n > limit {
		return 0, 0, otherwise
	}
	return n, end, ""
}

// unescape returns a copy of s, the inside of a string that skipString accepted,
// with its escapes decoded. A surrogate without its other half becomes U+FFFD,
// and paired is false.
func unescape(s []byte) (decoded []byte, paired bool) {
	decoded = make([]byte, 0, len(s))
	paired = true
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(decoded, s...), paired
		}
		decoded = append(decoded, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			decoded = append(decoded, '\b')
		case 'f':
			decoded = append(decoded, '\f')
		case 'n':
			decoded = append(decoded, '\n')
		case 'r':
			decoded = append(decoded, '\r')
		case 't':
			decoded = append(decoded, '\t')
		case 'u':
			r := hexRune(s)
			s = s[4:]
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
					pair = utf16.DecodeRune(r, hexRune(s[2:]))
				}
				if r = pair; pair == utf8.RuneError {
					paired = false
				} else {
					s = s[6:]
				}
			}
			decoded = utf8.AppendRune(decoded, r)
		default: // a quote, a backslash or a slash
			decoded = append(decoded, c)
		}
	}
}

// hexRune returns the value of the four hexadecimal digits that b begins with.
func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | hexValue(c)
	}
	return r
}

// hexValue returns the value of a hexadecimal digit, or -1.
func hexValue(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	default:
		return -1
	}
}
