package contract

import (
	"encoding"
	"errors"
	"math/big"
	"reflect"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// marshalers write the types that have a written form of their own. The first one
// that knows a type counts.
var marshalers = jsonv2.JoinMarshalers(
	jsonv2.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return writeText(e, func(dst []byte) ([]byte, error) { return appendTimestamp(dst, t) })
	}),
	jsonv2.MarshalToFunc(func(e *jsontext.Encoder, d time.Duration) error {
		return writeText(e, func(dst []byte) ([]byte, error) { return appendDuration(dst, d), nil })
	}),
	jsonv2.MarshalToFunc(func(e *jsontext.Encoder, n *big.Int) error {
		return writeText(e, func(dst []byte) ([]byte, error) {
			if n.BitLen() > maxBits {
				return nil, errDigits
			}
			return limited(n.Append(dst, 10), len(dst))
		})
	}),
	jsonv2.MarshalToFunc(func(e *jsontext.Encoder, n *big.Rat) error {
		return writeText(e, func(dst []byte) ([]byte, error) {
			if n.Num().BitLen() > maxBits || n.Denom().BitLen() > maxBits {
				return nil, errDigits
			}
			return limited(append(dst, n.RatString()...), len(dst))
		})
	}),
	jsonv2.MarshalToFunc(func(_ *jsontext.Encoder, _ *big.Float) error { return errFloat }),
	jsonv2.MarshalToFunc(func(e *jsontext.Encoder, v encoding.TextMarshaler) error {
		if !textWins(v) {
			return errors.ErrUnsupported
		}
		text, err := v.MarshalText()
		if err != nil {
			return err
		}
		return e.WriteToken(jsontext.String(string(text)))
	}),
)

// unmarshalers read what marshalers write. As everywhere in json/v2 null gives the
// zero value.
var unmarshalers = jsonv2.JoinUnmarshalers(
	jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, t *time.Time) error {
		return readText(d, t, parseTimestamp)
	}),
	jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, v *time.Duration) error {
		return readText(d, v, parseDuration)
	}),
	jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, n *big.Int) error {
		return readText(d, n, parseInteger)
	}),
	jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, n *big.Rat) error {
		return readText(d, n, parseRatio)
	}),
	jsonv2.UnmarshalFromFunc(func(_ *jsontext.Decoder, _ *big.Float) error { return errFloat }),
	jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, v encoding.TextUnmarshaler) error {
		if !textWins(v) {
			return errors.ErrUnsupported
		}
		if d.PeekKind() == 'n' {
			reflect.ValueOf(v).Elem().SetZero()
			return d.SkipValue()
		}
		text, err := stringValue(d)
		if err != nil {
			return err
		}
		return v.UnmarshalText(text)
	}),
)

// maxBits is what a big.Int of maxDigits digits can need; more is refused before
// it is turned into digits, which takes its time.
const maxBits = maxDigits * 10 / 3

// formError says why a value has no written form, or a text is none. It is worded
// to follow the value's name.
type formError string

func (e formError) Error() string { return string(e) }

const (
	errText      formError = "must be a string"
	errTimestamp formError = "must be a date-time such as 2006-01-02T15:04:05Z (RFC 3339)"
	errYear      formError = "must be within the years 0 to 9999"
	errDuration  formError = "must be a duration in hours, minutes and seconds such as PT1H2M3.5S (ISO 8601)"
	errInteger   formError = "must be a whole number in decimal digits"
	errUnsigned  formError = "must be a whole number in decimal digits, without a sign"
	errRatio     formError = "must be a ratio such as -1/3, in decimal digits"
	errNumber    formError = "must be a number as JSON has them"
	errDigits    formError = "must not be longer than 4096 digits"
	errFloat     formError = "has no exact written form as a big.Float; use big.Rat, a decimal type or a string"
)

// textWins reports whether v, a pointer, is a type that has JSON methods beside its
// text methods, and doesn't say by a schema what they write. Without JSON methods
// json/v2 takes the text by itself.
func textWins(v any) bool {
	if _, ok := v.(Schemer); ok {
		return false
	}
	if _, ok := v.(encoding.TextMarshaler); !ok {
		return false
	}
	if _, ok := v.(encoding.TextUnmarshaler); !ok {
		return false
	}
	switch v.(type) {
	case jsonv2.Marshaler, jsonv2.MarshalerTo, jsonv2.Unmarshaler, jsonv2.UnmarshalerFrom:
		return true
	}
	return false
}

// writeText writes what text appends as a JSON string.
func writeText(e *jsontext.Encoder, text func(dst []byte) ([]byte, error)) error {
	out := append(e.AvailableBuffer(), '"')
	out, err := text(out)
	if err != nil {
		return err
	}
	return e.WriteValue(append(out, '"'))
}

// readText reads a JSON string into v by parse. null gives the zero value.
func readText[T any](d *jsontext.Decoder, v *T, parse func([]byte) (T, error)) error {
	if d.PeekKind() == 'n' {
		var zero T
		*v = zero
		return d.SkipValue()
	}
	text, err := stringValue(d)
	if err != nil {
		return err
	}
	*v, err = parse(text)
	return err
}

// stringValue reads a JSON string and returns what it says.
func stringValue(d *jsontext.Decoder) ([]byte, error) {
	raw, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	if raw.Kind() != '"' {
		return nil, errText
	}
	return unquoted(raw), nil
}

// limited refuses what was written from start on where it is too long.
func limited(text []byte, start int) ([]byte, error) {
	if len(text)-start > maxDigits {
		return nil, errDigits
	}
	return text, nil
}

func parseInteger(b []byte) (big.Int, error) {
	var n big.Int
	if len(b) > maxDigits {
		return n, errDigits
	}
	if !isInteger(b) {
		return n, errInteger
	}
	n.SetString(string(b), 10)
	return n, nil
}

func parseRatio(b []byte) (big.Rat, error) {
	var n big.Rat
	if len(b) > maxDigits {
		return n, errDigits
	}
	if !isRatio(b) {
		return n, errRatio
	}
	n.SetString(string(b))
	return n, nil
}
