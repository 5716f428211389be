package curvezmq

import (
	"fmt"
	"io"

	"github.com/mdpmesh/mesh/transport/curve"
)

// Keys are those of package curve in transport.
type (
	Key       = curve.Key
	SecretKey = curve.SecretKey
	keyPair   = curve.KeyPair
)

// KeySize is the size of a key in bytes.
const KeySize = curve.KeySize

func newKeyPair(rand io.Reader) (keyPair, error) { return curve.Generate(rand) }

func random(rand io.Reader, b []byte) error {
	if _, err := io.ReadFull(rand, b); err != nil {
		return fmt.Errorf("curve: no randomness: %w", err)
	}
	return nil
}
