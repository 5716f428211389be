package zmtp

import (
	"strings"
	"unsafe"
)

// uncleared returns an empty slice with room for n bytes, at least one, that hold what
// was in that memory before: what is read goes over them, and to clear them first is a
// tenth of the work where frames are large (docs/design.md). Nobody may be shown more of
// them than was read.
func uncleared(n int) []byte {
	var b strings.Builder // the only thing that gets such memory
	b.Grow(n)
	_ = b.WriteByte(0) // the string of an empty one has no address; the error is always nil
	s := b.String()
	return unsafe.Slice(unsafe.StringData(s), n)[:0:n] // #nosec G103 -- nobody else has s
}
