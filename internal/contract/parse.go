package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// errBeyondRules says that a schema is for the library, because rules can't
// express it or because it isn't right, which the library can say better.
var errBeyondRules = errors.New("contract: a schema beyond the rules")

// member is one member of an object in a schema document, in its order.
type member struct {
	name  string
	value jsontext.Value
}

// membersOf takes an object apart.
func membersOf(object jsontext.Value) ([]member, error) {
	var members []member
	d := jsontext.NewDecoder(strings.NewReader(string(object)))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, errBeyondRules
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		members = append(members, m)
	}
	return members, nil
}

// parser reads a schema document.
type parser struct {
	definitions map[string]*definition
}

// parse reads a schema document. It fails with errBeyondRules where the rules
// can't express it.
func parse(document json.RawMessage) (*schema, error) {
	members, err := membersOf(jsontext.Value(document))
	if err != nil {
		return nil, err
	}
	p := parser{definitions: make(map[string]*definition)}
	var bodies []member
	for _, m := range members {
		if m.name == "$defs" {
			if bodies, err = membersOf(m.value); err != nil {
				return nil, err
			}
		}
	}
	for _, b := range bodies {
		p.definitions[b.name] = &definition{name: b.name}
	}
	for _, b := range bodies {
		if p.definitions[b.name].schema, err = p.schema(b.value); err != nil {
			return nil, err
		}
	}
	root := slices.DeleteFunc(members, func(m member) bool {
		return m.name == "$defs" || m.name == "$schema" && string(m.value) == `"`+dialect+`"`
	})
	return p.object(root)
}

func (p *parser) schema(value jsontext.Value) (*schema, error) {
	if value.Kind() == 't' {
		return &schema{}, nil
	}
	members, err := membersOf(value)
	if err != nil {
		return nil, err
	}
	return p.object(members)
}

func (p *parser) object(members []member) (*schema, error) {
	s := &schema{}
	keywords := 0 // that aren't annotations
	for _, m := range members {
		annotation, err := p.keyword(s, m)
		if err != nil {
			return nil, err
		}
		if !annotation {
			keywords++
		}
	}
	if s.ref != nil && keywords > 1 || s.closed && s.additional != nil {
		return nil, errBeyondRules
	}
	for _, name := range s.required {
		known := slices.ContainsFunc(s.properties, func(p property) bool { return p.name == name })
		if s.closed && !known {
			return nil, errBeyondRules
		}
	}
	return s, nil
}

// keyword adds what m says to s, and reports whether that is an annotation, which
// asks for nothing.
func (p *parser) keyword(s *schema, m member) (annotation bool, err error) {
	switch m.name {
	case "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
		"contentMediaType":
		return true, nil
	case "$ref":
		return false, p.reference(s, m.value)
	case "anyOf":
		return false, p.nullable(s, m.value)
	case "type":
		return false, parseTypes(s, m.value)
	case "enum":
		return false, parseEnum(s, m.value)
	case "const":
		return false, parseEnum(s, jsontext.Value("["+string(m.value)+"]"))
	case "format":
		return false, parseFormat(s, m.value)
	case "contentEncoding":
		return false, parseString(&s.contentEncoding, m.value)
	case "pattern":
		return false, parseString(&s.pattern, m.value)
	case "minimum":
		return false, parseBound(&s.minimum, m.value)
	case "maximum":
		return false, parseBound(&s.maximum, m.value)
	case "minLength":
		return false, parseLimit(&s.minLength, m.value)
	case "maxLength":
		return false, parseLimit(&s.maxLength, m.value)
	case "minItems":
		return false, parseLimit(&s.minItems, m.value)
	case "maxItems":
		return false, parseLimit(&s.maxItems, m.value)
	case "minProperties":
		return false, parseLimit(&s.minProperties, m.value)
	case "maxProperties":
		return false, parseLimit(&s.maxProperties, m.value)
	case "items":
		s.items, err = p.schema(m.value)
		return false, err
	case "properties":
		return false, p.properties(s, m.value)
	case "required":
		return false, parseInto(&s.required, m.value)
	case "propertyNames":
		return false, p.names(s, m.value)
	case "additionalProperties":
		if m.value.Kind() == 'f' {
			s.closed = true
			return false, nil
		}
		s.additional, err = p.schema(m.value)
		return false, err
	}
	return false, errBeyondRules
}

func (p *parser) reference(s *schema, value jsontext.Value) error {
	var pointer string
	if err := parseString(&pointer, value); err != nil {
		return err
	}
	name, ok := strings.CutPrefix(pointer, "#/$defs/")
	if s.ref = p.definitions[name]; !ok || s.ref == nil {
		return errBeyondRules
	}
	return nil
}

// nullable reads the one use of anyOf that a schema from a Go type has: something
// or null.
func (p *parser) nullable(s *schema, value jsontext.Value) error {
	var of []jsontext.Value
	if err := parseInto(&of, value); err != nil {
		return err
	}
	if len(of) != 2 || string(of[1]) != `{"type":"null"}` {
		return errBeyondRules
	}
	members, err := membersOf(of[0])
	if err != nil || len(members) != 1 || members[0].name != "$ref" {
		return errBeyondRules
	}
	s.nullable = true
	return p.reference(s, members[0].value)
}

func (p *parser) properties(s *schema, value jsontext.Value) error {
	members, err := membersOf(value)
	if err != nil {
		return err
	}
	s.properties = []property{}
	for _, m := range members {
		sub, err := p.schema(m.value)
		if err != nil {
			return err
		}
		s.properties = append(s.properties, property{m.name, sub})
	}
	return nil
}

// names reads what is asked of the names of members, which are strings anyway.
func (p *parser) names(s *schema, value jsontext.Value) error {
	names, err := p.schema(value)
	if err != nil {
		return err
	}
	if names.ref != nil || names.types != 0 && names.types&typeString == 0 {
		return errBeyondRules
	}
	s.names = names
	return nil
}

func parseTypes(s *schema, value jsontext.Value) error {
	names := []string{""}
	var err error
	if value.Kind() == '"' {
		err = parseString(&names[0], value)
	} else {
		err = parseInto(&names, value)
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		at := slices.IndexFunc(typeNames, func(n typeName) bool { return n.name == name })
		if at < 0 {
			return errBeyondRules
		}
		s.types |= typeNames[at].bit
	}
	return nil
}

func parseEnum(s *schema, value jsontext.Value) error {
	var values []jsontext.Value
	if err := parseInto(&values, value); err != nil {
		return err
	}
	if s.enum != nil { // enum and const in one
		return errBeyondRules
	}
	s.enum = []json.RawMessage{}
	for _, v := range values {
		if k := v.Kind(); k == '{' || k == '[' {
			return errBeyondRules
		}
		s.enum = append(s.enum, json.RawMessage(v))
	}
	return nil
}

func parseFormat(s *schema, value jsontext.Value) error {
	if err := parseString(&s.format, value); err != nil {
		return err
	}
	if _, ok := formatOf(s.format); !ok {
		s.format = "" // nothing is asked by a format that nobody knows
	}
	return nil
}

func parseBound(bound *json.RawMessage, value jsontext.Value) error {
	if value.Kind() != '0' || unwieldy(value) {
		return errBeyondRules
	}
	*bound = json.RawMessage(value)
	return nil
}

func parseLimit(limit **int, value jsontext.Value) error {
	var n int
	if err := parseInto(&n, value); err != nil || n < 0 || n > maxInt {
		return errBeyondRules
	}
	*limit = &n
	return nil
}

func parseString(into *string, value jsontext.Value) error {
	return parseInto(into, value)
}

func parseInto(into any, value jsontext.Value) error {
	if value.Kind() == 'n' || jsonv2.Unmarshal(value, into) != nil {
		return errBeyondRules
	}
	return nil
}

// standsAlone reports whether a schema document refers to nothing, within or
// without, so that it means the same wherever it is put.
func standsAlone(document json.RawMessage) error {
	d := jsontext.NewDecoder(strings.NewReader(string(document)))
	for {
		tok, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kind, length := d.StackIndex(d.StackDepth())
		isName := kind == '{' && length%2 == 1
		if name := tok.String(); isName && tok.Kind() == '"' && strings.HasPrefix(name, "$") && name != "$comment" {
			return fmt.Errorf("it uses %s, and must stand on its own", name)
		}
	}
}
