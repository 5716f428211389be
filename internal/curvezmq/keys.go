package curvezmq

import (
	"fmt"
	"io"

	"github.com/mdpmesh/mesh/transport/curve"
)

// Key is a public key of package curve.
type Key = curve.Key

// SecretKey is a secret key of package curve.
type SecretKey = curve.SecretKey

type keyPair = curve.KeyPair

// KeySize is the size of a key in bytes.
const KeySize = curve.KeySize

func newKeyPair(rand io.Reader) (keyPair, error) { return curve.Generate(rand) }

func random(rand io.Reader, b []byte) error {
	if _, err := io.ReadFull(rand, b); err != nil {
		return fmt.Errorf("curve: no randomness: %w", err)
	}
	return nil
}
