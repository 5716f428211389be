package mesh

import "github.com/mdpmesh/mesh/internal/contract"

// Codec turns Go values into the JSON of params and results, and back. Its methods
// may be called from many goroutines at once. The default is [JSON].
//
// A codec of one's own must write what the contracts of its methods say: the
// schemas, with the one written form that each type has, are made for the default.
// Parameters have been checked by the time that Unmarshal gets them.
type Codec interface {
	// Marshal returns v as JSON. The caller owns the bytes.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into v, a pointer that isn't nil, and keeps no
	// reference to data.
	Unmarshal(data []byte, v any) error
}

// JSON returns the default codec.
//
// It ignores members that a type doesn't know, tells names apart by case, and
// refuses two members of one name and invalid UTF-8. A nil slice is written as [],
// a nil map as {}, and a map's members are sorted, so that one value always gives
// the same bytes. The types that JSON lacks have one written form each:
//
//   - time.Time: RFC 3339 with up to nine digits of a second, "2026-01-02T15:04:05.5+02:00"
//   - time.Duration: ISO 8601 in hours, minutes and seconds, "PT1H2M3.5S"
//   - []byte and [N]byte: base64 with padding
//   - big.Int and big.Rat: decimal digits in a string, "-12" and "-1/3"
//   - types with MarshalText and UnmarshalText, such as decimals: their text, also
//     where they have JSON methods, unless they say their own schema by a method
//     JSONSchema() []byte
//   - int64 and uint64: numbers, exact in Go; the json tag option string makes them
//     strings for peers whose numbers are floats
//
// NaN, infinities, big.Float and channels are errors.
func JSON() Codec { return new(contract.JSON) }
