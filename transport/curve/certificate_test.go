package curve_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/curve"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

// The files are as CZMQ 4.2.1 wrote them.
func TestCertificateOfCZMQ(t *testing.T) {
	t.Parallel()
	public, err := curve.ParseCertificate(read(t, "czmq.cert"))
	require.NoError(t, err)
	require.False(t, public.HasSecret())
	require.ElementsMatch(t, []curve.Field{{Name: "name", Value: "Ada L # x"}, {Name: "empty"}, {Name: "email", Value: "ada@example.com"}}, public.Metadata)

	secret, err := curve.ParseCertificate(read(t, "czmq.cert_secret"))
	require.NoError(t, err)
	require.True(t, secret.HasSecret())
	require.Equal(t, public.Public, secret.Public)
	require.Equal(t, public.Public, secret.Secret.Public())
	require.Equal(t, public.Metadata, secret.Metadata)

	// All but the comments is the same byte for byte.
	text, err := secret.AppendSecret(nil)
	require.NoError(t, err)
	require.Equal(t, withoutComments(read(t, "czmq.cert_secret")), withoutComments(text))
	text, err = secret.AppendPublic([]byte("kept"))
	require.NoError(t, err)
	require.Equal(t, "kept", string(text[:4]))
	require.Equal(t, withoutComments(read(t, "czmq.cert")), withoutComments(text[4:]))
	require.NotContains(t, string(text), "secret-key")
}

func withoutComments(text []byte) string {
	_, rest, _ := strings.Cut(string(text), "\n\n")
	return rest
}

func TestCertificateRoundTrip(t *testing.T) {
	t.Parallel()
	p := seeded("a")
	want := curve.Certificate{
		Metadata: []curve.Field{{"name", "Thé # 1"}, {"quote", `say "tea"`}, {"apostrophe", "ada's"}, {"$a/b", ""}, {"spaces", "  a  "}},
		Public:   p.Public,
		Secret:   p.Secret,
	}
	text, err := want.AppendSecret(nil)
	require.NoError(t, err)
	got, err := curve.ParseCertificate(text)
	require.NoError(t, err)
	require.Equal(t, want, got)

	text, err = want.AppendPublic(nil)
	require.NoError(t, err)
	got, err = curve.ParseCertificate(text)
	require.NoError(t, err)
	want.Secret = curve.SecretKey{}
	require.Equal(t, want, got)
	_, err = want.AppendSecret(nil)
	require.EqualError(t, err, "curve: certificate: no secret key")
}

func TestMetadataThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	p := seeded("a")
	for _, f := range []curve.Field{{"", "a"}, {"a b", "a"}, {"/a", "a"}, {"a/", "a"}, {"ä", "a"}, {"a", "two\nlines"}, {"a", "\x00"}, {"a", "\xff"}, {"a", `"'`}} {
		c := curve.Certificate{Metadata: []curve.Field{f}, Public: p.Public, Secret: p.Secret}
		dst, err := c.AppendPublic([]byte("kept"))
		require.Error(t, err, f)
		require.Equal(t, "kept", string(dst))
		dst, err = c.AppendSecret([]byte("kept"))
		require.Error(t, err, f)
		require.Equal(t, "kept", string(dst))
	}
}

func TestParseCertificate(t *testing.T) {
	t.Parallel()
	p, other := seeded("a"), seeded("b")
	public, secret := p.Public.String(), p.Secret.Z85()
	curveSection := "curve\n    public-key = \"" + public + "\"\n"
	for name, tt := range map[string]struct{ text, want string }{
		"public":                    {curveSection, ""},
		"secret":                    {curveSection + "    secret-key = '" + secret + "'  # mine\n", ""},
		"line ends of Windows":      {strings.ReplaceAll(curveSection, "\n", "\r\n"), ""},
		"line ends of old Macs":     {strings.ReplaceAll(curveSection, "\n", "\r"), ""},
		"no last line end":          {strings.TrimSpace(curveSection), ""},
		"other sections":            {"shop\n    tea = green\n        hot\nversion = 1\n" + curveSection, ""},
		"unquoted metadata":         {"metadata\n    name = Ada Lovelace # who else\n    bare\n    deep\n        er = 1\n" + curveSection, ""},
		"empty":                     {"", "curve: certificate: no public-key in a section curve"},
		"no keys":                   {"metadata\n    a = b\ncurve\n", "curve: certificate: no public-key in a section curve"},
		"keys at the wrong place":   {"metadata\n    public-key = \"" + public + "\"\n", "curve: certificate: no public-key in a section curve"},
		"secret key alone":          {"curve\n    secret-key = \"" + secret + "\"\n", "curve: certificate: no public-key in a section curve"},
		"keys of two peers":         {curveSection + "    secret-key = \"" + other.Secret.Z85() + "\"\n", "curve: certificate: the public key does not belong to the secret key"},
		"public key twice":          {curveSection + curveSection, "curve: certificate: line 4: public-key comes twice"},
		"secret key twice":          {curveSection + strings.Repeat("    secret-key = \""+secret+"\"\n", 2), "curve: certificate: line 4: secret-key comes twice"},
		"metadata twice":            {"metadata\n    a = 1\n    a = 2\n", "curve: certificate: line 3: an entry of metadata comes twice"},
		"a short key":               {curveSection + "    secret-key = \"" + secret[:39] + "\"\n", "curve: certificate: line 3: secret key: 39 characters, want 40"},
		"a key of other characters": {curveSection + "    secret-key = \"" + secret[:39] + "~\"\n", "curve: certificate: line 3: secret key: character 40 is not of Z85"},
		"a key that a comment cuts": {"curve\n    public-key = abc#def\n", "curve: certificate: line 2: public key: 3 characters, want 40; write it in quotes, because # begins a comment"},
		"a null key of CZMQ":        {"curve\n    public-key = \"" + strings.Repeat("0", 40) + "\"\n", "curve: certificate: line 2: public key: all zero, which is no key"},
		"a misspelt name":           {curveSection + "    secret_key = \"" + secret + "\"\n", "curve: certificate: line 3: the section curve has public-key and secret-key, and nothing else"},
		"a key too deep":            {curveSection + "        secret-key = \"" + secret + "\"\n", "curve: certificate: line 3: the section curve has entries of one level"},
		"a key without a name":      {curveSection + "    " + "=" + secret + "\n", "curve: certificate: line 3: no name"},
		"a key as a name":           {curveSection + "    " + "abcdefg" + "\n", "curve: certificate: line 3: the section curve has public-key and secret-key, and nothing else"},
		"bad indentation":           {"curve\n  public-key = \"" + public + "\"\n", "curve: certificate: line 2: indentation is by 4 spaces a level"},
		"indentation by a tab":      {"curve\n\tpublic-key = \"" + public + "\"\n", "curve: certificate: line 2: no name"},
		"indentation by two levels": {"curve\n        public-key = \"" + public + "\"\n", "curve: certificate: line 2: indentation is by 4 spaces a level"},
		"indentation from nothing":  {"    curve\n", "curve: certificate: line 1: indentation is by 4 spaces a level"},
		"an open quote":             {"curve\n    public-key = \"" + public + "\n", "curve: certificate: line 2: a quote that doesn't end"},
		"words behind a quote":      {"metadata\n    name = \"Ada \"the\" L\"\n", "curve: certificate: line 2: something follows the value's closing quote"},
		"no equals sign":            {"curve\n    public-key \"" + public + "\"\n", "curve: certificate: line 2: = or nothing follows a name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := curve.ParseCertificate([]byte(tt.text))
			if tt.want == "" {
				require.NoError(t, err)
				require.Equal(t, p.Public, c.Public)
				return
			}
			require.EqualError(t, err, tt.want)
			var certificateErr *curve.CertificateError
			require.ErrorAs(t, err, &certificateErr)
			require.Zero(t, c)
		})
	}
}

func TestParseCertificateTakesUnquotedMetadata(t *testing.T) {
	t.Parallel()
	c, err := curve.ParseCertificate([]byte("metadata\n    name = Ada Lovelace  # who else\n    bare\n    deep\n        er = 1\ncurve\n    public-key = \"" +
		seeded("a").Public.String() + "\"\n"))
	require.NoError(t, err)
	require.Equal(t, []curve.Field{{"name", "Ada Lovelace"}, {"bare", ""}, {"deep", ""}}, c.Metadata)
}
