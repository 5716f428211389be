package zmtp

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A reader that waits goes on in the chunk that it has, and gives a large one up when
// that takes long.
func TestReaderKeepsItsChunkForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}.withDefaults()
		r := reader{cfg: &cfg, size: maxChunk}
		defer r.stop()
		read := func(b []byte, complete int) (chunk *byte) {
			r.resume()
			r.took(copy(r.buffer(), b))
			batch, err := r.cut()
			require.NoError(t, err)
			require.Len(t, batch, complete)
			chunk = &r.chunk[0]
			r.wait()
			return chunk
		}
		whole := message("a", "b")
		first := read(whole, 1)
		<-time.After(keepChunk / 2)
		require.Same(t, first, read(whole, 1))
		<-time.After(keepChunk)
		second := read(whole, 1)
		require.NotSame(t, first, second)
		read(whole[:2], 0)
		<-time.After(2 * keepChunk)
		require.Same(t, second, read(whole[2:], 1), "it had part of a message")
	})
}
