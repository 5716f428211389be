// Command jobboard is a job board cut into three services that call one another
// through the mesh: user knows the recruiters, job keeps the ads, and search
// finds them. The command runs all of them in one process, asks, and ends.
//
//	go run ./examples/jobboard search "go developer cape town"
//	go run ./examples/jobboard show job-0042
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"
)

// patience is how long the command takes at most.
const patience = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "jobboard:", err)
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command, err := parse(args, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	if command.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := start(ctx, logger)
	if err != nil {
		return err
	}
	text, err := command.ask(ctx, m.Client())
	if stopped := m.Stop(ctx); err != nil || stopped != nil {
		return errors.Join(err, stopped)
	}
	_, err = io.WriteString(stdout, text)
	return err
}
