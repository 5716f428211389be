package contract

import "github.com/santhosh-tekuri/jsonschema/v6"

// rule says what one value must be. It is made from a schema and never changes
// once it is compiled, so that many checks may use it at once.
type rule struct {
	// target is the rule that counts, where this one stands for a reference; it
	// is set where null is allowed beside the target.
	target *rule

	types   typeSet
	scalars *enumRule // which null, true and false are allowed; nil: by types

	text   *textRule
	number *numberRule
	array  *arrayRule
	object *objectRule

	// library checks what the rest can't.
	library *jsonschema.Schema
}

type enumRule struct {
	null, yes, no bool
	message       string
}

type textRule struct {
	enum           [][]byte // nil: any
	enumMessage    string
	min, max       int // in code points; max < 0: no limit
	pattern        func([]byte) bool
	patternMessage string
	format         *format
	base64         bool
}

type numberRule struct {
	integer bool // only without a fraction, however it is written
	format  *format
	// Where quick is set, a small number is right if it is from low to high and,
	// where whole is set, has no fraction, whatever else is asked.
	quick     bool
	whole     bool
	low, high int64

	enum        []decimal // nil: any
	enumMessage string
	min, max    *decimal
	minMessage  string
	maxMessage  string
}

type arrayRule struct {
	items    *rule
	min, max int // max < 0: no limit
}

type objectRule struct {
	members  []memberRule
	index    map[string]int // of members; nil where they are few
	words    int            // of the bit set of members seen
	required []uint64       // bit set of those that must be there
	filled   []uint64       // bit set of those that have a default
	others   *rule          // members that aren't known
	closed   bool           // there may be none
	names    *textRule      // what a name must be
	min, max int            // max < 0: no limit
}

type memberRule struct {
	name   string
	quoted []byte // the name as it mostly stands in a document
	rule   *rule
	// fallback is the member as it is written where it is absent, "name":value.
	fallback []byte
}

// fewMembers is up to how many members a search through all of them is quicker
// than a map.
const fewMembers = 8

// maxSmall is the largest number of 18 digits.
const maxSmall = 999_999_999_999_999_999

var (
	mostSmall  = parseDecimal([]byte("999999999999999999"))
	leastSmall = parseDecimal([]byte("-999999999999999999"))
)

// anything accepts every value.
var anything = &rule{types: anyType}
