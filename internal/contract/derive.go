package contract

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// deriver makes the schema of a Go type.
type deriver struct {
	defs   map[reflect.Type]*definition
	uses   map[*definition]int
	named  map[string]bool
	claims []claim
}

// claim is a value that a tag gives (a default, an example, one of an enum). It
// must fit the schema beside it, which can be tried once all of it is known.
type claim struct {
	schema *schema
	value  json.RawMessage
	where  string
}

// derive returns the schema of t, and what its tags claim.
func derive(t reflect.Type) (*schema, []claim, error) {
	d := deriver{
		defs:  make(map[reflect.Type]*definition),
		uses:  make(map[*definition]int),
		named: make(map[string]bool),
	}
	s, err := d.schemaOf(t)
	if err != nil {
		return nil, nil, err
	}
	// The root stands at the top, but where something refers back to it.
	if s.ref != nil && !s.nullable && d.uses[s.ref] == 1 {
		s = s.ref.schema
	}
	return s, d.claims, nil
}

// schemaOf returns a schema for one use of t, which the caller may add to.
func (d *deriver) schemaOf(t reflect.Type) (*schema, error) {
	nullable := false
	for seen := make(map[reflect.Type]bool); t.Kind() == reflect.Pointer; t = t.Elem() {
		if seen[t] {
			return nil, fmt.Errorf("%s: a pointer to nothing but itself has no JSON form", t)
		}
		seen[t], nullable = true, true
	}
	s, err := d.valueSchema(t)
	if err != nil {
		return nil, err
	}
	if nullable {
		s.allowNull()
	}
	return s, nil
}

// allowNull lets s be null as well.
func (s *schema) allowNull() {
	switch {
	case s.ref != nil || s.document != nil:
		s.nullable = true
	case s.types != 0:
		s.types |= typeNull
	}
}

func (d *deriver) valueSchema(t reflect.Type) (*schema, error) {
	if f := formOf(t); f != formKind {
		return formSchema(t, f)
	}
	switch t.Kind() {
	case reflect.Struct:
		if t.Name() == "" {
			return d.structSchema(t)
		}
		return d.definition(t, d.structSchema)
	case reflect.Slice, reflect.Array, reflect.Map:
		if t.Name() != "" && reaches(t, t, make(map[reflect.Type]bool)) {
			return d.definition(t, d.compositeSchema)
		}
		return d.compositeSchema(t)
	}
	return scalarSchema(t)
}

func scalarSchema(t reflect.Type) (*schema, error) {
	switch t.Kind() {
	case reflect.Bool:
		return &schema{types: typeBoolean}, nil
	case reflect.String:
		return &schema{types: typeString}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s := &schema{types: typeInteger, format: "int" + strconv.Itoa(t.Bits())}
		// The ranges of 64 bits are left to the format: as JSON numbers their
		// ends are no values that every reader of a schema can hold.
		if bits := t.Bits(); bits < 64 {
			s.minimum = strconv.AppendInt(nil, -1<<(bits-1), 10)
			s.maximum = strconv.AppendInt(nil, 1<<(bits-1)-1, 10)
		}
		return s, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s := &schema{types: typeInteger, format: "uint" + strconv.Itoa(t.Bits()), minimum: json.RawMessage("0")}
		if bits := t.Bits(); bits < 64 {
			s.maximum = strconv.AppendUint(nil, 1<<bits-1, 10)
		}
		return s, nil
	case reflect.Float32:
		return &schema{types: typeNumber, format: "float"}, nil
	case reflect.Float64:
		return &schema{types: typeNumber, format: "double"}, nil
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return &schema{}, nil
		}
		return nil, fmt.Errorf("%s: an interface with methods can't be decoded into", t)
	}
	return nil, fmt.Errorf("%s: kind %s has no JSON form", t, t.Kind())
}

// quoted turns the schema of a number into that of a number written as a string.
func (s *schema) quoted() error {
	pattern := patternNumber
	switch {
	case s.types&^typeNull == typeNumber:
	case s.types&^typeNull != typeInteger:
		return fmt.Errorf("json tag: string is for numbers only")
	case strings.HasPrefix(s.format, "uint"):
		pattern = patternUnsigned
	default:
		pattern = patternInteger
	}
	*s = schema{types: typeString | s.types&typeNull, format: s.format, pattern: pattern}
	return nil
}

func (d *deriver) compositeSchema(t reflect.Type) (*schema, error) {
	if t.Kind() == reflect.Map {
		return d.mapSchema(t)
	}
	// The codec takes bytes of a type of their own for numbers.
	if t.Elem().Kind() == reflect.Uint8 && t.Elem().PkgPath() == "" {
		s := &schema{types: typeString, contentEncoding: "base64"}
		if t.Kind() == reflect.Array {
			n := base64.StdEncoding.EncodedLen(t.Len())
			s.minLength, s.maxLength = &n, &n
			// Lengths of one group of three differ in their padding only.
			if t.Len() > 0 {
				s.pattern = [...]string{"[^=]$", "==$", "[^=]=$"}[t.Len()%3]
			}
		}
		return s, nil
	}
	items, err := d.schemaOf(t.Elem())
	if err != nil {
		return nil, err
	}
	s := &schema{types: typeArray, items: items}
	if t.Kind() == reflect.Array {
		n := t.Len()
		s.minItems, s.maxItems = &n, &n
	}
	return s, nil
}

func (d *deriver) mapSchema(t reflect.Type) (*schema, error) {
	key := t.Key()
	names, err := d.schemaOf(key)
	if err != nil {
		return nil, err
	}
	switch key.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if formOf(key) == formKind {
			if err := names.quoted(); err != nil {
				return nil, err
			}
		}
	}
	if names.types != typeString {
		return nil, fmt.Errorf("%s: map keys must be strings, integers or written as text", t)
	}
	if names.format == "" && names.pattern == "" {
		names = nil // any string
	}
	values, err := d.schemaOf(t.Elem())
	if err != nil {
		return nil, err
	}
	return &schema{types: typeObject, names: names, additional: values}, nil
}

func (d *deriver) structSchema(t reflect.Type) (*schema, error) {
	fields, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	s := &schema{types: typeObject}
	for _, f := range fields {
		p, err := d.schemaOf(f.Type)
		if err == nil && f.quoted {
			err = p.quoted()
		}
		var required bool
		if err == nil {
			required, err = d.applyTags(t, f, p)
		}
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		s.properties = append(s.properties, property{f.member, p})
		if required {
			s.required = append(s.required, f.member)
		}
	}
	return s, nil
}

// definition returns a reference to the definition of t, which it makes when it
// meets t for the first time.
func (d *deriver) definition(t reflect.Type, schemaOf func(reflect.Type) (*schema, error)) (*schema, error) {
	def := d.defs[t]
	if def == nil {
		def = &definition{name: d.nameOf(t)}
		d.defs[t] = def
		s, err := schemaOf(t)
		if err != nil {
			return nil, err
		}
		def.schema = s
	}
	d.uses[def]++
	return &schema{ref: def}, nil
}

// nameOf returns a name for the definition of t: that of the type, without
// packages, and with a number where another type has it already.
func (d *deriver) nameOf(t reflect.Type) string {
	var b strings.Builder
	word := ""
	for _, r := range t.Name() + "\x00" {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_':
			word += string(r)
		case r == '.' || r == '/' || r == '-':
			word = "" // what came before was the path of a package
		default:
			if b.Len() > 0 && word != "" {
				b.WriteByte('_')
			}
			b.WriteString(word)
			word = ""
		}
	}
	base := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '_' // a reference is a URI
		}
		return r
	}, b.String())
	name := base
	for n := 2; d.named[name]; n++ {
		name = base + strconv.Itoa(n)
	}
	d.named[name] = true
	return name
}

// reaches reports whether a value of type t can hold one of type goal within it.
func reaches(t, goal reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	var parts []reflect.Type
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		parts = []reflect.Type{t.Elem()}
	case reflect.Struct:
		for i := range t.NumField() {
			parts = append(parts, t.Field(i).Type)
		}
	}
	return slices.ContainsFunc(parts, func(part reflect.Type) bool {
		return part == goal || reaches(part, goal, seen)
	})
}

// maxInt is the largest length that a keyword may give.
const maxInt = math.MaxInt32
