package curve_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/curve"
)

func FuzzZ85(f *testing.F) {
	f.Add("HelloWorld")
	f.Add("#####")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := curve.DecodeZ85(text)
		requireSafe(t, err)
		if err == nil {
			again, err := curve.EncodeZ85(b)
			require.NoError(t, err)
			require.Equal(t, text, again)
		}
		key, err := curve.ParseKey(text)
		requireSafe(t, err)
		if err == nil {
			require.Equal(t, text, key.String())
		}
		if len(text)%4 == 0 {
			again, err := curve.EncodeZ85([]byte(text))
			require.NoError(t, err)
			b, err := curve.DecodeZ85(again)
			require.NoError(t, err)
			require.Equal(t, text, string(b))
		}
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add(read(f, "czmq.cert"))
	f.Add(read(f, "czmq.cert_secret"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := curve.ParseCertificate(text)
		requireSafe(t, err)
		if err != nil {
			return
		}
		written, err := c.AppendPublic(nil)
		requireSafe(t, err)
		if err != nil {
			return // a value can hold what can't be written
		}
		again, err := curve.ParseCertificate(written)
		require.NoError(t, err)
		require.Equal(t, c.Public, again.Public)
		require.Equal(t, c.Metadata, again.Metadata)
	})
}

// requireSafe checks that an error can stand in a log.
func requireSafe(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }), "%q", err.Error())
	}
}
