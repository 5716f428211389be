package curvezmq

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/secretbox"
)

// The cipher makes the same boxes as secretbox, and opens the same.
func TestCipherIsSecretbox(t *testing.T) {
	t.Parallel()
	var key sharedKey
	_, _ = rand.Read(key[:])
	c := newCipher(&key, clientPrefix)
	content := make([]byte, 70_000)
	_, _ = rand.Read(content)
	for _, size := range []int{0, 1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 255, 256, 257, 4095, 4096, 70_000} {
		for _, number := range []uint64{1, 2, 255, 256, 1 << 40, 1<<64 - 1} {
			want := secretbox.Seal(nil, content[:size], (*[24]byte)(shortNonceOf(clientPrefix, number)), (*[32]byte)(&key))
			got := append(make([]byte, tagSize), content[:size]...)
			c.seal(got, number)
			require.Equal(t, want, got, "%d bytes, number %d", size, number)
			opened := make([]byte, size)
			require.True(t, c.open(opened, got, number))
			require.Equal(t, content[:size], opened)
			require.False(t, c.open(opened, got, number-1))
			got[len(got)-1] ^= 1
			require.False(t, c.open(opened, got, number))
		}
	}
}
