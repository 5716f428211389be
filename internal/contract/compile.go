package contract

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// compiler turns schemas into rules. Definitions are shared, so that one may
// refer to itself.
type compiler struct {
	definitions map[*definition]*rule
	fill        bool // whether defaults are filled in
}

func (c *compiler) compile(s *schema) (*rule, error) {
	if s == nil {
		return anything, nil
	}
	if s.ref != nil {
		return c.reference(s)
	}
	r := &rule{}
	return r, c.into(r, s)
}

// reference follows references to references, which must come to an end.
func (c *compiler) reference(s *schema) (*rule, error) {
	nullable := false
	seen := make(map[*definition]bool)
	var d *definition
	for s.ref != nil {
		d = s.ref
		if seen[d] {
			return nil, fmt.Errorf("the definition %q refers to nothing but itself", d.name)
		}
		seen[d] = true
		nullable = nullable || s.nullable
		s = d.schema
	}
	r := c.definitions[d]
	if r == nil {
		r = &rule{}
		c.definitions[d] = r
		if err := c.into(r, s); err != nil {
			return nil, err
		}
	}
	if nullable {
		return &rule{target: r}, nil
	}
	return r, nil
}

// into compiles s, which is no reference, into r.
func (c *compiler) into(r *rule, s *schema) error {
	if s.document != nil {
		return c.intoOwn(r, s)
	}
	r.types = s.types
	if r.types == 0 {
		r.types = anyType
	}
	if s.enum != nil {
		r.enumerate(s.enum)
	}
	var err error
	if r.text, err = compileText(s); err != nil {
		return err
	}
	r.number = compileNumber(s)
	if r.array, err = c.array(s); err != nil {
		return err
	}
	r.object, err = c.object(s)
	return err
}

// intoOwn compiles the schema that a type gave for itself.
func (c *compiler) intoOwn(r *rule, s *schema) error {
	at := r
	if s.nullable {
		at = &rule{}
		r.target = at
	}
	if s.own != nil {
		return c.into(at, s.own)
	}
	library, err := compileLibrary(s.document)
	at.types, at.library = anyType, library
	return err
}

// enumerate says which of null, true and false are among the values.
func (r *rule) enumerate(values []json.RawMessage) {
	r.scalars = &enumRule{message: enumMessage(values)}
	for _, v := range values {
		switch string(v) {
		case "null":
			r.scalars.null = true
		case "true":
			r.scalars.yes = true
		case "false":
			r.scalars.no = true
		}
	}
	// Nothing that has parts is ever among the values.
	r.types &^= typeArray | typeObject
}

func enumMessage(values []json.RawMessage) string {
	var b strings.Builder
	b.WriteString("must be ")
	if len(values) > 1 {
		b.WriteString("one of ")
	}
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(v)
	}
	return shorten(b.String())
}

func compileText(s *schema) (*textRule, error) {
	r := &textRule{max: -1}
	asks := false
	if s.enum != nil {
		asks = true
		r.enum = [][]byte{}
		r.enumMessage = enumMessage(s.enum)
		for _, v := range s.enum {
			if v[0] == '"' {
				text, _ := jsontext.AppendUnquote(nil, v)
				r.enum = append(r.enum, text)
			}
		}
	}
	if s.minLength != nil {
		r.min, asks = *s.minLength, true
	}
	if s.maxLength != nil {
		r.max, asks = *s.maxLength, true
	}
	if s.pattern != "" {
		asks = true
		if r.pattern, r.patternMessage = knownPattern(s.pattern, s.format); r.pattern == nil {
			re, err := regexp.Compile(s.pattern)
			if err != nil {
				return nil, err
			}
			r.pattern, r.patternMessage = re.Match, "must match the pattern "+s.pattern
		}
	}
	if f, ok := formatOf(s.format); ok && f.text != nil {
		r.format, asks = f, true
	}
	if s.contentEncoding == "base64" {
		r.base64, asks = true, true
	}
	if !asks {
		return nil, nil
	}
	return r, nil
}

func compileNumber(s *schema) *numberRule {
	r := &numberRule{}
	asks := false
	if s.types&(typeInteger|typeNumber) == typeInteger {
		r.integer, asks = true, true
	}
	if f, ok := formatOf(s.format); ok && f.number != nil {
		r.format, asks = f, true
	}
	if s.enum != nil {
		asks = true
		r.enum = []decimal{}
		r.enumMessage = enumMessage(s.enum)
		for _, v := range s.enum {
			if isNumber(v) {
				r.enum = append(r.enum, parseDecimal(v))
			}
		}
	}
	if s.minimum != nil {
		d := parseDecimal(s.minimum)
		r.min, r.minMessage, asks = &d, "must be at least "+string(s.minimum), true
	}
	if s.maximum != nil {
		d := parseDecimal(s.maximum)
		r.max, r.maxMessage, asks = &d, "must be at most "+string(s.maximum), true
	}
	if !asks {
		return nil
	}
	r.shortcut(s)
	return r
}

// shortcut finds the bounds within which a small number needs no further look.
func (r *numberRule) shortcut(s *schema) {
	if r.enum != nil {
		return
	}
	r.quick, r.low, r.high = true, -maxSmall, maxSmall
	r.above(s.minimum)
	r.below(s.maximum)
	r.whole = r.integer
	if numericFormat(s.format) && s.format != "float" && s.format != "double" {
		r.whole = true
		low, high := integerRange(s.format)
		r.above([]byte(low))
		r.below([]byte(high))
	}
}

// above and below draw the shortcut's bounds tighter, or give it up for a bound
// that cuts something off but can't be drawn exactly.
func (r *numberRule) above(bound []byte) {
	if bound == nil {
		return
	}
	if n := scanNumber(bound, 0); n.small && !n.fraction {
		r.low = max(r.low, n.value)
	} else if parseDecimal(bound).compare(leastSmall) > 0 {
		r.quick = false
	}
}

func (r *numberRule) below(bound []byte) {
	if bound == nil {
		return
	}
	if n := scanNumber(bound, 0); n.small && !n.fraction {
		r.high = min(r.high, n.value)
	} else if parseDecimal(bound).compare(mostSmall) < 0 {
		r.quick = false
	}
}

// array compiles what s says of arrays, or returns nil where that is nothing.
func (c *compiler) array(s *schema) (*arrayRule, error) {
	if s.items == nil && s.minItems == nil && s.maxItems == nil {
		return nil, nil
	}
	items, err := c.compile(s.items)
	if err != nil {
		return nil, err
	}
	r := &arrayRule{items: items, max: -1}
	if s.minItems != nil {
		r.min = *s.minItems
	}
	if s.maxItems != nil {
		r.max = *s.maxItems
	}
	return r, nil
}

// object compiles what s says of objects, or returns nil where that is nothing.
func (c *compiler) object(s *schema) (*objectRule, error) {
	if s.properties == nil && s.required == nil && s.additional == nil && !s.closed && s.names == nil &&
		s.minProperties == nil && s.maxProperties == nil {
		return nil, nil
	}
	others, err := c.compile(s.additional)
	if err != nil {
		return nil, err
	}
	r := &objectRule{others: others, closed: s.closed, max: -1}
	if s.names != nil {
		if r.names, err = compileText(s.names); err != nil {
			return nil, err
		}
	}
	if s.minProperties != nil {
		r.min = *s.minProperties
	}
	if s.maxProperties != nil {
		r.max = *s.maxProperties
	}
	for _, p := range s.properties {
		m := memberRule{name: p.name}
		if m.rule, err = c.compile(p.schema); err != nil {
			return nil, err
		}
		if c.fill && !slices.Contains(s.required, p.name) {
			m.fallback = fallback(p)
		}
		r.members = append(r.members, m)
	}
	for _, name := range s.required {
		if !slices.ContainsFunc(r.members, func(m memberRule) bool { return m.name == name }) {
			r.members = append(r.members, memberRule{name: name, rule: others})
		}
	}
	r.seal(s.required)
	return r, nil
}

// seal makes what the members are looked up by.
func (r *objectRule) seal(required []string) {
	r.words = (len(r.members) + 63) / 64
	r.required = make([]uint64, r.words)
	r.filled = make([]uint64, r.words)
	if len(r.members) > fewMembers {
		r.index = make(map[string]int, len(r.members))
	}
	for i, m := range r.members {
		r.members[i].quoted = appendString(nil, m.name)
		if r.index != nil {
			r.index[m.name] = i
		}
		if slices.Contains(required, m.name) {
			r.required[i/64] |= 1 << (i % 64)
		}
		if m.fallback != nil {
			r.filled[i/64] |= 1 << (i % 64)
		}
	}
}
