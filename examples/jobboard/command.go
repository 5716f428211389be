package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/search"
)

const usage = `usage: jobboard search [flags] words...
       jobboard show [flags] id

flags:
`

// command is what a command line asks for.
type command struct {
	// ask asks the services, and returns what is to be printed.
	ask     func(context.Context, *mesh.Client) (string, error)
	verbose bool
}

// parse reads a command line. It returns flag.ErrHelp where that makes no sense,
// after it has written to stderr how to use the command.
func parse(args []string, stderr io.Writer) (command, error) {
	var c command
	flags := flag.NewFlagSet("jobboard", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage) // there is nobody to tell
		flags.PrintDefaults()
	}
	limit := flags.Int("n", 5, "the `number` of ads that search prints at most, 1 to 50")
	flags.BoolVar(&c.verbose, "v", false, "log what the mesh does")
	// Flags may stand before the name of the command and after it. Parse itself
	// says what is wrong with them.
	if flags.Parse(args) != nil {
		return command{}, flag.ErrHelp
	}
	name := flags.Arg(0)
	if flags.Parse(flags.Args()[min(1, flags.NArg()):]) != nil {
		return command{}, flag.ErrHelp
	}
	words := strings.Join(flags.Args(), " ")
	switch name {
	case "search":
		c.ask = find(search.QueryRequest{Q: words, Limit: *limit})
	case "show":
		c.ask = show(job.GetRequest{ID: words})
	default:
		flags.Usage()
		return command{}, flag.ErrHelp
	}
	return c, nil
}

func find(req search.QueryRequest) func(context.Context, *mesh.Client) (string, error) {
	return func(ctx context.Context, c *mesh.Client) (string, error) {
		answer, err := search.Query.Call(ctx, c, req)
		if err != nil {
			return "", err
		}
		return found(req.Q, answer), nil
	}
}

func show(req job.GetRequest) func(context.Context, *mesh.Client) (string, error) {
	return func(ctx context.Context, c *mesh.Client) (string, error) {
		posting, err := job.Get.Call(ctx, c, req)
		if errors.Is(err, job.ErrNotFound) {
			return "", fmt.Errorf("there is no ad %q", req.ID)
		}
		if err != nil {
			return "", err
		}
		return shown(posting), nil
	}
}
