package curve_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/curve"
)

// RFC 32, Test Case.
func TestZ85OfTheSpecification(t *testing.T) {
	t.Parallel()
	b := []byte{0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B}
	text, err := curve.EncodeZ85(b)
	require.NoError(t, err)
	require.Equal(t, "HelloWorld", text)
	got, err := curve.DecodeZ85("HelloWorld")
	require.NoError(t, err)
	require.Equal(t, b, got)
}

// The keys of the manual of libzmq, zmq_curve(7).
func TestKeysOfLibzmq(t *testing.T) {
	t.Parallel()
	for public, secret := range map[string]string{
		"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID": "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs",
		"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7": "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
	} {
		key, err := curve.ParseKey(public)
		require.NoError(t, err)
		require.Equal(t, public, key.String())
		own, err := curve.ParseSecretKey(secret)
		require.NoError(t, err)
		require.Equal(t, secret, own.Z85())
		require.Equal(t, key, own.Public())
	}
}

func TestBadZ85(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Hello World": "curve: Z85: 11 characters, which is not a multiple of 5",
		"Hell":        "curve: Z85: 4 characters, which is not a multiple of 5",
		"HelloWor,d":  "curve: Z85: character 9 is not of Z85",
		"Hello\"orld": "curve: Z85: character 6 is not of Z85",
		"Wörld":       "curve: Z85: 6 characters, which is not a multiple of 5",
		"00000#####":  "curve: Z85: characters 6 to 10 are more than 32 bits hold",
		"%nSc1":       "curve: Z85: characters 1 to 5 are more than 32 bits hold", // 2^32
	} {
		_, err := curve.DecodeZ85(text)
		require.EqualError(t, err, want)
	}
	b, err := curve.DecodeZ85("%nSc0") // 2^32-1
	require.NoError(t, err)
	require.Equal(t, []byte{255, 255, 255, 255}, b)
	b, err = curve.DecodeZ85("")
	require.NoError(t, err)
	require.Empty(t, b)
	_, err = curve.EncodeZ85(make([]byte, 31))
	require.EqualError(t, err, "curve: Z85: 31 bytes, which is not a multiple of 4")
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	key := seeded("a").Public
	high := key
	high[31] |= 0x80
	for text, want := range map[string]string{
		"":                      "0 characters, want 40",
		key.String() + "\n":     "41 characters, want 40",
		key.String()[:35]:       "35 characters, want 40",
		key.String()[:39] + "~": "character 40 is not of Z85",
		strings.Repeat("0", 40): "all zero, which is no key",
		strings.Repeat("#", 40): "characters 1 to 5 are more than 32 bits hold",
	} {
		_, err := curve.ParseKey(text)
		require.EqualError(t, err, "curve: public key: "+want)
		_, err = curve.ParseSecretKey(text)
		require.EqualError(t, err, "curve: secret key: "+want)
	}
	_, err := curve.ParseKey(high.String())
	require.EqualError(t, err, "curve: public key: the highest bit is set, so no secret key has it")
}

// Nothing but Z85 shows a secret key.
func TestSecretKeysAreHidden(t *testing.T) {
	t.Parallel()
	secret := seeded("a").Secret
	shown := []string{secret.Z85(), fmt.Sprintf("%x", secret[:]), fmt.Sprintf("%X", secret[:]), fmt.Sprint([32]byte(secret)), string(secret[:])}
	requireHidden := func(text string) {
		t.Helper()
		for _, s := range shown {
			require.NotContains(t, text, s)
			require.NotContains(t, text, strings.Trim(s[:12], "[]"))
		}
	}
	type config struct {
		Name string
		Key  curve.SecretKey
	}
	for _, v := range []any{secret, &secret, config{"a", secret}, &config{"a", secret}, []curve.SecretKey{secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			requireHidden(fmt.Sprintf(verb, v))
		}
		b, err := json.Marshal(v)
		require.Error(t, err)
		require.Empty(t, b)
		requireHidden(err.Error())
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("test", "key", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("test", "key", v)
		requireHidden(log.String())
	}
	// A text that is almost the key is not shown either.
	for _, text := range []string{secret.Z85() + " ", secret.Z85()[:39], secret.Z85()[:39] + "~"} {
		_, err := curve.ParseSecretKey(text)
		require.Error(t, err)
		requireHidden(err.Error())
	}
}

func TestGenerateKeyPair(t *testing.T) {
	t.Parallel()
	a, b := seeded("a"), seeded("b")
	require.NotEqual(t, a, b)
	require.Equal(t, a, seeded("a"))
	require.Equal(t, a.Public, a.Secret.Public())
}

// seeded returns keys that are the same each time.
func seeded(seed string) curve.KeyPair {
	random := sha256.Sum256([]byte(seed))
	p, err := curve.Generate(bytes.NewReader(random[:]))
	if err != nil {
		panic(err)
	}
	return p
}
