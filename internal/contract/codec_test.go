package contract

import (
	"bytes"
	"encoding"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	shopspring "github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWrittenForms(t *testing.T) {
	t.Parallel()
	var codec JSON
	cape := time.FixedZone("", 2*60*60)
	for _, tt := range []struct {
		value any
		want  string
	}{
		{time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), `"2026-01-02T15:04:05Z"`},
		{time.Date(2026, 1, 2, 15, 4, 5, 999_999_999, cape), `"2026-01-02T15:04:05.999999999+02:00"`},
		{time.Date(2026, 1, 2, 15, 4, 5, 500_000_000, time.FixedZone("", -90*60)), `"2026-01-02T15:04:05.5-01:30"`},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.FixedZone("AMT", 19*60+32)), `"1899-12-31T23:40:28Z"`},
		{time.Time{}, `"0001-01-01T00:00:00Z"`},
		{time.Duration(0), `"PT0S"`},
		{time.Nanosecond, `"PT0.000000001S"`},
		{-time.Nanosecond, `"-PT0.000000001S"`},
		{time.Hour + 2*time.Minute + 3500*time.Millisecond, `"PT1H2M3.5S"`},
		{90 * time.Minute, `"PT1H30M"`},
		{time.Duration(math.MaxInt64), `"PT2562047H47M16.854775807S"`},
		{time.Duration(math.MinInt64), `"-PT2562047H47M16.854775808S"`},
		{[]byte{0xfb, 0xff, 0x00}, `"+/8A"`},
		{[]byte{0xfb}, `"+w=="`},
		{[]byte(nil), `""`},
		{[2]byte{1, 2}, `"AQI="`},
		{big.NewInt(-12), `"-12"`},
		{*new(big.Int).Lsh(big.NewInt(1), 80), `"1208925819614629174706176"`},
		{big.NewRat(-2, 6), `"-1/3"`},
		{big.NewRat(4, 2), `"2"`},
		{shopspring.RequireFromString("-12.340"), `"-12.34"`},
		{map[time.Duration]int{time.Second: 1}, `{"PT1S":1}`},
		{int64(math.MaxInt64), `9223372036854775807`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{struct {
			N int64 `json:",string"`
		}{math.MinInt64}, `{"N":"-9223372036854775808"}`},
		{float32(0.1), `0.1`},
		{[]int(nil), `[]`},
		{map[string]int(nil), `{}`},
		{map[string]int{"b": 1, "a": 2, "c": 3}, `{"a":2,"b":1,"c":3}`},
		{netip.MustParseAddr("::1"), `"::1"`},
		{"<&>", `"<&>"`},
		{any(map[string]any{"d": time.Second}), `{"d":"PT1S"}`},
		{(*time.Duration)(nil), `null`},
		{nil, `null`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			got, err := codec.Marshal(tt.value)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
			got, err = codec.AppendMarshal([]byte("x="), tt.value)
			require.NoError(t, err)
			require.Equal(t, "x="+tt.want, string(got))
		})
	}
}

func TestNoWrittenForm(t *testing.T) {
	t.Parallel()
	var codec JSON
	for name, value := range map[string]any{
		"NaN":              math.NaN(),
		"infinity":         []float64{math.Inf(-1)},
		"float32 infinity": float32(math.Inf(1)),
		"year 10000":       time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"year -1":          time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"big.Float":        big.NewFloat(1),
		"huge big.Int":     new(big.Int).Lsh(big.NewInt(1), 1<<14),
		"huge big.Rat":     new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 1<<14)),
		"long big.Rat":     new(big.Rat).SetFrac(new(big.Int).Lsh(big.NewInt(1), 10000), big.NewInt(1).Exp(big.NewInt(3), big.NewInt(5000), nil)),
		"invalid UTF-8":    "\xff",
		"channel":          make(chan int),
		"complex":          1i,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := codec.Marshal(value)
			require.Error(t, err)
			dst, err := codec.AppendMarshal([]byte("kept"), value)
			require.Error(t, err)
			require.Equal(t, "kept", string(dst))
		})
	}
}

// TestLongestInteger is at the limit from both sides.
func TestLongestInteger(t *testing.T) {
	t.Parallel()
	var codec JSON
	n, ok := new(big.Int).SetString("-"+strings.Repeat("9", maxDigits-1), 10)
	require.True(t, ok)
	text, err := codec.Marshal(n)
	require.NoError(t, err)
	var back *big.Int
	require.NoError(t, codec.Unmarshal(text, &back))
	require.Zero(t, n.Cmp(back))
	_, err = codec.Marshal(n.Sub(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits-1), nil)))
	require.ErrorContains(t, err, "longer than 4096")
}

// written is a type for each written form.
type written struct {
	Time     time.Time                `json:"time"`
	Duration time.Duration            `json:"duration"`
	Bytes    []byte                   `json:"bytes"`
	Array    [5]byte                  `json:"array"`
	Big      *big.Int                 `json:"big"`
	Ratio    *big.Rat                 `json:"ratio"`
	Decimal  shopspring.Decimal       `json:"decimal"`
	Signed   int64                    `json:"signed"`
	Unsigned uint64                   `json:"unsigned"`
	Quoted   uint64                   `json:"quoted,string"`
	Single   float32                  `json:"single"`
	Double   float64                  `json:"double"`
	Text     string                   `json:"text"`
	Addr     netip.Addr               `json:"addr"`
	Spans    map[string]time.Duration `json:"spans"`
	Keys     map[time.Duration]int8   `json:"keys"`
	Pointer  *time.Time               `json:"pointer"`
	Level    level                    `json:"level"`
}

func drawWritten(t *rapid.T) written {
	drawInt := rapid.Custom(func(t *rapid.T) *big.Int {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "digits"))
		if rapid.Bool().Draw(t, "negative") {
			n.Neg(n)
		}
		return n
	})
	drawTime := rapid.Custom(func(t *rapid.T) time.Time {
		seconds := rapid.Int64Range(-62135596800+24*60*60, 253402300799-24*60*60).Draw(t, "seconds")
		zone := time.UTC
		if rapid.Bool().Draw(t, "zoned") {
			zone = time.FixedZone("", rapid.IntRange(-24*60*60+1, 24*60*60-1).Draw(t, "offset"))
		}
		return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).In(zone)
	})
	drawDuration := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0})).Draw(t, "nanos"))
	})
	below := new(big.Int).Add(new(big.Int).Abs(drawInt.Draw(t, "below")), big.NewInt(1))
	w := written{
		Time:     drawTime.Draw(t, "time"),
		Duration: drawDuration.Draw(t, "duration"),
		Bytes:    rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"),
		Array:    [5]byte(rapid.SliceOfN(rapid.Byte(), 5, 5).Draw(t, "array")),
		Big:      drawInt.Draw(t, "big"),
		Ratio:    new(big.Rat).SetFrac(drawInt.Draw(t, "above"), below),
		Decimal:  shopspring.NewFromBigInt(drawInt.Draw(t, "coefficient"), rapid.Int32Range(-50, 50).Draw(t, "exponent")),
		Signed:   rapid.Int64().Draw(t, "signed"),
		Unsigned: rapid.Uint64().Draw(t, "unsigned"),
		Quoted:   rapid.Uint64().Draw(t, "quoted"),
		Single:   rapid.Float32().Filter(func(f float32) bool { return !math.IsInf(float64(f), 0) && f == f }).Draw(t, "single"),
		Double:   rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && f == f }).Draw(t, "double"),
		Text:     rapid.String().Draw(t, "text"),
		Addr:     netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))),
		Spans:    rapid.MapOf(rapid.String(), drawDuration).Draw(t, "spans"),
		Keys:     rapid.MapOf(drawDuration, rapid.Int8()).Draw(t, "keys"),
		Level:    level(rapid.IntRange(0, 2).Draw(t, "level")),
	}
	if rapid.Bool().Draw(t, "pointed") {
		at := drawTime.Draw(t, "pointer")
		w.Pointer = &at
	}
	return w
}

// TestRoundTrip draws values, and wants what the codec writes to fit the schema
// and to come back the same.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c, err := For(reflect.TypeFor[written](), Config{})
	require.NoError(t, err)
	o := newOracle(t, "written", c)
	var codec JSON
	rapid.Check(t, func(t *rapid.T) {
		want := drawWritten(t)
		text, err := codec.Marshal(&want)
		require.NoError(t, err)
		require.Empty(t, c.Check(text), "%s", text)
		o.agree(t, text)

		var got written
		require.Empty(t, c.Decode(&codec, text, &got))
		again, err := codec.Marshal(&got)
		require.NoError(t, err)
		require.Equal(t, string(text), string(again), "one value, one text")

		requireInstant(t, want.Time, got.Time)
		if want.Pointer != nil {
			requireInstant(t, *want.Pointer, *got.Pointer)
			want.Pointer, got.Pointer = nil, nil
		}
		require.Zero(t, want.Big.Cmp(got.Big))
		require.Zero(t, want.Ratio.Cmp(got.Ratio))
		require.True(t, want.Decimal.Equal(got.Decimal))
		require.True(t, bytes.Equal(want.Bytes, got.Bytes))
		want.Time, want.Big, want.Ratio, want.Decimal, want.Bytes = got.Time, got.Big, got.Ratio, got.Decimal, got.Bytes
		require.Equal(t, want, got)
	})
}

// requireInstant wants the same instant, and the same offset where RFC 3339 has it.
func requireInstant(t require.TestingT, want, got time.Time) {
	require.True(t, want.Equal(got), "%s, %s", want, got)
	_, offset := want.Zone()
	_, is := got.Zone()
	if offset%60 != 0 {
		offset = 0
	}
	require.Equal(t, offset, is)
}

// TestFitsSchema wants what the codec writes of any type to fit its schema, and
// what fits the schema to be decoded, but for what only decoding can tell.
func TestFitsSchema(t *testing.T) {
	t.Parallel()
	var codec JSON
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c, err := For(s.typ, Config{})
			require.NoError(t, err)
			rapid.Check(t, func(t *rapid.T) {
				document := drawDocument(t, s.typ)
				if c.Check(document) != nil {
					return
				}
				v := reflect.New(s.typ)
				faults := c.Decode(&codec, document, v.Interface())
				if faults != nil {
					require.Len(t, faults, 1)
					require.True(t, onlyDecoded(s.typ, faults[0]), "%s: %v", document, faults)
					return
				}
				text, err := codec.Marshal(v.Interface())
				require.NoError(t, err)
				require.Empty(t, c.Check(text), "%s became %s", document, text)
			})
		})
	}
}

// onlyDecoded reports whether a fault is one of those that a schema can't show:
// numbers that any has no room for, and text whose type alone knows it.
func onlyDecoded(t reflect.Type, f Fault) bool {
	return t == reflect.TypeFor[any]() ||
		slices.ContainsFunc([]string{"/free", "/money", "/long"}, func(p string) bool { return strings.HasPrefix(f.Path, p) })
}

// level has text and JSON that mean the same.
type level int

func (l level) MarshalText() ([]byte, error) { return []byte(strings.Repeat("i", int(l))), nil }

func (l *level) UnmarshalText(b []byte) error {
	if strings.Trim(string(b), "i") != "" {
		return errors.New("levels are made of the letter i")
	}
	*l = level(len(b))
	return nil
}

func (l level) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%q", strings.Repeat("i", int(l))), nil
}

func (l *level) UnmarshalJSON(b []byte) error { return l.UnmarshalText(bytes.Trim(b, `"`)) }

// odd has JSON beside its text, and a schema for it.
type odd struct{ n int }

func (odd) JSONSchema() []byte              { return []byte(`{"type":"integer"}`) }
func (o odd) MarshalText() ([]byte, error)  { return []byte("text"), nil }
func (o *odd) UnmarshalText([]byte) error   { return errors.New("never read as text") }
func (o odd) MarshalJSON() ([]byte, error)  { return fmt.Appendf(nil, "%d", o.n), nil }
func (o *odd) UnmarshalJSON(b []byte) error { return stdjson.Unmarshal(b, &o.n) }

var (
	_ encoding.TextMarshaler   = level(0)
	_ encoding.TextUnmarshaler = new(level)
	_ Schemer                  = odd{}
)

func TestOwnSchemaIsJSON(t *testing.T) {
	t.Parallel()
	var codec JSON
	text, err := codec.Marshal([]odd{{5}, {6}})
	require.NoError(t, err)
	require.Equal(t, "[5,6]", string(text))
	var back []odd
	require.NoError(t, codec.Unmarshal(text, &back))
	require.Equal(t, []odd{{5}, {6}}, back)
	c, err := For(reflect.TypeFor[[]odd](), Config{})
	require.NoError(t, err)
	require.Equal(t, []Fault{{"/1", "must be an integer, not a string"}}, c.Check([]byte(`[1,"2"]`)))
}

// sealed has JSON methods and can be written, but not read, as text.
type sealed struct{ n int }

func (sealed) MarshalText() ([]byte, error)    { return []byte("text"), nil }
func (s sealed) MarshalJSON() ([]byte, error)  { return fmt.Appendf(nil, "[%d]", s.n), nil }
func (s *sealed) UnmarshalJSON(b []byte) error { return stdjson.Unmarshal(bytes.Trim(b, "[]"), &s.n) }

// streamed writes itself by way of the codec.
type streamed struct{ d time.Duration }

func (s streamed) MarshalJSONTo(e *jsontext.Encoder) error { return jsonv2.MarshalEncode(e, s.d) }
func (s *streamed) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonv2.UnmarshalDecode(d, &s.d)
}

// TestMethods has types that write themselves, beside one that has a written form.
func TestMethods(t *testing.T) {
	t.Parallel()
	type all struct {
		Odd      odd           `json:"odd"`
		Sealed   sealed        `json:"sealed"`
		Streamed streamed      `json:"streamed"`
		Level    level         `json:"level"`
		Addr     netip.Addr    `json:"addr"`
		Wait     time.Duration `json:"wait"`
	}
	var codec JSON
	want := all{odd{1}, sealed{2}, streamed{time.Second}, 3, netip.MustParseAddr("::1"), time.Minute}
	text, err := codec.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, `{"odd":1,"sealed":[2],"streamed":"PT1S","level":"iii","addr":"::1","wait":"PT1M"}`, string(text))
	var got all
	require.NoError(t, codec.Unmarshal(text, &got))
	require.Equal(t, want, got)
	c, err := For(reflect.TypeFor[all](), Config{})
	require.NoError(t, err)
	require.Empty(t, c.Check(text))

	for _, value := range []any{streamed{time.Second}, []streamed{{time.Second}}} {
		text, err := codec.Marshal(value)
		require.NoError(t, err)
		require.Contains(t, string(text), `"PT1S"`)
	}
}

func TestDecodeFaults(t *testing.T) {
	t.Parallel()
	type inner struct {
		When time.Time       `json:"when"`
		Wait time.Duration   `json:"wait"`
		Big  big.Int         `json:"big"`
		Rat  big.Rat         `json:"rat"`
		N    int8            `json:"n"`
		Mark level           `json:"mark"`
		Hash [2]byte         `json:"hash"`
		Any  any             `json:"any"`
		Free map[string]*int `json:"free"`
		Real float64         `json:"a/b"`
		Bad  *big.Float      `json:"bad"`
	}
	type outer struct {
		In []inner `json:"in"`
	}
	var codec JSON
	for _, tt := range []struct {
		document string
		want     Fault
	}{
		{`{"in":[{},{"when":"2026-01-02t15:04:05z"}]}`, Fault{"/in/1/when", string(errTimestamp)}},
		{`{"in":[{"when":7}]}`, Fault{"/in/0/when", "must be a string"}},
		{`{"in":[{"wait":"1h"}]}`, Fault{"/in/0/wait", string(errDuration)}},
		{`{"in":[{"wait":"PT2562048H"}]}`, Fault{"/in/0/wait", "is out of range"}},
		{`{"in":[{"big":"+1"}]}`, Fault{"/in/0/big", string(errInteger)}},
		{`{"in":[{"big":"` + strings.Repeat("9", maxDigits+1) + `"}]}`, Fault{"/in/0/big", string(errDigits)}},
		{`{"in":[{"rat":"1/0"}]}`, Fault{"/in/0/rat", string(errRatio)}},
		{`{"in":[{"n":128}]}`, Fault{"/in/0/n", "is out of range"}},
		{`{"in":[{"n":1.5}]}`, Fault{"/in/0/n", "is not in the written form of its type"}},
		{`{"in":[{"n":"1"}]}`, Fault{"/in/0/n", "must not be a string here"}},
		{`{"in":[{"n":true}]}`, Fault{"/in/0/n", "must not be a boolean here"}},
		{`{"in":[{"n":[]}]}`, Fault{"/in/0/n", "must not be an array here"}},
		{`{"in":[{"n":{}}]}`, Fault{"/in/0/n", "must not be an object here"}},
		{`{"in":[{"mark":"ij"}]}`, Fault{"/in/0/mark", "can't be decoded: levels are made of the letter i"}},
		{`{"in":[{"hash":"AQ=="}]}`, Fault{"/in/0/hash", "can't be decoded: decoded length of 1 mismatches array length of 2"}},
		{`{"in":[{"any":1e999}]}`, Fault{"/in/0/any", "is out of range"}},
		{`{"in":[{"free":{"x~y":"z"}}]}`, Fault{"/in/0/free/x~0y", "must not be a string here"}},
		{`{"in":[{"a/b":1e999}]}`, Fault{"/in/0/a~1b", "is out of range"}},
		{`{"in":[{"bad":"1"}]}`, Fault{"/in/0/bad", string(errFloat)}},
		{`{"in":[{"n":1,"n":2}]}`, Fault{"/in/0/n", messageDuplicate}},
		{`{"in":[{"any":{"x":1,"x":2}}]}`, Fault{"/in/0/any/x", messageDuplicate}},
		{`{"in":[{"rat":"` + strings.Repeat("9", maxDigits+1) + `"}]}`, Fault{"/in/0/rat", string(errDigits)}},
		{`{"in":[{"mark":5}]}`, Fault{"/in/0/mark", "must be a string"}},
		{`{"in":[{"free":{"` + strings.Repeat("x", maxPath) + `":"z"}}]}`, Fault{"/in/0/free", "must not be a string here"}},
		{`{"in":5}`, Fault{"/in", "must not be a number here"}},
	} {
		t.Run(tt.document[:min(len(tt.document), 40)], func(t *testing.T) {
			t.Parallel()
			var v outer
			require.Equal(t, []Fault{tt.want}, DecodeFaults(codec.Unmarshal([]byte(tt.document), &v)))
		})
	}
	require.Nil(t, DecodeFaults(nil))

	var v outer
	faults := DecodeFaults(codec.Unmarshal([]byte(`{"in":[}`), &v))
	require.Len(t, faults, 1)
	require.Empty(t, faults[0].Path)
	require.Contains(t, faults[0].Message, "is not valid JSON")

	t.Run("encoding/json", func(t *testing.T) {
		t.Parallel()
		var v struct {
			A struct {
				B int `json:"b"`
			} `json:"a"`
		}
		require.Equal(t, []Fault{{"/a/b", "must not be a JSON string here"}}, DecodeFaults(stdjson.Unmarshal([]byte(`{"a":{"b":"x"}}`), &v)))
		faults := DecodeFaults(stdjson.Unmarshal([]byte(`{"a":}`), &v))
		require.Len(t, faults, 1)
		require.Contains(t, faults[0].Message, "is not valid JSON")
	})

	t.Run("another codec", func(t *testing.T) {
		t.Parallel()
		faults := DecodeFaults(errors.New(strings.Repeat("ß", 1000) + "\xff"))
		require.Len(t, faults, 1)
		require.LessOrEqual(t, len(faults[0].Message), 300)
	})
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	type target struct {
		Name  string             `json:"name"`
		Wait  time.Duration      `json:"wait"`
		Money shopspring.Decimal `json:"money"`
		At    *time.Time         `json:"at"`
	}
	var codec JSON
	t.Run("unknown members are ignored", func(t *testing.T) {
		t.Parallel()
		var v target
		require.NoError(t, codec.Unmarshal([]byte(`{"other":{"x":[1]},"name":"a"}`), &v))
		require.Equal(t, target{Name: "a"}, v)
	})
	t.Run("names are told apart by case", func(t *testing.T) {
		t.Parallel()
		var v target
		require.NoError(t, codec.Unmarshal([]byte(`{"NAME":"a"}`), &v))
		require.Empty(t, v.Name)
	})
	t.Run("null is the zero value", func(t *testing.T) {
		t.Parallel()
		v := target{Wait: 5, Money: shopspring.New(1, 1), At: new(time.Time)}
		require.NoError(t, codec.Unmarshal([]byte(`{"wait":null,"money":null,"at":null}`), &v))
		require.Equal(t, target{}, v)
	})
	t.Run("escapes in written forms", func(t *testing.T) {
		t.Parallel()
		var v target
		require.NoError(t, codec.Unmarshal([]byte(`{"wait":"\u0050T1\u0053"}`), &v))
		require.Equal(t, time.Second, v.Wait)
	})
	t.Run("a decimal is a string and no number", func(t *testing.T) {
		t.Parallel()
		var v target
		require.Equal(t, []Fault{{"/money", "must be a string"}}, DecodeFaults(codec.Unmarshal([]byte(`{"money":1.5}`), &v)))
	})
	for _, document := range []string{`{"name":"a","name":"b"}`, "{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"x":{"y":1,"y":1}}`} {
		var v target
		require.Error(t, codec.Unmarshal([]byte(document), &v), document)
	}
}
