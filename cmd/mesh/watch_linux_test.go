package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal returns the two ends of a terminal: what a program writes to its own end is
// read from the other.
func terminal(t *testing.T) (program, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = screen.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	return program, screen
}

// On a terminal each look takes the place of the one before.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	program, screen := terminal(t)
	c := (&bed{addr: serve(t)}).console(program, program)
	code := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { code <- run(ctx, []string{"services", "--watch=100ms"}, c) }()
	seen := ""
	for buffer := make([]byte, 1000); len(seen) < 2*len(clearScreen+noServices); {
		n, err := screen.Read(buffer)
		require.NoError(t, err)
		seen += string(buffer[:n])
	}
	cancel()
	require.Zero(t, await(t, code))
	const line = clearScreen + "No service has a worker.\r\n"
	require.Equal(t, line+line, seen[:2*len(line)])
}
