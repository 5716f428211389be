package contract

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var drawNumber = rapid.Custom(func(t *rapid.T) string {
	return rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})([.][0-9]{1,4})?([eE][+-]?[0-9]{1,2})?`),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})([.]0{0,3}[0-9])?`),
		rapid.StringMatching(`-?[0-9](0|[.]){0,4}0?(e-?0*[0-9]{1,3})?`),
		rapid.Custom(func(t *rapid.T) string { return strconv.FormatFloat(rapid.Float64().Draw(t, "float"), 'g', -1, 64) }),
	).Filter(func(s string) bool { return isNumber([]byte(s)) }).Draw(t, "number")
})

func TestCompare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawNumber.Draw(t, "a"), drawNumber.Draw(t, "b")
		x, ok := new(big.Rat).SetString(a)
		require.True(t, ok)
		y, ok := new(big.Rat).SetString(b)
		require.True(t, ok)
		require.Equal(t, x.Cmp(y), parseDecimal([]byte(a)).compare(parseDecimal([]byte(b))), "%s and %s", a, b)
		require.Equal(t, x.IsInt(), parseDecimal([]byte(a)).integral(), a)
		for _, bits := range []int{32, 64} {
			_, err := strconv.ParseFloat(a, bits)
			require.Equal(t, err == nil, finite([]byte(a), bits), "%s in %d bits", a, bits)
		}
	})
}

func TestCompareExtremes(t *testing.T) {
	t.Parallel()
	rising := []string{
		"-1e99999999999999", "-1e999", "-18446744073709551616", "-1.5", "-1", "-0.1000000000000000000001", "-1e-1", "-1e-99999999999999",
		"0", "1e-99999999999999", "0.000000000000000000000000000001", "0.1", "0.3", "0.30000000000000000001", "1", "9.99", "10",
		"9007199254740993", "9007199254740993.5", "1e16", "179769313486231570814527423731704356798070e267", "1e9999999999999", "1e99999999999999",
	}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, parseDecimal([]byte(a)).compare(parseDecimal([]byte(b))), "%s and %s", a, b)
		}
	}
	for _, same := range [][2]string{{"0", "-0.00e5"}, {"1", "1.000"}, {"100", "1e2"}, {"0.01", "1E-2"}, {"12.5e1", "125"}, {"1e999", "10e998"}} {
		require.Zero(t, parseDecimal([]byte(same[0])).compare(parseDecimal([]byte(same[1]))), same)
	}
}

func TestIsNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[-+.eE01 x]{0,6}`), drawNumber).Draw(t, "text")
		v := jsontext.Value(text)
		want := v.IsValid() && v.Kind() == '0' && text == strings.TrimSpace(text)
		require.Equal(t, want, isNumber([]byte(text)), "%q", text)
	})
}
