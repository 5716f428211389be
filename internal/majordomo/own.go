package majordomo

import "github.com/mdpmesh/mesh/internal/jsonrpc"

// ownBelow is the size below which what is kept for long is copied. A transport may
// cut small messages from a chunk that it read, and one of them would keep all of it;
// limits count bytes that are really held. Larger ones are most of their chunk, or
// have memory of their own.
const ownBelow = 16 << 10

// own gives r memory of its own, if it came from another process and is small.
func (r *request) own() {
	if r.owned || r.caller.Local || r.size >= ownBelow {
		return
	}
	r.owned = true
	frames := make([][]byte, 0, 1+len(r.envelope)+len(r.body))
	frames = append(append(append(frames, r.name), r.envelope...), r.body...)
	frames = ownFrames(false, frames)
	r.name = frames[0]
	r.envelope, r.body = frames[1:1+len(r.envelope):1+len(r.envelope)], frames[1+len(r.envelope):]
	if len(r.body) != 1 {
		return
	}
	r.single = r.body[0]
	if r.env.Complete {
		jsonrpc.Scan(r.single, &r.env)
	} else {
		jsonrpc.ScanHead(r.single, &r.env)
	}
}

// ownFrames returns frames in memory of their own, if they came from another process
// and are small.
func ownFrames(local bool, frames [][]byte) [][]byte {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	if local || size >= ownBelow {
		return frames
	}
	buf := make([]byte, 0, size)
	own := make([][]byte, len(frames))
	for i, f := range frames {
		at := len(buf)
		buf = append(buf, f...)
		own[i] = buf[at:len(buf):len(buf)]
	}
	return own
}
