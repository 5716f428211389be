package majordomo

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"
)

// What is used again keeps hold of none of the frames that went out.
func TestArenaForgets(t *testing.T) {
	t.Parallel()
	var a arena
	frame := make([]byte, 1<<20)
	was := weak.Make(&frame[0])
	_ = append(a.frames(3), nil, frame, nil)
	a.rewind()
	runtime.GC()
	require.Nil(t, was.Value())
	runtime.KeepAlive(&a)
}

func TestArenaRewinds(t *testing.T) {
	t.Parallel()
	var a arena
	first := append(a.bytes(3), "abc"...)
	second := append(a.bytes(3), "def"...)
	require.Equal(t, "abcdef", string(first)+string(second), "no two of a step share memory")
	first, second = append(first, '!'), append(second, '!')
	require.Equal(t, "abc!def!", string(first)+string(second), "nor where one outgrows its own")
	a.rewind()
	third := append(a.bytes(3), "ghi"...)
	require.Equal(t, "ghi", string(third))
	require.Equal(t, 3, cap(third))
}
