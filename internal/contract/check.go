package contract

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
)

// MaxDepth is how deep a document may be nested.
const MaxDepth = 1000

const (
	messageDuplicate = "stands there twice"
	messageRequired  = "is required"
	messageUnknown   = "is not a known member"
	messageName      = ", which is no name for one"
	messageUnwieldy  = "is a number too long or too large to check"
)

// checker is one run of rules over a document. Runs are recycled, so that one in
// which nothing is wrong allocates nothing.
//
// Its methods take the index at which something begins and return the one after
// it, or a negative number where there is no use in going on: the document isn't
// JSON, or too deep.
type checker struct {
	in     []byte
	faults []Fault
	most   int // of faults

	depth int
	path  []step // of the value at hand; the first depth ones count

	seen  []uint64 // bit sets of members, for the objects that are open
	names nameSets

	text []byte // room for a string without its escapes

	// bounded is set while a value goes on to the library, which takes numbers
	// apart in full.
	bounded bool

	fill  bool
	holes []hole
}

// step is one step of a path: a member's name as it stands in the document, quotes
// and all, or an index where end is zero.
type step struct {
	start, end int
}

var checkers = sync.Pool{New: func() any { return new(checker) }}

// run checks a whole document.
func (r *rule) run(in []byte, most int) []Fault {
	c := newChecker(in, most)
	defer c.release()
	c.document(r)
	return c.faults
}

func newChecker(in []byte, most int) *checker {
	c := checkers.Get().(*checker)
	c.in, c.most = in, most
	return c
}

func (c *checker) release() {
	c.reset()
	checkers.Put(c)
}

// reset drops what the next run mustn't see or keep alive, and keeps the room.
func (c *checker) reset() {
	const large = 64 << 10
	c.in, c.faults, c.depth, c.bounded = nil, nil, 0, false
	c.seen = c.seen[:0]
	c.names.release()
	if cap(c.text) > large {
		c.text = nil
	}
	c.fill = false
	clear(c.holes)
	c.holes = c.holes[:0]
}

func (c *checker) document(r *rule) {
	i := c.value(r, c.space(0))
	if i < 0 {
		return
	}
	if i = c.space(i); i != len(c.in) {
		c.malformed("more follows the value", i)
	}
}

// malformed says that the document isn't JSON, which makes all other faults
// void.
func (c *checker) malformed(what string, at int) int {
	c.faults = []Fault{{Message: syntaxMessage(what, at)}}
	return -1
}

// fault reports what is wrong with the value at hand.
func (c *checker) fault(message string) {
	if len(c.faults) < c.most {
		c.faults = append(c.faults, Fault{Path: c.pointer(), Message: message})
	}
}

// pointer returns the path of the value at hand.
func (c *checker) pointer() string {
	var path []byte
	for _, s := range c.path[:c.depth] {
		before := len(path)
		if s.end == 0 {
			path = append(path, '/')
			path = strconv.AppendInt(path, int64(s.start), 10)
		} else {
			path = appendToken(path, unquoted(c.in[s.start:s.end]))
		}
		if len(path) > maxPath {
			return string(path[:before])
		}
	}
	return string(path)
}

// space skips white space.
func (c *checker) space(i int) int {
	for i < len(c.in) && c.in[i] <= ' ' && (c.in[i] == ' ' || c.in[i] == '\n' || c.in[i] == '\r' || c.in[i] == '\t') {
		i++
	}
	return i
}

// value checks the value that begins at in[i], with no space before it.
func (c *checker) value(r *rule, i int) int {
	if i >= len(c.in) {
		return c.malformed("the document ends early", i)
	}
	if r.target != nil {
		if c.in[i] == 'n' {
			return c.word("null", i)
		}
		r = r.target
	}
	if r.library != nil {
		return c.libraryValue(r, i)
	}
	switch c.in[i] {
	case '"':
		if r.types&typeString == 0 {
			return c.mismatch(r, "a string", i)
		}
		return c.string(r.text, i)
	case '{':
		if r.types&typeObject == 0 {
			return c.mismatch(r, "an object", i)
		}
		return c.object(r.object, i)
	case '[':
		if r.types&typeArray == 0 {
			return c.mismatch(r, "an array", i)
		}
		return c.array(r.array, i)
	case 't':
		return c.scalar(r, "true", typeBoolean, i)
	case 'f':
		return c.scalar(r, "false", typeBoolean, i)
	case 'n':
		return c.scalar(r, "null", typeNull, i)
	}
	if r.types&(typeInteger|typeNumber) == 0 {
		return c.mismatch(r, "a number", i)
	}
	return c.number(r.number, i)
}

// mismatch reports a value of a wrong type, and goes past it.
func (c *checker) mismatch(r *rule, is string, i int) int {
	if r.scalars != nil {
		c.fault(r.scalars.message)
	} else {
		c.fault("must be " + r.types.String() + ", not " + is)
	}
	return c.value(anything, i)
}

// enter goes one level down. It reports whether the document may be that deep.
func (c *checker) enter() bool {
	if c.depth == MaxDepth {
		c.fault(fmt.Sprintf("is nested deeper than %d levels", MaxDepth))
		return false
	}
	if c.depth == len(c.path) {
		c.path = append(c.path, step{})
	}
	c.depth++
	return true
}

func (c *checker) array(r *arrayRule, i int) int {
	if !c.enter() {
		return -1
	}
	items := anything
	if r != nil {
		items = r.items
	}
	n := 0
	i = c.space(i + 1)
	if i < len(c.in) && c.in[i] == ']' {
		i++
	} else {
		for {
			c.path[c.depth-1] = step{start: n}
			if i = c.value(items, i); i < 0 {
				return -1
			}
			n++
			if i = c.space(i); i == len(c.in) {
				return c.malformed("the document ends early", i)
			}
			if c.in[i] == ']' {
				i++
				break
			}
			if c.in[i] != ',' {
				return c.malformed("a comma or a closing bracket is missing", i)
			}
			i = c.space(i + 1)
		}
	}
	c.depth--
	if r != nil {
		c.count(n, r.min, r.max, "item")
	}
	return i
}

// count holds a number of items, members or characters to its limits.
func (c *checker) count(n, low, high int, what string) {
	if n < low {
		c.fault(atLeast(low, what))
	}
	if high >= 0 && n > high {
		c.fault(atMost(high, what))
	}
}

func (c *checker) object(r *objectRule, i int) int {
	if !c.enter() {
		return -1
	}
	if r == nil {
		r = anyObject
	}
	o := openObject{seen: len(c.seen), names: c.names.open()}
	for range r.words {
		c.seen = append(c.seen, 0)
	}
	start, n := i+1, 0
	i = c.space(start)
	if i < len(c.in) && c.in[i] == '}' {
		i++
	} else {
		for {
			var value *rule
			if value, i = c.member(r, &o, i); i < 0 {
				return -1
			}
			if i = c.value(value, i); i < 0 {
				return -1
			}
			n++
			if i = c.space(i); i == len(c.in) {
				return c.malformed("the document ends early", i)
			}
			if c.in[i] == '}' {
				i++
				break
			}
			if c.in[i] != ',' {
				return c.malformed("a comma or a closing brace is missing", i)
			}
			i = c.space(i + 1)
		}
	}
	c.missing(r, c.seen[o.seen:], start, n == 0)
	c.names.close(o.names)
	c.seen = c.seen[:o.seen]
	c.depth--
	if r.min > 0 || r.max >= 0 {
		c.count(n, r.min, r.max, "member")
	}
	return i
}

// openObject is an object that the checker is in.
type openObject struct {
	seen  int     // where its bit set of known members begins
	names nameSet // of the other members
	next  int     // the known member that is expected
}

// member checks the name at in[i], and returns the rule of the value behind it and
// where that begins.
func (c *checker) member(r *objectRule, o *openObject, i int) (*rule, int) {
	var s scanned
	var name []byte
	var at int
	if o.next < len(r.members) && bytes.HasPrefix(c.in[i:], r.members[o.next].quoted) && r.names == nil {
		// Members mostly come in the order of the schema.
		at = o.next
		s.end = i + len(r.members[at].quoted)
	} else {
		if i == len(c.in) || c.in[i] != '"' {
			return nil, c.malformed("a member's name is missing", i)
		}
		if s = c.scan(i); s.end < 0 {
			return nil, -1
		}
		name = c.content(i, s)
		at = r.lookup(name)
	}
	c.path[c.depth-1] = step{i, s.end}
	if i = c.space(s.end); i == len(c.in) || c.in[i] != ':' {
		return nil, c.malformed("a colon is missing", i)
	}
	i = c.space(i + 1)
	if r.names != nil {
		c.check(r.names, name)
	}
	if at < 0 {
		if !c.names.add(&o.names, name, s.escaped) {
			c.fault(messageDuplicate)
		}
		if r.closed {
			c.fault(messageUnknown)
		}
		return r.others, i
	}
	word, bit := o.seen+at/64, uint64(1)<<(at%64)
	if c.seen[word]&bit != 0 {
		c.fault(messageDuplicate)
	}
	c.seen[word] |= bit
	o.next = at + 1
	return r.members[at].rule, i
}

// anyObject is the rule for an object of which nothing is asked.
var anyObject = &objectRule{others: anything, max: -1}

// lookup returns the index of a member, or -1.
func (r *objectRule) lookup(name []byte) int {
	if r.index != nil {
		if at, ok := r.index[string(name)]; ok {
			return at
		}
		return -1
	}
	for at := range r.members {
		if string(name) == r.members[at].name {
			return at
		}
	}
	return -1
}

// missing reports the required members that weren't seen, and notes the defaults
// that are to stand at in[at], the beginning of the object.
func (c *checker) missing(r *objectRule, seen []uint64, at int, empty bool) {
	for w := range r.words {
		for set := r.required[w] &^ seen[w]; set != 0; set &= set - 1 {
			c.depth--
			c.faultAt(r.members[w*64+bits.TrailingZeros64(set)].name, messageRequired)
			c.depth++
		}
		if !c.fill {
			continue
		}
		for set := r.filled[w] &^ seen[w]; set != 0; set &= set - 1 {
			c.holes = append(c.holes, hole{at, empty, &r.members[w*64+bits.TrailingZeros64(set)]})
		}
	}
}

// faultAt reports what is wrong with a member that isn't there.
func (c *checker) faultAt(name, message string) {
	if len(c.faults) == c.most {
		return
	}
	path := c.pointer()
	if full := appendToken([]byte(path), name); len(full) <= maxPath {
		path = string(full)
	}
	c.faults = append(c.faults, Fault{Path: path, Message: message})
}
