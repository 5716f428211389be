// Bench measures request-reply over mesh, NATS, gRPC and plain libzmq on one
// machine. Client, broker and worker of each system are processes of their own,
// and the systems take turns, so that all of them meet the same machine. See
// README.md for how to run it and what the numbers mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // this is a command
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is a command
	}
}

// run is the command, or one of the processes that it started.
func run(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	if len(args) > 0 && args[0] == roleArgument {
		return play(ctx, args[1:], in, out)
	}
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mesh-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	unpin, err := pin(o.pin)
	if err != nil {
		return err
	}
	defer unpin()

	r := report{Machine: describeMachine(o)}
	if o.idle > 0 {
		r.Idle, r.Absent, err = measureIdle(ctx, o, dir, progress)
	} else {
		r.Rows, r.Absent, err = compare(ctx, o, dir, progress)
	}
	if err != nil {
		return err
	}
	if o.json {
		return r.writeJSON(out)
	}
	return r.writeText(out)
}
