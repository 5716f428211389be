package contract

import (
	"encoding/json"
	"slices"
)

// hole is where a default is to stand.
type hole struct {
	at     int  // index after the brace that opens the object
	empty  bool // the object has no members of its own
	member *memberRule
}

// fallback returns a member as it is written where it is absent, or nil where it
// stays absent.
func fallback(p property) []byte {
	value := p.schema.fallback
	if value == nil {
		value = implied(p.schema)
	}
	if value == nil {
		return nil
	}
	dst := append(appendString(nil, p.name), ':')
	return append(dst, value...)
}

// implied returns the value of an absent member that is a struct: an object of
// its members' defaults, as if it had been {}. It returns nil where the struct has
// no defaults, or has members that must be given.
func implied(s *schema) json.RawMessage {
	if s.nullable {
		return nil
	}
	if s.ref != nil {
		s = s.ref.schema
	}
	if s.types != typeObject || s.required != nil {
		return nil
	}
	var dst []byte
	for _, p := range s.properties {
		if member := fallback(p); member != nil {
			dst = append(append(dst, ','), member...)
		}
	}
	if dst == nil {
		return nil
	}
	dst[0] = '{'
	return append(dst, '}')
}

// filled returns the document with its holes filled.
func (c *checker) filled() []byte {
	// Inner objects are through before the ones around them.
	slices.SortStableFunc(c.holes, func(a, b hole) int { return a.at - b.at })
	size := len(c.in)
	for _, h := range c.holes {
		size += len(h.member.fallback) + len(",")
	}
	out := make([]byte, 0, size)
	from := 0
	for i, h := range c.holes {
		out = append(out, c.in[from:h.at]...)
		from = h.at
		out = append(out, h.member.fallback...)
		last := i+1 == len(c.holes) || c.holes[i+1].at != h.at
		if !last || !h.empty {
			out = append(out, ',')
		}
	}
	return append(out, c.in[from:]...)
}
