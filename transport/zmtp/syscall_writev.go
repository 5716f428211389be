//go:build darwin || openbsd

package zmtp

import "golang.org/x/sys/unix"

// iovec is what writeNow keeps from call to call: nothing.
type iovec = struct{}

// readNow reads what there is to first: x/sys has no call for several pieces here.
func readNow(fd int, first, _ []byte) (int, error) { return unix.Read(fd, first) }

func writeNow(fd int, v [][]byte, vector []iovec) (int, []iovec, error) {
	if len(v) == 1 {
		n, err := unix.Write(fd, v[0])
		return n, vector, err
	}
	n, err := unix.Writev(fd, v)
	return n, vector, err
}
