// Command mesh runs a broker, and asks some: it calls methods, lists services and
// shows their contracts, shows who is there and what runs, and operates brokers. It
// also says what is wrong where brokers aren't found.
//
//	mesh broker --listen tcp://127.0.0.1:5555
//	mesh call tea.brew '{"kind":"green"}' --broker tcp://127.0.0.1:5555
//	mesh peers --broker tcp://127.0.0.1:5555,tcp://127.0.0.1:5556
//	mesh drain kitchen-1
//
// What was asked for goes to standard output, everything else to standard error. The
// exit code is 0 where the command did what it was asked, 1 where it failed, and 2
// where the command line makes no sense.
//
// These variables of the environment stand for flags that aren't given: MESH_BROKER
// for --broker, MESH_SERVER_KEY for --server-key, and MESH_CURVE_KEYFILE for
// --curve-keyfile of the commands that ask a broker; MESH_CLUSTER for --cluster and
// MESH_CLUSTER_KEYFILE for --cluster-keyfile of all.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr, os.Getenv}))
}

// console is what the command has to do with the world around it.
type console struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
}

// usageError is an error of whoever typed the command.
type usageError struct{ error }

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, c console) int {
	root := newRoot(c)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), cmd == root: // which itself can't fail otherwise
		_, _ = fmt.Fprintf(c.err, "mesh: %s\nTry \"%s --help\".\n", strings.TrimSpace(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	_, _ = fmt.Fprintln(c.err, explain(err)) // there is nobody else to tell
	return exitFailed
}
