package zmtp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

type iovec = unix.Iovec

// The calls here are made on non-blocking sockets and return at once, so the runtime
// isn't told of them: it would prepare to give the processor away for as long as they
// last, and keep its monitor awake for that, which at one message at a time costs
// more than the call (docs/performance.md).

// readNow reads what there is, to first and then to next, which may be empty.
func readNow(fd int, first, next []byte) (int, error) {
	if len(next) == 0 {
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&first[0])), uintptr(len(first))) //nolint:gosec // how memory is passed to a system call
		return int(n), failure(errno)
	}
	vector := [2]iovec{{Base: &first[0]}, {Base: &next[0]}}
	vector[0].SetLen(len(first))
	vector[1].SetLen(len(next))
	n, _, errno := syscall.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&vector)), uintptr(len(vector))) //nolint:gosec // as above
	return int(n), failure(errno)
}

// writeNow writes what the kernel takes of v, which has no empty pieces. It returns
// vector, in which it described them, for the next call.
func writeNow(fd int, v [][]byte, vector []iovec) (int, []iovec, error) {
	if len(v) == 1 {
		n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&v[0][0])), uintptr(len(v[0]))) //nolint:gosec // as above
		return int(n), vector, failure(errno)
	}
	vector = vector[:0]
	for _, piece := range v {
		at := iovec{Base: &piece[0]}
		at.SetLen(len(piece))
		vector = append(vector, at)
	}
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vector[0])), uintptr(len(vector))) //nolint:gosec // as above
	clear(vector)
	return int(n), vector, failure(errno)
}

// failure returns the error for an error number, nil for none.
func failure(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
