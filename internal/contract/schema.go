package contract

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// dialect is the draft that every schema here is written in.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// typeSet is a set of JSON types, as the keyword "type" has them.
type typeSet uint8

const (
	typeNull typeSet = 1 << iota
	typeBoolean
	typeInteger
	typeNumber
	typeString
	typeArray
	typeObject

	anyType = typeNull | typeBoolean | typeInteger | typeNumber | typeString | typeArray | typeObject
)

type typeName struct {
	bit  typeSet
	name string
}

// typeNames are in the order in which a schema lists them: null last.
var typeNames = []typeName{
	{typeBoolean, "boolean"},
	{typeInteger, "integer"},
	{typeNumber, "number"},
	{typeString, "string"},
	{typeArray, "array"},
	{typeObject, "object"},
	{typeNull, "null"},
}

func (t typeSet) names() []string {
	var names []string
	for _, n := range typeNames {
		if t&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// String returns "a string or null".
func (t typeSet) String() string {
	var b strings.Builder
	for i, name := range t.names() {
		if i > 0 {
			b.WriteString(" or ")
		}
		switch name {
		case "null":
		case "integer", "array", "object":
			b.WriteString("an ")
		default:
			b.WriteString("a ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// schema is the part of a JSON Schema that rules can be compiled from. What
// can't be said with it goes to the library, as a document.
type schema struct {
	// ref is the definition that this is a reference to. document is the schema
	// that a type gave for itself, and own what it says, or nil where only the
	// library can tell. Beside either stand annotations only, and nullable says
	// that null is allowed too.
	ref      *definition
	document json.RawMessage
	own      *schema
	nullable bool

	types       typeSet // zero: any
	enum        []json.RawMessage
	description string

	format          string
	contentEncoding string
	pattern         string
	minLength       *int
	maxLength       *int

	minimum json.RawMessage
	maximum json.RawMessage

	items    *schema
	minItems *int
	maxItems *int

	properties    []property
	required      []string
	additional    *schema // nil: anything
	closed        bool    // "additionalProperties": false
	names         *schema // "propertyNames"
	minProperties *int
	maxProperties *int

	fallback json.RawMessage // "default"
	examples []json.RawMessage
}

// property is a member that a schema knows.
type property struct {
	name   string
	schema *schema
}

// definition is an entry of "$defs".
type definition struct {
	name   string
	schema *schema
}

// pointer returns the reference to d, as a URI fragment. Names of definitions are
// made of characters that need no escape in one.
func (d *definition) pointer() string {
	return "#/$defs/" + d.name
}

// appendDocument writes root as a document of its own, with the definitions
// that it needs. The same tree gives the same bytes.
func appendDocument(dst []byte, root *schema) []byte {
	defs := make(map[string]*definition)
	collect(root, defs)
	w := writer{dst: append(dst, '{')}
	w.text("$schema", dialect)
	w.members(root)
	if len(defs) > 0 {
		w.name("$defs")
		w.dst = append(w.dst, '{')
		for _, name := range slices.Sorted(maps.Keys(defs)) {
			w.name(name)
			w.schema(defs[name].schema)
		}
		w.dst = append(w.dst, '}')
	}
	return append(w.dst, '}')
}

// collect gathers the definitions that s refers to, directly or through others.
func collect(s *schema, defs map[string]*definition) {
	if s == nil {
		return
	}
	if d := s.ref; d != nil && defs[d.name] == nil {
		defs[d.name] = d
		collect(d.schema, defs)
	}
	for _, p := range s.properties {
		collect(p.schema, defs)
	}
	collect(s.items, defs)
	collect(s.additional, defs)
	collect(s.names, defs)
}

// writer writes keywords in one fixed order.
type writer struct {
	dst []byte
}

// name writes a member's name, and a comma where one is due.
func (w *writer) name(name string) {
	if w.dst[len(w.dst)-1] != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = appendString(w.dst, name)
	w.dst = append(w.dst, ':')
}

func (w *writer) raw(name string, value json.RawMessage) {
	if value != nil {
		w.name(name)
		w.dst = append(w.dst, value...)
	}
}

func (w *writer) text(name, value string) {
	if value != "" {
		w.name(name)
		w.dst = appendString(w.dst, value)
	}
}

func (w *writer) number(name string, value *int) {
	if value != nil {
		w.name(name)
		w.dst = strconv.AppendInt(w.dst, int64(*value), 10)
	}
}

func (w *writer) list(name string, values []json.RawMessage) {
	if values == nil {
		return
	}
	w.name(name)
	w.dst = append(w.dst, '[')
	for i, v := range values {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, v...)
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) sub(name string, s *schema) {
	if s != nil {
		w.name(name)
		w.schema(s)
	}
}

// schema writes s as a value.
func (w *writer) schema(s *schema) {
	if s.document != nil && !s.nullable && s.description == "" && s.fallback == nil && s.examples == nil {
		w.dst = append(w.dst, s.document...)
		return
	}
	w.dst = append(w.dst, '{')
	w.members(s)
	w.dst = append(w.dst, '}')
}

// members writes the keywords of s, without braces.
func (w *writer) members(s *schema) {
	if s.ref != nil || s.document != nil {
		w.target(s)
	}
	switch names := s.types.names(); len(names) {
	case 0:
	case 1:
		w.text("type", names[0])
	default:
		w.name("type")
		w.dst = append(w.dst, `["`...)
		w.dst = append(w.dst, strings.Join(names, `","`)...)
		w.dst = append(w.dst, `"]`...)
	}
	w.text("description", s.description)
	w.text("format", s.format)
	w.text("contentEncoding", s.contentEncoding)
	w.text("pattern", s.pattern)
	w.list("enum", s.enum)
	w.raw("minimum", s.minimum)
	w.raw("maximum", s.maximum)
	w.number("minLength", s.minLength)
	w.number("maxLength", s.maxLength)
	w.sub("items", s.items)
	w.number("minItems", s.minItems)
	w.number("maxItems", s.maxItems)
	if s.properties != nil {
		w.name("properties")
		w.dst = append(w.dst, '{')
		for _, p := range s.properties {
			w.name(p.name)
			w.schema(p.schema)
		}
		w.dst = append(w.dst, '}')
	}
	if s.required != nil {
		w.name("required")
		w.dst = append(w.dst, '[')
		for i, name := range s.required {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			w.dst = appendString(w.dst, name)
		}
		w.dst = append(w.dst, ']')
	}
	w.sub("propertyNames", s.names)
	w.sub("additionalProperties", s.additional)
	w.number("minProperties", s.minProperties)
	w.number("maxProperties", s.maxProperties)
	w.raw("default", s.fallback)
	w.list("examples", s.examples)
}

// target writes a reference to a definition, or the schema that a type gave for
// itself.
func (w *writer) target(s *schema) {
	if s.ref != nil && !s.nullable {
		w.text("$ref", s.ref.pointer())
		return
	}
	if s.nullable {
		w.name("anyOf")
	} else {
		w.name("allOf")
	}
	w.dst = append(w.dst, '[')
	if s.ref != nil {
		w.dst = append(w.dst, '{')
		w.text("$ref", s.ref.pointer())
		w.dst = append(w.dst, '}')
	} else {
		w.dst = append(w.dst, s.document...)
	}
	if s.nullable {
		w.dst = append(w.dst, `,{"type":"null"}`...)
	}
	w.dst = append(w.dst, ']')
}

// appendString writes s as a JSON string.
func appendString(dst []byte, s string) []byte {
	// The only error is for invalid UTF-8, which is written as U+FFFD.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
