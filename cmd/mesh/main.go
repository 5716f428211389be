// Command mesh runs a broker, and asks one: it calls methods, lists services and
// shows their contracts.
//
//	mesh broker --listen tcp://127.0.0.1:5555
//	mesh call tea.brew '{"kind":"green"}' --broker tcp://127.0.0.1:5555
//
// MESH_BROKER stands for --broker where that isn't given. A call that fails prints
// its error on standard error and exits with 1; wrong usage exits with 2.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "mesh: %v\nTry \"mesh help\".\n", err)
		return exitUsage
	}
	fmt.Fprintln(c.err, describe(err))
	return exitFailed
}
