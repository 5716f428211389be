package curve

import (
	"slices"
	"strconv"
	"strings"
)

// Certificate is a peer's keys with a few words about them, in the form of CZMQ's
// zcert. Two files belong to a peer: a public one to hand out, and one with both
// keys, which by CZMQ's habit has "_secret" behind its name and must be readable
// for its owner alone (mode 0600).
type Certificate struct {
	// Metadata says what one likes: a name, an address. Nothing vouches for it.
	Metadata []Field
	// Public is the public key.
	Public Key
	// Secret is the secret key; zero if the certificate is a public one.
	Secret SecretKey
}

// Field is one entry of a certificate's metadata. A name consists of ASCII letters,
// digits and "$-_@.&+/", with no "/" at its ends; a value is printable, and has no
// double quotes and single quotes at once.
type Field struct{ Name, Value string }

// HasSecret reports whether the certificate has a secret key.
func (c *Certificate) HasSecret() bool { return c.Secret != SecretKey{} }

// CertificateError says why a text is no certificate. It holds nothing of the text,
// so it is safe to log.
type CertificateError struct {
	// Line is the line, counted from 1, or 0 if something is missing.
	Line int
	// Reason says what is wrong.
	Reason string
}

// Error returns the error in the form "curve: certificate: line 9: no name".
func (e *CertificateError) Error() string {
	if e.Line == 0 {
		return "curve: certificate: " + e.Reason
	}
	return "curve: certificate: line " + strconv.Itoa(e.Line) + ": " + e.Reason
}

var _ error = (*CertificateError)(nil)

// The sections and entries of a certificate.
const (
	metadataSection = "metadata"
	curveSection    = "curve"
	publicName      = "public-key"
	secretName      = "secret-key"
)

// ParseCertificate reads a certificate as CZMQ's zcert writes it, public or secret:
// text of ZPL (RFC 4) with the sections metadata and curve. Further sections are
// passed over. It fails with a [*CertificateError] on what isn't ZPL, entries that
// come twice, unknown ones in the section curve, keys that are none, no public key,
// and a secret key that it doesn't belong to.
func ParseCertificate(text []byte) (Certificate, error) {
	lines, err := parseZPL(string(text))
	if err != nil {
		return Certificate{}, err
	}
	var c Certificate
	var section string
	for _, l := range lines {
		if l.level == 0 {
			section = l.name
			continue
		}
		var reason string
		switch {
		case section == curveSection && l.level > 1:
			reason = "the section curve has entries of one level"
		case section == curveSection:
			reason = c.setKey(l)
		case section == metadataSection && l.level == 1:
			reason = c.addField(l)
		}
		if reason != "" {
			return Certificate{}, &CertificateError{l.number, reason}
		}
	}
	if c.Public == (Key{}) {
		return Certificate{}, &CertificateError{0, "no public-key in a section curve"}
	}
	if c.HasSecret() && c.Secret.Public() != c.Public {
		return Certificate{}, &CertificateError{0, "the public key does not belong to the secret key"}
	}
	return c, nil
}

// setKey takes an entry of the section curve. It returns what is wrong with it, or
// nothing.
func (c *Certificate) setKey(l zplLine) string {
	var err error
	switch {
	case l.name == publicName && c.Public != Key{}, l.name == secretName && c.HasSecret():
		return l.name + " comes twice"
	case l.name == publicName:
		c.Public, err = ParseKey(l.value)
	case l.name == secretName:
		c.Secret, err = ParseSecretKey(l.value)
	default:
		// The name isn't shown: it may be a key that lost its own.
		return "the section curve has public-key and secret-key, and nothing else"
	}
	if err == nil {
		return ""
	}
	reason := strings.TrimPrefix(err.Error(), "curve: ")
	if !l.quoted {
		reason += "; write it in quotes, because # begins a comment"
	}
	return reason
}

// addField takes an entry of the section metadata. It returns what is wrong with
// it, or nothing.
func (c *Certificate) addField(l zplLine) string {
	for _, f := range c.Metadata {
		if f.Name == l.name {
			return "an entry of metadata comes twice"
		}
	}
	c.Metadata = append(c.Metadata, Field{l.name, l.value})
	return ""
}

const publicComment = `#   Public certificate for ZeroMQ CURVE.
#   Hand it out in a way that nobody can change it on.

`

const secretComment = `#   SECRET certificate for ZeroMQ CURVE.
#   Give it to nobody, and let nobody but its owner read it.

`

// AppendPublic appends the text of the public certificate to dst and returns it;
// CZMQ's zcert reads it. It fails if the metadata can't be written.
func (c *Certificate) AppendPublic(dst []byte) ([]byte, error) {
	return c.append(dst, publicComment)
}

// AppendSecret appends the text of the secret certificate, which has both keys, to
// dst and returns it; CZMQ's zcert reads it. It fails if there is no secret key, or
// the metadata can't be written.
func (c *Certificate) AppendSecret(dst []byte) ([]byte, error) {
	if !c.HasSecret() {
		return dst, &CertificateError{0, "no secret key"}
	}
	out, err := c.append(dst, secretComment)
	if err != nil {
		return dst, err
	}
	return appendZPL(out, 1, secretName, '"', c.Secret.Z85()), nil
}

func (c *Certificate) append(dst []byte, comment string) ([]byte, error) {
	out := slices.Concat(dst, []byte(comment), []byte(metadataSection+"\n"))
	for _, f := range c.Metadata {
		if !zplName(f.Name) {
			return dst, &CertificateError{0, "metadata: a name of other characters than letters, digits and $-_@.&+/"}
		}
		quote, ok := zplQuote(f.Value)
		if !ok {
			return dst, &CertificateError{0, "metadata: the value of " + f.Name + " is not printable, or has both kinds of quotes"}
		}
		out = appendZPL(out, 1, f.Name, quote, f.Value)
	}
	out = append(out, curveSection+"\n"...)
	return appendZPL(out, 1, publicName, '"', c.Public.String()), nil
}
