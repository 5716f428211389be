package contract

import (
	"cmp"
	"math"
	"strconv"
)

// decimal is a JSON number taken apart, for exact comparison at any size without
// turning it into anything.
type decimal struct {
	sign   int    // -1, 0 or 1
	digits []byte // from the first digit that isn't 0 on; may hold a point, and zeros at its end
	lead   int64  // power of ten of the first digit
}

// maxExponent is where exponents stop growing: numbers beyond it count as equal
// unless their digits differ.
const maxExponent = 1 << 48

// parseDecimal takes b apart, which is a JSON number.
func parseDecimal(b []byte) decimal {
	d := decimal{sign: 1}
	if b[0] == '-' {
		d.sign = -1
		b = b[1:]
	}
	var exponent int64
	for i, c := range b {
		if c|0x20 == 'e' {
			exponent = parseExponent(b[i+1:])
			b = b[:i]
			break
		}
	}
	point := len(b)
	first := -1
	for i, c := range b {
		if c == '.' {
			point = i
		} else if first < 0 && c != '0' {
			first = i
		}
	}
	if first < 0 {
		return decimal{}
	}
	d.digits = b[first:]
	if d.lead = int64(point - first); first < point {
		d.lead--
	}
	d.lead += exponent
	return d
}

func parseExponent(b []byte) int64 {
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	var n int64
	for _, c := range b {
		if n = n*10 + int64(c-'0'); n > maxExponent {
			n = maxExponent
		}
	}
	if negative {
		return -n
	}
	return n
}

// compare returns -1, 0 or 1 as d is below, equal to or above e.
func (d decimal) compare(e decimal) int {
	if d.sign != e.sign {
		return cmp.Compare(d.sign, e.sign)
	}
	c := cmp.Compare(d.lead, e.lead)
	if c == 0 {
		c = compareDigits(d.digits, e.digits)
	}
	return c * d.sign
}

// compareDigits compares two rows of digits whose first ones have the same
// weight. Points count for nothing, and zeros follow where a row ends.
func compareDigits(a, b []byte) int {
	for len(a) > 0 || len(b) > 0 {
		var x, y byte
		x, a = nextDigit(a)
		y, b = nextDigit(b)
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

func nextDigit(row []byte) (byte, []byte) {
	if len(row) > 0 && row[0] == '.' {
		row = row[1:]
	}
	if len(row) == 0 {
		return '0', nil
	}
	return row[0], row[1:]
}

// integral reports whether d has no fraction, however it is written.
func (d decimal) integral() bool {
	weight := d.lead // of the digit at hand
	for _, c := range d.digits {
		if c == '.' {
			continue
		}
		if weight < 0 && c != '0' {
			return false
		}
		weight--
	}
	return true
}

// finite reports whether the number is within the range of a float of so many
// bits, to which the nearest one stands for it.
func finite(number []byte, bits int) bool {
	limit := int64(308)
	if bits == 32 {
		limit = 38
	}
	switch d := parseDecimal(number); {
	case d.sign == 0 || d.lead < limit:
		return true
	case d.lead > limit:
		return false
	}
	f, err := strconv.ParseFloat(string(number), bits)
	return err == nil && !math.IsInf(f, 0)
}
