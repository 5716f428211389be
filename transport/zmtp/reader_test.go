package zmtp

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// bring has the reader read as much of b as it has room for, and returns how much.
func bring(r *reader, b []byte) int {
	first, next := r.buffer()
	n := copy(first, b)
	n += copy(next, b[n:])
	if n == 0 {
		panic("no room to read to") // a read of nothing would look like the end
	}
	r.took(n)
	return n
}

// One read brings the rest of a large frame and the header of what comes behind it.
func TestReaderReadsOn(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	r := reader{cfg: &cfg}
	defer r.stop()
	large := strings.Repeat("x", 4*ownBelow)
	all := slices.Repeat(message("head", large, "tail"), 10)
	reads, got := 0, 0
	for len(all) > 0 {
		all = all[bring(&r, all):]
		reads++
		batch, err := r.cut()
		require.NoError(t, err)
		for _, m := range batch {
			got++
			require.Equal(t, transport.Message{[]byte("head"), []byte(large), []byte("tail")}, m)
		}
	}
	require.Equal(t, 10, got)
	require.LessOrEqual(t, reads, 13, "one for each, and some to find out how large they are")
}

// A reader that waits goes on in the chunk that it has, and gives a large one up when
// that takes long.
func TestReaderKeepsItsChunkForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}.withDefaults()
		r := reader{cfg: &cfg, size: maxChunk}
		defer r.stop()
		read := func(b []byte, complete int) (chunk *byte) {
			r.resume()
			bring(&r, b)
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
