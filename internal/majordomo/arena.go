package majordomo

// arena cuts the slices that outgoing messages are made of from chunks, so that
// a message costs a fraction of an allocation. Chunks are never used again; the
// collector takes each when the last message cut from it is gone, so they are
// kept small.
type arena struct {
	frameChunk [][]byte
	byteChunk  []byte
}

const (
	arenaFrames = 128
	arenaBytes  = 1024
)

// frames returns an empty slice with capacity n.
func (a *arena) frames(n int) [][]byte {
	if n > arenaFrames/4 {
		return make([][]byte, 0, n)
	}
	if cap(a.frameChunk)-len(a.frameChunk) < n {
		a.frameChunk = make([][]byte, 0, arenaFrames)
	}
	at := len(a.frameChunk)
	a.frameChunk = a.frameChunk[:at+n]
	return a.frameChunk[at : at : at+n]
}

// bytes returns an empty slice with capacity n.
func (a *arena) bytes(n int) []byte {
	if n > arenaBytes/4 {
		return make([]byte, 0, n)
	}
	if cap(a.byteChunk)-len(a.byteChunk) < n {
		a.byteChunk = make([]byte, 0, arenaBytes)
	}
	at := len(a.byteChunk)
	a.byteChunk = a.byteChunk[:at+n]
	return a.byteChunk[at : at : at+n]
}
