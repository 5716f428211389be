package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
)

// DefaultMaxFaults is how many faults a check reports where a Config doesn't say.
const DefaultMaxFaults = 32

// Config is how a contract is compiled. The zero value is ready for use.
type Config struct {
	// MaxFaults is how many faults a check reports at most; the checker stops
	// counting there. If zero, DefaultMaxFaults.
	MaxFaults int
}

// Contract says what a JSON document must be. It doesn't change once it is made,
// and may be used by many goroutines at once.
type Contract struct {
	document json.RawMessage
	rule     *rule
	most     int
}

// For compiles the contract of a Go type. Its schema follows from the type, its
// json tags, and the struct tags that are named after keywords of JSON Schema:
// description, required, enum, minimum, maximum, minLength, maxLength, pattern,
// format, minItems, maxItems, minProperties, maxProperties, default and example.
//
// A member is required unless it is a pointer, is marked omitempty or omitzero, or
// has a default; the tag required says otherwise. A pointer may be null as well.
// Members that the type doesn't know are allowed.
//
// The error names the field: for a tag that doesn't fit its type, a default or an
// example that doesn't fit its own schema, and for a type that has no written form.
func For(t reflect.Type, cfg Config) (*Contract, error) {
	s, claims, err := derive(t)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c := compiler{definitions: make(map[*definition]*rule), fill: true}
	r, err := c.compile(s)
	if err != nil {
		return nil, fmt.Errorf("contract: %s: %w", t, err)
	}
	for _, claim := range claims {
		at, err := c.compile(claim.schema)
		if err != nil {
			return nil, fmt.Errorf("contract: %s: %w", claim.where, err)
		}
		if faults := at.run(claim.value, 1); faults != nil {
			return nil, fmt.Errorf("contract: %s: %s: %s", claim.where, claim.value, faults[0])
		}
	}
	return newContract(appendDocument(nil, s), r, cfg), nil
}

// FromSchema compiles a contract from a JSON Schema document, of draft 2020-12
// where it doesn't say another. It is for methods without Go types.
//
// The document stands on its own: nothing that it refers to is loaded. The formats
// that it names are checked, as far as they are known; a default in it is an
// annotation and isn't filled in.
func FromSchema(document json.RawMessage, cfg Config) (*Contract, error) {
	library, err := compileLibrary(document)
	if err != nil {
		return nil, fmt.Errorf("contract: schema: %w", err)
	}
	r := &rule{types: anyType, library: library}
	if s, err := parse(document); err == nil {
		c := compiler{definitions: make(map[*definition]*rule)}
		if quick, err := c.compile(s); err == nil {
			r = quick
		}
	}
	return newContract(document, r, cfg), nil
}

func newContract(document json.RawMessage, r *rule, cfg Config) *Contract {
	return &Contract{
		document: document,
		rule:     r,
		most:     cmp.Or(cfg.MaxFaults, DefaultMaxFaults),
	}
}

// Schema returns the JSON Schema document, which must not be changed. The same
// type gives the same bytes.
func (c *Contract) Schema() json.RawMessage { return c.document }

// Check returns everything that is wrong with a document, in the order in which it
// stands there and up to the contract's limit, or nil. It doesn't allocate where
// nothing is wrong. A document that isn't JSON has that one fault only. Two members
// of one name are a fault, wherever they are.
//
// Where document is empty, as JSON-RPC's params may be, it counts as {}.
func (c *Contract) Check(document []byte) []Fault {
	return c.rule.run(orEmpty(document), c.most)
}

// Fill checks a document and returns it with the defaults of absent members filled
// in, at every depth: in members, items, and values of maps. An absent member that
// is a struct, no pointer to one, is filled in as if it were {}, unless it has
// members that must be given. Where nothing is absent it returns document itself.
func (c *Contract) Fill(document []byte) ([]byte, []Fault) {
	document = orEmpty(document)
	run := newChecker(document, c.most)
	defer run.release()
	run.fill = true
	run.document(c.rule)
	if run.faults != nil || len(run.holes) == 0 {
		return document, run.faults
	}
	return run.filled(), nil
}

// Decoder decodes JSON into Go values, as a codec does.
type Decoder interface {
	Unmarshal(data []byte, v any) error
}

// Decode checks a document, fills in defaults, and decodes it into v, which is a
// pointer. Faults come from the check, or where that has none from the decoder.
func (c *Contract) Decode(d Decoder, document []byte, v any) []Fault {
	document, faults := c.Fill(document)
	if faults != nil {
		return faults
	}
	return DecodeFaults(d.Unmarshal(document, v))
}

var emptyObject = []byte("{}")

func orEmpty(document []byte) []byte {
	if len(document) == 0 {
		return emptyObject
	}
	return document
}
