package curve

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
)

const (
	// KeySize is the size of a key in bytes.
	KeySize = 32
	// KeyTextSize is the length of a key's text in Z85.
	KeyTextSize = 40
)

// Key is a public key, of a peer for good or of one connection. It is what a peer
// is known by.
type Key [KeySize]byte

// ParseKey reads a public key from its 40 characters of Z85 (RFC 32). It fails if
// there are more or fewer, white space included, one isn't of the alphabet, or the
// key is one that no secret key has.
func ParseKey(text string) (Key, error) {
	b, err := decodeKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("curve: public key: %w", err)
	}
	key := Key(b)
	if !key.Canonical() {
		return Key{}, errors.New("curve: public key: the highest bit is set, so no secret key has it")
	}
	return key, nil
}

// String returns the 40 characters of the key in Z85.
func (k Key) String() string { return string(appendZ85(nil, k[:])) }

// Canonical says that the bit that Curve25519 ignores is zero, as it is in all keys
// that are made. Otherwise a peer could show the same key with other bytes, and
// slip past a list of keys.
func (k Key) Canonical() bool { return k[KeySize-1]&0x80 == 0 }

// SecretKey is a secret key. It shows itself to no verb of fmt and no encoder:
// whoever wants its text asks for [SecretKey.Z85].
type SecretKey [KeySize]byte

// ParseSecretKey reads a secret key from its 40 characters of Z85 (RFC 32). It
// fails where [ParseKey] does; the error shows nothing of the text.
func ParseSecretKey(text string) (SecretKey, error) {
	b, err := decodeKey(text)
	if err != nil {
		return SecretKey{}, fmt.Errorf("curve: secret key: %w", err)
	}
	return SecretKey(b), nil
}

// Public returns the public key that belongs to the secret one.
func (k SecretKey) Public() Key {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic("curve: " + err.Error()) // any 32 bytes are a key
	}
	return Key(private.PublicKey().Bytes())
}

// Z85 returns the 40 characters of the key, for the place where it is kept.
func (k SecretKey) Z85() string { return string(appendZ85(nil, k[:])) }

const hidden = "curve.SecretKey(hidden)"

// String returns a text without the key.
func (SecretKey) String() string { return hidden }

// Format writes a text without the key, whatever the verb.
func (SecretKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText fails, so that no encoder writes the key by accident.
func (SecretKey) MarshalText() ([]byte, error) {
	return nil, errors.New("curve: a secret key is not for encoders; see SecretKey.Z85")
}

// KeyPair is the two keys of one end.
type KeyPair struct {
	Public Key
	Secret SecretKey
}

// Generate returns a new pair of keys made of 32 bytes from rand, which is
// crypto/rand.Reader outside of tests. It fails only if rand does.
func Generate(rand io.Reader) (KeyPair, error) {
	// ecdh would take the system's randomness in place of rand, and tests need the
	// same keys each time.
	var pair KeyPair
	if _, err := io.ReadFull(rand, pair.Secret[:]); err != nil {
		return KeyPair{}, fmt.Errorf("curve: no randomness: %w", err)
	}
	pair.Public = pair.Secret.Public()
	return pair, nil
}

// Check says what is wrong with a pair: one key is missing, or the two don't belong
// together.
func (p *KeyPair) Check() error {
	if p.Secret == (SecretKey{}) {
		return errors.New("curve: no secret key")
	}
	if p.Secret.Public() != p.Public {
		return errors.New("curve: the public key does not belong to the secret key")
	}
	return nil
}
