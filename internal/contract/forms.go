package contract

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	jsonv2 "github.com/go-json-experiment/json"
)

// form says how a Go type is written in JSON.
type form uint8

const (
	formKind     form = iota // as its kind has it
	formTime                 // RFC 3339
	formDuration             // ISO 8601
	formInteger              // big.Int
	formRatio                // big.Rat
	formText                 // the string of its text methods
	formOwn                  // as the type's JSONSchema method says
	formFree                 // JSON methods and nothing known of what they write
	formRefused              // no exact form
)

// Schemer is a type that says its own JSON Schema. The document is a whole
// schema that refers to nothing outside itself and uses no "$ref".
//
// Such a type is encoded by its own methods, JSON before text, and what it
// writes must fit the schema.
type Schemer interface {
	JSONSchema() []byte
}

const (
	// maxDigits bounds a big.Int and a big.Rat as text: reading decimal digits
	// takes time that grows with the square of their number.
	maxDigits = 4096

	patternInteger  = `^(0|-?[1-9][0-9]*)$`
	patternUnsigned = `^(0|[1-9][0-9]*)$`
	patternRatio    = `^(0|-?[1-9][0-9]*(/[1-9][0-9]*)?)$`
	patternDuration = `^-?PT([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]{1,9})?S)?$`
)

var (
	timeType       = reflect.TypeFor[time.Time]()
	durationType   = reflect.TypeFor[time.Duration]()
	integerType    = reflect.TypeFor[big.Int]()
	ratioType      = reflect.TypeFor[big.Rat]()
	floatType      = reflect.TypeFor[big.Float]()
	jsonNumberType = reflect.TypeFor[json.Number]()

	schemerType           = reflect.TypeFor[Schemer]()
	textMarshalerType     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType   = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonMarshalerType     = reflect.TypeFor[jsonv2.Marshaler]()
	jsonUnmarshalerType   = reflect.TypeFor[jsonv2.Unmarshaler]()
	jsonMarshalerToType   = reflect.TypeFor[jsonv2.MarshalerTo]()
	jsonUnmarshalFromType = reflect.TypeFor[jsonv2.UnmarshalerFrom]()
)

// formOf returns the form of t, which is no pointer.
func formOf(t reflect.Type) form {
	switch t {
	case timeType:
		return formTime
	case durationType:
		return formDuration
	case integerType:
		return formInteger
	case ratioType:
		return formRatio
	case floatType, jsonNumberType:
		return formRefused
	}
	switch {
	case t.Kind() == reflect.Interface:
		return formKind
	case implements(t, schemerType):
		return formOwn
	case implements(t, textMarshalerType) && implements(t, textUnmarshalerType):
		return formText
	case hasJSONMethods(t):
		return formFree
	case implements(t, textMarshalerType) || implements(t, textUnmarshalerType):
		return formText // half of it, which formSchema refuses
	}
	return formKind
}

// implements reports whether t or *t implements i.
func implements(t, i reflect.Type) bool {
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

func hasJSONMethods(t reflect.Type) bool {
	return implements(t, jsonMarshalerType) || implements(t, jsonUnmarshalerType) ||
		implements(t, jsonMarshalerToType) || implements(t, jsonUnmarshalFromType)
}

// formSchema returns the schema of a type whose form isn't that of its kind.
func formSchema(t reflect.Type, f form) (*schema, error) {
	digits := maxDigits
	switch f {
	case formTime:
		return &schema{types: typeString, format: "date-time"}, nil
	case formDuration:
		return &schema{types: typeString, format: "duration", pattern: patternDuration}, nil
	case formInteger:
		return &schema{types: typeString, pattern: patternInteger, maxLength: &digits}, nil
	case formRatio:
		return &schema{types: typeString, pattern: patternRatio, maxLength: &digits}, nil
	case formText:
		return &schema{types: typeString}, checkText(t)
	case formOwn:
		return ownSchema(t)
	case formFree:
		return &schema{}, nil
	}
	return nil, fmt.Errorf("%s has no exact written form; use big.Rat, a decimal type or a string", t)
}

// checkText reports why t can't be written as text. Text methods win over JSON
// methods, so a type that has both must mean the same by them: a type whose JSON
// can be null, say, would lose that on its way.
func checkText(t reflect.Type) (err error) {
	if !implements(t, textMarshalerType) || !implements(t, textUnmarshalerType) {
		return fmt.Errorf("%s has only one of MarshalText and UnmarshalText", t)
	}
	if !hasJSONMethods(t) {
		return nil
	}
	disagree := fmt.Errorf("the JSON and the text of %s differ: give it a JSONSchema method", t)
	defer func() {
		// A method that can't take a zero value says nothing of its form.
		if recover() != nil {
			err = disagree
		}
	}()
	zero := reflect.New(t).Interface()
	text, err := zero.(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return disagree
	}
	written, err := jsonv2.Marshal(zero)
	if err != nil {
		return disagree
	}
	if jsontext.Value(written).Kind() == '"' {
		written, _ = jsontext.AppendUnquote(nil, written)
	}
	if !bytes.Equal(written, text) {
		return disagree
	}
	return nil
}

func ownSchema(t reflect.Type) (*schema, error) {
	document := jsontext.Value(reflect.New(t).Interface().(Schemer).JSONSchema()).Clone()
	if err := document.Compact(); err != nil {
		return nil, fmt.Errorf("the JSONSchema of %s: %w", t, err)
	}
	if err := standsAlone(json.RawMessage(document)); err != nil {
		return nil, fmt.Errorf("the JSONSchema of %s: %w", t, err)
	}
	if _, err := compileLibrary(json.RawMessage(document)); err != nil {
		return nil, fmt.Errorf("the JSONSchema of %s: %w", t, err)
	}
	s := &schema{document: json.RawMessage(document)}
	// What is beyond the rules is left to the library.
	s.own, _ = parse(s.document)
	return s, nil
}
