package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// What --watch does where it isn't told how often, and the least that it may be told.
const (
	watchEvery = "2s"
	watchLeast = 100 * time.Millisecond
)

// clearScreen has a terminal forget what it shows, and begin at its top.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// watching is the flag of commands that can show the same again and again.
type watching struct {
	cmd   *cobra.Command
	every time.Duration
}

func (w *watching) flags(cmd *cobra.Command) {
	w.cmd = cmd
	f := cmd.Flags()
	f.DurationVar(&w.every, "watch", 0, "show it again at this interval, until SIGINT or SIGTERM; it is given with =, as in --watch=5s")
	f.Lookup("watch").NoOptDefVal = watchEvery
}

// run has show write to the console: once, or with --watch until a signal ends it. Then
// what fails is told, and tried again.
func (w *watching) run(c console, show func(context.Context, console) error) error {
	ctx := w.cmd.Context()
	if !w.cmd.Flags().Changed("watch") {
		return show(ctx, c)
	}
	if w.every < watchLeast {
		return usageError{fmt.Errorf("--watch must be at least %v", watchLeast)}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for first := true; ; first = false {
		// All of it is written at once, so that a screen doesn't flicker.
		var out, errs bytes.Buffer
		err := show(ctx, console{c.in, &out, &errs, c.getenv})
		var usage usageError
		switch {
		case ctx.Err() != nil: // what failed now failed for that
			return nil
		case errors.As(err, &usage):
			return err
		case err != nil:
			_, _ = fmt.Fprintln(&errs, explain(err)) // a buffer takes everything
		}
		if err := w.write(c, first, out.Bytes(), errs.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(w.every):
		}
	}
}

// write shows what there is now: on a terminal in place of what it showed before,
// otherwise below that.
func (w *watching) write(c console, first bool, out, errs []byte) error {
	switch {
	case isTerminal(c.out):
		out = append([]byte(clearScreen), out...)
	case !first && len(out) > 0:
		out = append([]byte("\n"), out...)
	}
	if _, err := c.out.Write(out); err != nil {
		return err
	}
	_, _ = c.err.Write(errs) // there is nobody else to tell
	return nil
}

// isTerminal says whether somebody looks at what is written there.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
