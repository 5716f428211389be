package zmtp

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport"
)

// A reader that has delivered a message has no hold of it any more, and neither have
// the messages that came before and after it.
func TestReaderForgets(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	large := string(make([]byte, 1<<20))
	for name, frames := range map[string][]string{
		"one frame":                   {large},
		"among small ones":            {"a", large, "b"},
		"more than there is room for": slices.Concat([]string{"a", large}, make([]string, frameChunk)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reader{cfg: &cfg}
			defer r.stop()
			read := func(b []byte) (m transport.Message) {
				for len(b) > 0 {
					b = b[bring(&r, b):]
					batch, err := r.cut()
					require.NoError(t, err)
					if len(batch) > 0 {
						m = batch[0]
					}
					clear(batch)
				}
				return m
			}
			before := read(message("before"))
			body := weak.Make(&largest(read(message(frames...)))[0])
			after := read(message("after"))
			runtime.GC()
			require.Nil(t, body.Value())
			require.Equal(t, "before after", string(before[0])+" "+string(after[0]))
			runtime.KeepAlive(&r)
		})
	}
}

func largest(m transport.Message) []byte {
	return slices.MaxFunc(m, func(a, b []byte) int { return len(a) - len(b) })
}

// Messages that share a slice have no more bytes than a chunk: who keeps one keeps few
// others.
func TestReaderCutsSlices(t *testing.T) {
	t.Parallel()
	const size = maxChunk / 16
	cfg := Config{}.withDefaults()
	r := reader{cfg: &cfg}
	var kept transport.Message
	var other weak.Pointer[byte]
	for i := range 20 {
		r.chunk, r.begin, r.end, r.size = nil, 0, 0, 2*size // they share no chunk either
		bring(&r, message(string(make([]byte, size))))
		batch, err := r.cut()
		require.NoError(t, err)
		if i == 0 {
			kept = batch[0]
		}
		other = weak.Make(&batch[0][0][0])
		clear(batch)
	}
	r = reader{}
	runtime.GC()
	require.Nil(t, other.Value())
	require.Len(t, kept[0], size)
}

// An idle connection doesn't keep the room that a crowd of tiny messages took.
func TestReaderShedsItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}.withDefaults()
		r := reader{cfg: &cfg}
		defer r.stop()
		read := func(messages int) {
			r.resume()
			bring(&r, slices.Repeat(message(""), messages))
			batch, err := r.cut()
			require.NoError(t, err)
			require.Len(t, batch, messages)
			clear(batch)
			r.wait()
		}
		keeps := func() bool {
			r.waiting.mu.Lock()
			defer r.waiting.mu.Unlock()
			return r.batch != nil
		}
		read(2 * keptBatch)
		<-time.After(keepChunk / 2)
		require.True(t, keeps())
		<-time.After(keepChunk)
		require.False(t, keeps())
		read(keptBatch / 2)
		<-time.After(2 * keepChunk)
		require.True(t, keeps(), "it is small")
	})
}

// What a connection keeps that says little is small. A busy one cuts from larger
// pieces, and doesn't keep them when it is idle.
func TestReaderKeepsLittleForLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}.withDefaults()
		r := reader{cfg: &cfg}
		defer r.stop()
		ping := message("", "MDPC02", "\x01", "mmi.ping", string(make([]byte, 60)))
		pings := func(every time.Duration) {
			for range 100 {
				r.resume()
				bring(&r, ping)
				batch, err := r.cut()
				require.NoError(t, err)
				require.Len(t, batch, 1)
				clear(batch)
				r.wait()
				<-time.After(every)
			}
		}
		keeps := func() (chunk, frames int) {
			r.waiting.mu.Lock()
			defer r.waiting.mu.Unlock()
			return cap(r.chunk), cap(r.frames)
		}
		for range 2 {
			pings(2500 * time.Millisecond)
			chunk, frames := keeps()
			require.LessOrEqual(t, chunk, minChunk)
			require.LessOrEqual(t, frames, idleFrameChunk)

			pings(time.Millisecond)
			chunk, frames = keeps()
			require.Equal(t, busyChunk, chunk)
			require.Equal(t, frameChunk, frames)

			<-time.After(2 * keepChunk)
			chunk, frames = keeps()
			require.Zero(t, chunk)
			require.Zero(t, frames)
		}
	})
}

// Memory that wasn't cleared is as large as was asked for, and nobody else's.
func TestUncleared(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for _, n := range []int{1, 2, minChunk, busyChunk, ownBelow, ownBelow + 1, maxChunk, maxChunk + 13, firstGrant} {
		for i := range 3 {
			b := uncleared(n)
			require.Empty(t, b)
			require.Equal(t, n, cap(b))
			b = append(b, bytes.Repeat([]byte{byte(len(all))}, n)...)
			require.Equal(t, n, cap(b), "it grew, %d", i)
			all = append(all, b)
		}
	}
	runtime.GC()
	for i, b := range all {
		require.Equal(t, len(b), bytes.Count(b, []byte{byte(i)}), "slice %d", i)
	}
}
