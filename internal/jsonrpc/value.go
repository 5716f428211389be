package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The functions here check JSON by the grammar of RFC 8259 without building
// anything. Each takes the text and where to begin, and returns where it ended
// or, with a reason, that the text is at fault. Where a value is wanted there is
// at least one byte of it: skipName and skipArray see to that.

// skipSpace returns where the white space at i ends.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue checks the value at i, which is inside of depth objects and arrays.
func skipValue(b []byte, i, depth int) (end int, reason string) {
	switch b[i] {
	case '"':
		end, _, reason = skipString(b, i)
		return end, reason
	case '{':
		return skipObject(b, i, depth+1)
	case '[':
		return skipArray(b, i, depth+1)
	case 't':
		return skipLiteral(b, i, "true")
	case 'f':
		return skipLiteral(b, i, "false")
	case 'n':
		return skipLiteral(b, i, "null")
	default:
		return skipNumber(b, i)
	}
}

// skipObject checks the object at i, the depth-th around itself.
func skipObject(b []byte, i, depth int) (end int, reason string) {
	if depth > MaxDepth {
		return 0, reasonDepth
	}
	i, done, reason := openObject(b, i)
	for !done && reason == "" {
		if _, _, i, reason = skipName(b, i); reason != "" {
			return 0, reason
		}
		if i, reason = skipValue(b, i, depth); reason != "" {
			return 0, reason
		}
		i, done, reason = nextMember(b, i)
	}
	return i, reason
}

// openObject enters the object whose brace is at i. It returns where the first
// member begins or, with done, where the empty object ends.
func openObject(b []byte, i int) (next int, done bool, reason string) {
	i = skipSpace(b, i+1)
	if i == len(b) {
		return 0, false, reasonTruncated
	}
	if b[i] == '}' {
		return i + 1, true, ""
	}
	return i, false, ""
}

// nextMember goes on behind a member's value. It returns where the next member
// begins or, with done, where the object ends.
func nextMember(b []byte, i int) (next int, done bool, reason string) {
	i = skipSpace(b, i)
	if i == len(b) {
		return 0, false, reasonTruncated
	}
	switch b[i] {
	case ',':
		return skipSpace(b, i+1), false, ""
	case '}':
		return i + 1, true, ""
	default:
		return 0, false, reasonSyntax
	}
}

// skipName checks the member's name at i and the colon behind it. It returns where
// the name ends, quotes included, whether it has escapes, and where the value
// begins, of which there is at least one byte.
func skipName(b []byte, i int) (end int, escaped bool, value int, reason string) {
	if i == len(b) {
		return 0, false, 0, reasonTruncated
	}
	if b[i] != '"' {
		return 0, false, 0, reasonSyntax
	}
	end, escaped, reason = skipString(b, i)
	if reason != "" {
		return 0, false, 0, reason
	}
	i = skipSpace(b, end)
	if i == len(b) {
		return 0, false, 0, reasonTruncated
	}
	if b[i] != ':' {
		return 0, false, 0, reasonSyntax
	}
	i = skipSpace(b, i+1)
	if i == len(b) {
		return 0, false, 0, reasonTruncated
	}
	return end, escaped, i, ""
}

// skipArray checks the array at i, the depth-th around itself.
func skipArray(b []byte, i, depth int) (end int, reason string) {
	if depth > MaxDepth {
		return 0, reasonDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, ""
	}
	for i < len(b) {
		if i, reason = skipValue(b, i, depth); reason != "" {
			return 0, reason
		}
		i = skipSpace(b, i)
		if i == len(b) {
			break
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1, ""
		default:
			return 0, reasonSyntax
		}
	}
	return 0, reasonTruncated
}

// skipLiteral checks that the text at i is literal.
func skipLiteral(b []byte, i int, literal string) (end int, reason string) {
	end = i + len(literal)
	if end > len(b) || string(b[i:end]) != literal {
		return 0, reasonSyntax
	}
	return end, ""
}

// skipNumber checks the number at i. What isn't a value at all ends here too.
func skipNumber(b []byte, i int) (end int, reason string) {
	if b[i] == '-' {
		i++
	} else if !isDigit(b, i) {
		return 0, reasonSyntax
	}
	if !isDigit(b, i) {
		return 0, reasonNumber
	}
	if b[i] == '0' {
		i++
	} else {
		i = skipDigits(b, i)
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !isDigit(b, i) {
			return 0, reasonNumber
		}
		i = skipDigits(b, i)
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !isDigit(b, i) {
			return 0, reasonNumber
		}
		i = skipDigits(b, i)
	}
	return i, ""
}

// isDigit reports that there is a digit at i.
func isDigit(b []byte, i int) bool {
	return i < len(b) && '0' <= b[i] && b[i] <= '9'
}

// skipDigits returns where the digits at i end.
func skipDigits(b []byte, i int) int {
	for isDigit(b, i) {
		i++
	}
	return i
}

// Words for looking at eight bytes of a string at once.
const (
	eachByte = 0x0101010101010101
	topBits  = 0x80 * eachByte
	controls = ' ' * eachByte
	quotes   = '"' * eachByte
	slashes  = '\\' * eachByte
)

// skipString checks the string whose opening quote is at i. It tells whether
// the string has escapes.
func skipString(b []byte, i int) (end int, escaped bool, reason string) {
	start := i
	i++
	var all uint64 // all bytes seen, to find those that aren't ASCII
	for {
		plain := i + longRun // from there on it pays to look at blocks
		for i+8 <= len(b) {
			if i >= plain {
				n, seen := skipBlocks(b[i:])
				i, all, plain = i+n, all|seen, len(b)
				continue
			}
			w := binary.LittleEndian.Uint64(b[i:])
			all |= w
			// The top bit of each byte that is a control character, a quote or
			// a backslash. A borrow makes false ones only above a true one, so
			// the lowest is right.
			stops := (w - controls | (w ^ quotes - eachByte) | (w ^ slashes - eachByte)) &^ w & topBits
			if stops != 0 {
				i += bits.TrailingZeros64(stops) / 8
				break
			}
			i += 8
		}
		// Near the end of the text there are fewer than eight.
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			all |= uint64(b[i])
			i++
		}
		if i == len(b) {
			return 0, false, reasonTruncated
		}
		switch b[i] {
		case '"':
			i++
			if all&topBits != 0 && !utf8.Valid(b[start:i]) {
				return 0, false, reasonUTF8
			}
			return i, escaped, ""
		case '\\':
			escaped = true
			if i, reason = skipEscape(b, i); reason != "" {
				return 0, false, reason
			}
		default:
			return 0, false, reasonControl
		}
	}
}

const (
	// longRun is after how many bytes of a string without a stop more of it is looked
	// at in blocks. It is a part of a block that isn't small, so that what is looked at
	// in vain is no multiple of the rest.
	longRun = 256
	block   = 1024
)

// skipBlocks returns how many bytes b begins with, in whole blocks, in which there is
// no control character, quote or backslash, and their bytes put together by or. The
// processor finds quotes and backslashes 32 at a time, which leaves little to do for
// each word.
func skipBlocks(b []byte) (n int, all uint64) {
	for ; len(b) >= n+block; n += block {
		at := b[n : n+block]
		if bytes.IndexByte(at, '"') >= 0 || bytes.IndexByte(at, '\\') >= 0 {
			break
		}
		var seen, low uint64
		for ; len(at) >= 64; at = at[64:] {
			v := (*[64]byte)(at)
			v0, v1 := binary.LittleEndian.Uint64(v[0:]), binary.LittleEndian.Uint64(v[8:])
			v2, v3 := binary.LittleEndian.Uint64(v[16:]), binary.LittleEndian.Uint64(v[24:])
			v4, v5 := binary.LittleEndian.Uint64(v[32:]), binary.LittleEndian.Uint64(v[40:])
			v6, v7 := binary.LittleEndian.Uint64(v[48:]), binary.LittleEndian.Uint64(v[56:])
			seen |= v0 | v1 | v2 | v3 | v4 | v5 | v6 | v7
			low |= (v0-controls)&^v0 | (v1-controls)&^v1 | (v2-controls)&^v2 | (v3-controls)&^v3 |
				(v4-controls)&^v4 | (v5-controls)&^v5 | (v6-controls)&^v6 | (v7-controls)&^v7
		}
		if low&topBits != 0 { // a borrow sets a bit only above a true one
			break
		}
		all |= seen
	}
	return n, all
}

// skipEscape checks the escape whose backslash is at i.
func skipEscape(b []byte, i int) (end int, reason string) {
	if i+1 == len(b) {
		return 0, reasonTruncated
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
		if i+6 > len(b) {
			return 0, reasonTruncated
		}
		for _, c := range b[i+2 : i+6] {
			if hexValue(c) < 0 {
				return 0, reasonEscape
			}
		}
		return i + 6, ""
	default:
		return 0, reasonEscape
	}
}
