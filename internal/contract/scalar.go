package contract

import (
	"bytes"
	"unicode/utf8"
)

// scalar checks one of JSON's three names at in[i].
func (c *checker) scalar(r *rule, word string, t typeSet, i int) int {
	end := c.word(word, i)
	if end < 0 {
		return end
	}
	switch s := r.scalars; {
	case r.types&t == 0:
		is := "a boolean"
		if t == typeNull {
			is = "null"
		}
		c.mismatch(r, is, i)
	case s != nil && (t == typeNull && !s.null || word == "true" && !s.yes || word == "false" && !s.no):
		c.fault(s.message)
	}
	return end
}

// word goes past one of JSON's three names.
func (c *checker) word(word string, i int) int {
	if len(c.in)-i < len(word) || string(c.in[i:i+len(word)]) != word {
		return c.malformed("unknown word", i)
	}
	return i + len(word)
}

// string checks the string at in[i].
func (c *checker) string(r *textRule, i int) int {
	s := c.scan(i)
	if s.end < 0 || r == nil {
		return s.end
	}
	c.check(r, c.content(i, s))
	return s.end
}

// check holds a text to a rule.
func (c *checker) check(r *textRule, text []byte) {
	if r.enum != nil && !oneOf(r.enum, text) {
		c.fault(r.enumMessage)
	}
	// There are at most as many characters as bytes.
	if len(text) < r.min || r.min > 0 && utf8.RuneCount(text) < r.min || r.max >= 0 && len(text) > r.max {
		c.count(utf8.RuneCount(text), r.min, r.max, "character")
	}
	if r.pattern != nil && !r.pattern(text) {
		c.fault(r.patternMessage)
	}
	if r.format != nil && !r.format.text(text) {
		c.fault(r.format.message)
	}
	if r.base64 && !isBase64(text) {
		c.fault("must be base64 with padding (RFC 4648, section 4)")
	}
}

func oneOf(values [][]byte, text []byte) bool {
	for _, v := range values {
		if bytes.Equal(v, text) {
			return true
		}
	}
	return false
}

// number checks the number at in[i].
func (c *checker) number(r *numberRule, i int) int {
	n := scanNumber(c.in, i)
	if n.end < 0 {
		return c.malformed("a value is none of JSON's", i)
	}
	text := c.in[i:n.end]
	if c.bounded && unwieldy(text) {
		c.fault(messageUnwieldy)
	}
	if r == nil || r.accepts(n, text) {
		return n.end
	}
	if r.format != nil && !r.format.number(text) {
		c.fault(r.format.message)
		return n.end
	}
	d := parseDecimal(text)
	if r.integer && !d.integral() {
		c.fault("must be an integer")
	}
	if r.enum != nil && !r.includes(d) {
		c.fault(r.enumMessage)
	}
	if r.min != nil && d.compare(*r.min) < 0 {
		c.fault(r.minMessage)
	}
	if r.max != nil && d.compare(*r.max) > 0 {
		c.fault(r.maxMessage)
	}
	return n.end
}

// accepts reports whether a number is right at a glance. One with a fraction is
// taken for the integers on both sides of it.
func (r *numberRule) accepts(n numeral, text []byte) bool {
	if !r.quick || !n.small || n.fraction && r.whole {
		return false
	}
	low, high := n.value, n.value
	negative := text[0] == '-'
	switch {
	case !n.fraction:
		if negative && n.value == 0 {
			return false // "-0", which unsigned formats don't take
		}
	case negative:
		low--
	default:
		high++
	}
	return r.low <= low && high <= r.high
}

func (r *numberRule) includes(d decimal) bool {
	for _, v := range r.enum {
		if d.compare(v) == 0 {
			return true
		}
	}
	return false
}
