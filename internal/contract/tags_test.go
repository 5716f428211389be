package contract

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// embedded has an embedded struct with tags that can't be meant for it.
type embedded struct {
	base `minimum:"1"`
}

// hidden embeds a pointer that nobody can set.
type hidden struct {
	*base
}

// itself is a pointer that never comes to an end.
type itself *itself

// half can be written as text, but not read.
type half struct{}

func (half) MarshalText() ([]byte, error) { return nil, nil }

// split has JSON that its text doesn't match.
type split struct{}

func (split) MarshalText() ([]byte, error)  { return nil, nil }
func (*split) UnmarshalText([]byte) error   { return nil }
func (split) MarshalJSON() ([]byte, error)  { return []byte("null"), nil }
func (*split) UnmarshalJSON(_ []byte) error { return nil }

// moody panics as a zero value, and mute fails.
type moody struct{ p *split }

func (m moody) MarshalText() ([]byte, error) { return m.p.MarshalText() }
func (*moody) UnmarshalText([]byte) error    { return nil }
func (moody) MarshalJSON() ([]byte, error)   { return []byte("null"), nil }

type mute struct{}

func (mute) MarshalText() ([]byte, error) { return nil, errors.New("mute") }
func (*mute) UnmarshalText([]byte) error  { return nil }
func (mute) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// referring, broken and senseless bring schemas that don't do.
type (
	referring struct{}
	broken    struct{}
	senseless struct{}
)

func (referring) JSONSchema() []byte { return []byte(`{"properties":{"x":{"$ref":"#"}}}`) }
func (broken) JSONSchema() []byte    { return []byte(`{"type"`) }
func (senseless) JSONSchema() []byte { return []byte(`{"type":"text"}`) }

func TestBadTypes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		typ  any
		want string
	}{
		{struct{ A chan int }{}, ".A: chan int: kind chan has no JSON form"},
		{struct{ A func() }{}, ".A: func(): kind func has no JSON form"},
		{struct{ A complex64 }{}, ".A: complex64: kind complex64 has no JSON form"},
		{struct{ A []map[string]uintptr }{}, ".A: uintptr: kind uintptr has no JSON form"},
		{struct{ A io.Reader }{}, ".A: io.Reader: an interface with methods can't be decoded into"},
		{struct{ A big.Float }{}, ".A: big.Float has no exact written form; use big.Rat"},
		{struct{ A json.Number }{}, ".A: json.Number has no exact written form"},
		{struct{ A map[float64]int }{}, ".A: map[float64]int: map keys must be strings, integers or written as text"},
		{struct{ A map[bool]int }{}, ".A: map[bool]int: map keys must be"},
		{struct{ A *itself }{}, ".A: contract.itself: a pointer to nothing but itself has no JSON form"},
		{struct{ A half }{}, ".A: contract.half has only one of MarshalText and UnmarshalText"},
		{struct{ A split }{}, ".A: the JSON and the text of contract.split differ: give it a JSONSchema method"},
		{struct{ A moody }{}, ".A: the JSON and the text of contract.moody differ"},
		{struct{ A mute }{}, ".A: the JSON and the text of contract.mute differ"},
		{struct{ A referring }{}, ".A: the JSONSchema of contract.referring: it uses $ref, and must stand on its own"},
		{struct{ A broken }{}, ".A: the JSONSchema of contract.broken: "},
		{struct{ A senseless }{}, ".A: the JSONSchema of contract.senseless: "},
		{struct{ a int }{}, "Go struct has no exported fields"},
		{embedded{}, "contract.embedded.base: tag minimum: an embedded struct is no member of its own"},
		{hidden{}, "contract.hidden.base: an embedded pointer to an unexported struct can't be decoded into"},
		{struct{ In order }{}, ""}, // a type in a type is fine,
		{struct { // and errors in it are named from the outside in
			In []struct{ A chan int }
		}{}, ".In: struct { A chan int }.A: chan int: kind chan"},

		{struct {
			A int `json:"a,case:ignore"`
		}{}, ".A: json tag: a schema can't say case:ignore"},
		{struct {
			A map[string]int `json:",embed"`
		}{}, ".A: json tag: embed is for structs"},
		{struct {
			A string `json:",string"`
		}{}, ".A: json tag: string is for numbers only"},
		{struct {
			A time.Duration `json:",format:units"`
		}{}, "unsupported `format` tag option"},
		{struct {
			A int `json:",omitEmpty"` //nolint:staticcheck // wrong on purpose
		}{}, "specify `omitempty` instead"},

		{struct {
			A string `minimum:"1"`
		}{}, ".A: tag minimum: is for an integer or a number, and the type is written as a string"},
		{struct {
			A int `minLength:"1"`
		}{}, ".A: tag minLength: is for a string, and the type is written as an integer"},
		{struct {
			A any `minLength:"1"`
		}{}, ".A: tag minLength: is for a string, and the type may be anything"},
		{struct {
			A order `minProperties:"1"`
		}{}, ".A: tag minProperties: is for an object, not for a struct or a type that holds itself"},
		{struct {
			A time.Duration `pattern:"x"`
		}{}, ".A: tag pattern: the written form of the type has a pattern already"},
		{struct {
			A time.Time `format:"date"`
		}{}, ".A: tag format: the written form of the type has a format already"},
		{struct {
			A []byte `format:"date"`
		}{}, ".A: tag format: the written form of the type has a format already"},
		{struct {
			A colour `minLength:"1"`
		}{}, ".A: tag minLength: the type says its own schema"},
		{struct {
			A string `format:"dat-time"`
		}{}, `.A: tag format: unknown format "dat-time"`},
		{struct {
			A string `format:"int8"`
		}{}, `.A: tag format: unknown format "int8"`},
		{struct {
			A string `pattern:"("`
		}{}, ".A: tag pattern: error parsing regexp"},
		{struct {
			A string `pattern:"\xff"`
		}{}, ".A: tag pattern: invalid UTF-8"},
		{struct {
			A int `minimum:"1e"`
		}{}, `.A: tag minimum: "1e" is no JSON number`},
		{struct {
			A int `minimum:"1.5"`
		}{}, ".A: tag minimum: 1.5 is no integer"},
		{struct {
			A uint `minimum:"-1"`
		}{}, ".A: tag minimum: -1 is beyond the type's own 0"},
		{struct {
			A int8 `maximum:"128"`
		}{}, ".A: tag maximum: 128 is beyond the type's own 127"},
		{struct {
			A int `minimum:"2" maximum:"1"`
		}{}, ".A: tag minimum: is above the maximum"},
		{struct {
			A string `minLength:"2" maxLength:"1"`
		}{}, ".A: tag minLength: is above the maximum"},
		{struct {
			A big.Int `maxLength:"5000"`
		}{}, ".A: tag maxLength: 5000 is beyond the type's own 4096"},
		{struct {
			A [2]int `minItems:"3"`
		}{}, ".A: tag minItems: is above the maximum"},
		{struct {
			A string `maxLength:"-1"`
		}{}, `.A: tag maxLength: "-1" is no length`},
		{struct {
			A bool `enum:"true"`
		}{}, ".A: tag enum: is for an integer or a number or a string, and the type is written as a boolean"},
		{struct {
			A string `enum:""`
		}{}, ".A: tag enum: is empty"},
		{struct {
			A string `enum:"a,b,a"`
		}{}, `.A: tag enum: "a" stands there twice`},
		{struct {
			A int `enum:"1,x"`
		}{}, `.A: tag enum: "x" is not JSON`},
		{struct {
			A int8 `enum:"1,300"`
		}{}, ".A: tag enum: 300: must be an integer from -128 to 127"},
		{struct {
			A int `enum:"1,\"2\""`
		}{}, `.A: tag enum: "2": must be one of 1, "2"`},
		{struct {
			A string `required:"yes"`
		}{}, `.A: tag required: "yes" is neither true nor false`},
		{struct {
			A string `required:"true" default:"x"`
		}{}, ".A: tag required: a member with a default is never missing"},
		{struct {
			A int `default:"x"`
		}{}, `.A: tag default: "x" is not JSON`},
		{struct {
			A int `default:"7" maximum:"5"`
		}{}, ".A: tag default: 7: must be at most 5"},
		{struct {
			A string `default:"c" enum:"a,b"`
		}{}, `.A: tag default: "c": must be one of "a", "b"`},
		{struct {
			A time.Duration `default:"1h"`
		}{}, `.A: tag default: "1h": must be a duration in hours, minutes and seconds`},
		{struct {
			A []string `default:"[1]"`
		}{}, ".A: tag default: [1]: /0 must be a string, not a number"},
		{struct {
			A page `default:"{\"size\":\"x\"}"`
		}{}, `.A: tag default: {"size":"x"}: /size must be an integer, not a string`},
		{struct {
			A colour `default:"red"`
		}{}, `.A: tag default: "red": must match the pattern`},
		{struct {
			A pairs `default:"[1]"`
		}{}, ".A: tag default: [1]: /0 must be a multiple of 2"},
		{struct {
			A string `example:"abc" maxLength:"2"`
		}{}, `.A: tag example: "abc": must have at most 2 characters`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			_, err := For(reflect.TypeOf(tt.typ), Config{})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "contract: ")
		})
	}
}

// TestRequired has every way to be required, and not to be.
func TestRequired(t *testing.T) {
	t.Parallel()
	type inner struct {
		ID string
	}
	c := contractOf[struct {
		A int
		B int `json:",omitempty"`
		C int `json:",omitzero"`
		D *int
		E int  `default:"1"`
		F int  `json:",omitzero" required:"true"`
		G *int `required:"true"`
		H int  `required:"false"`
		I []int
		J map[string]int
		K any
		L struct{}
	}](t)
	var s struct {
		Required []string `json:"required"`
	}
	require.NoError(t, json.Unmarshal(c.Schema(), &s))
	require.Equal(t, []string{"A", "F", "G", "I", "J", "K", "L"}, s.Required)

	type Inner inner
	c = contractOf[struct {
		*Inner
		A int
	}](t)
	require.NoError(t, json.Unmarshal(c.Schema(), &s))
	require.Equal(t, []string{"A"}, s.Required, "what an embedded pointer brings may be absent")
}

// TestFieldsAreTheCodecs wants the members of the schema to be those that the
// codec writes, where structs hide one another's fields.
func TestFieldsAreTheCodecs(t *testing.T) {
	t.Parallel()
	type Deep struct{ A, B, C, D int }
	type Left struct {
		Deep
		A int
		B int `json:"b"`
		E int
		F int
	}
	type Right struct {
		*Deep
		E int `json:"E"`
		F int
		g int
	}
	type Outer struct {
		Left
		Right
		Left2 Left `json:"named"`
		D     int  `json:"-"`
		Z     int  `json:"A"`
	}
	var codec JSON
	text, err := codec.Marshal(Outer{Right: Right{Deep: &Deep{}, g: 1}})
	require.NoError(t, err)
	var written map[string]any
	require.NoError(t, json.Unmarshal(text, &written))
	var s struct {
		Properties map[string]any `json:"properties"`
	}
	require.NoError(t, json.Unmarshal(contractOf[Outer](t).Schema(), &s))
	for name := range written {
		require.Contains(t, s.Properties, name)
	}
	require.Len(t, s.Properties, len(written), "%s", text)
}

// Names of definitions.
type (
	Pair[A, B any] struct {
		First  A
		Second B
	}
	Ünï struct{ A int } //nolint:asciicheck // the name is what is tested
)

func TestDefinitionNames(t *testing.T) {
	t.Parallel()
	type page struct{ Local int } // beside the package's
	c := contractOf[struct {
		A Pair[int, time.Month]
		B page
		C []Pair[defaults, *Pair[string, big.Int]]
		D Ünï
	}](t)
	var s struct {
		Defs map[string]any `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(c.Schema(), &s))
	require.ElementsMatch(t, []string{
		"Pair_int_Month", "page", "Pair_defaults_Pair_string_Int", "defaults", "page2", "strict", "Pair_string_Int", "_n_",
	}, slices.Collect(maps.Keys(s.Defs)))
	_, err := compileLibrary(c.Schema())
	require.NoError(t, err)
}
