package contract

import (
	"encoding/base64"
	"math"
	"math/big"
	"regexp"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// stockFormat is what the library means by a format, where this package means
// something of its own.
func stockFormat(t testing.TB, name string) func(string) bool {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource(location, map[string]any{"format": name}))
	s, err := c.Compile(location)
	require.NoError(t, err)
	return func(text string) bool { return s.Format.Validate(text) == nil }
}

func TestUUID(t *testing.T) {
	t.Parallel()
	stock := stockFormat(t, "uuid")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9a-gA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{3,4}-?[0-9A-F]{12}`).Draw(t, "text")
		require.Equal(t, stock(text), isUUID([]byte(text)), text)
	})
}

// TestTimestamp holds isTimestamp to the library, which takes lower case and leap
// seconds too, and to package time.
func TestTimestamp(t *testing.T) {
	t.Parallel()
	stock := stockFormat(t, "date-time")
	beyond := regexp.MustCompile(`[tz]|:60`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[012][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{0,10})?([Zz]|[-+][0-2][0-9]:[0-6][0-9])`),
			rapid.StringMatching(`(2023|2024|1900|2000)-(02|04|12)-(28|29|30|31)T2[34]:(59|60):(59|60)([.][0-9]{1,3})?([Z]|[-+]2[34]:(59|60))`),
			rapid.StringMatching(`2024-1-2T1:2:3Z?`),
		).Draw(t, "text")
		is := isTimestamp([]byte(text))
		if !beyond.MatchString(text) {
			require.Equal(t, stock(text), is, text)
		}
		at, err := parseTimestamp([]byte(text))
		require.Equal(t, is, err == nil, text)
		if is {
			want, err := time.Parse(time.RFC3339Nano, text)
			require.NoError(t, err, text)
			require.True(t, want.Equal(at))
		}
	})
}

// TestDurationText holds the format to the library, which knows neither sign nor
// fractions, and to json/v2's reading of ISO 8601.
func TestDurationText(t *testing.T) {
	t.Parallel()
	stock := stockFormat(t, "duration")
	pattern := regexp.MustCompile(patternDuration)
	type reference struct {
		D time.Duration `json:",format:iso8601"`
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[-+]?P?([0-9]Y)?([0-9]{2}M)?([0-9]W)?([0-9]D)?T?([0-9]{0,7}H)?([0-9]{1,3}M)?([0-9]{1,2}([.,][0-9]{0,10})?S)?`),
			rapid.StringMatching(`-?PT(2562047H)?47M16[.]8547758(07|08|09)S`),
			rapid.StringMatching(`-?P([0-9]{1,2}[YMWDTHS]){0,4}`),
			rapid.StringMatching(`-?PT[0-9]{15,20}[HMS]`),
		).Draw(t, "text")
		b := []byte(text)
		clock := isClockDuration(b)
		require.Equal(t, clock, pattern.Match(b) && isDuration(b), text)
		require.Equal(t, stock(text), isCalendarDuration(b), text)

		got, err := parseDuration(b)
		if !clock {
			require.ErrorIs(t, err, errDuration, text)
			return
		}
		var want reference
		fails := jsonv2.Unmarshal([]byte(`{"D":"`+text+`"}`), &want, jsonv2.ExperimentalSupportFormatTag(true))
		require.Equal(t, fails == nil, err == nil, "%s: %v, %v", text, fails, err)
		require.Equal(t, want.D, got, text)
	})
}

func TestDurationRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MinInt64, math.MaxInt64})).Draw(t, "nanos"))
		text := appendDuration(nil, want)
		got, err := parseDuration(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, want, got, "%s", text)
		require.True(t, isDuration(text), "%s", text)
	})
}

func TestBase64(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`([A-Za-z0-9+/]{4}){0,3}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?`),
			rapid.StringMatching(`[A=\n_-]{0,8}`),
		).Draw(t, "text")
		b, err := base64.StdEncoding.DecodeString(text)
		want := err == nil && len(text) == base64.StdEncoding.EncodedLen(len(b)) // not so with line breaks
		require.Equal(t, want, isBase64([]byte(text)), "%q", text)
	})
}

// TestKnownPatterns holds the hand-written tests to the patterns that they stand
// for.
func TestKnownPatterns(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{patternInteger, patternUnsigned, patternRatio, patternNumber} {
		known, message := knownPattern(pattern, "")
		require.NotEmpty(t, message)
		expression := regexp.MustCompile(pattern)
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.StringMatching(`[-+0-9./eE\n]{0,6}`).Draw(t, "text")
			require.Equal(t, expression.MatchString(text), known([]byte(text)), "%q by %s", text, pattern)
		})
	}
	known, _ := knownPattern(patternDuration, "")
	require.Nil(t, known, "without the format the pattern says something else")
}

func TestIntegerFormats(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"} {
		low, high := integerRange(name)
		bottom, _ := new(big.Int).SetString(low, 10)
		top, _ := new(big.Int).SetString(high, 10)
		f, ok := formatOf(name)
		require.True(t, ok)
		one := big.NewInt(1)
		for n, want := range map[*big.Int]bool{
			bottom: true, top: true, new(big.Int).Sub(bottom, one): false, new(big.Int).Add(top, one): false,
		} {
			require.Equal(t, want, f.number([]byte(n.String())), "%s as %s", n, name)
			require.Equal(t, want, f.text([]byte(n.String())), "%s as %s", n, name)
		}
		for _, text := range []string{"1.0", "1e0", "0.5"} {
			require.False(t, f.number([]byte(text)), "%s as %s", text, name)
		}
		require.Equal(t, low != "0", f.number([]byte("-0")), name)
	}
}
