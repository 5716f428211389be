package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// statusReport is what is printed of a broker as JSON.
type statusReport struct {
	Asked string `json:"asked"` // the address
	Error string `json:"error,omitempty"`
	*mesh.Snapshot
}

// newStatus returns "mesh status".
func newStatus(c console) *cobra.Command {
	a := &asking{console: c}
	w := new(watching)
	var asJSON, requests bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how brokers are: queues, what runs, what was counted",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return w.run(c, func(ctx context.Context, c console) error {
				all, err := askAll(ctx, a, statusOf)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(c.out, statusReportsOf(all))
				} else {
					err = printStatus(c.out, all, requests)
				}
				return cmp.Or(err, complain(c, all))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON, durations in nanoseconds")
	cmd.Flags().BoolVar(&requests, "requests", false, "list requests, too: the oldest that wait or run, and those in quarantine")
	w.flags(cmd)
	a.flagsOfAll(cmd)
	return cmd
}

func statusReportsOf(all []answer[*mesh.Snapshot]) []statusReport {
	reports := make([]statusReport, len(all))
	for i, one := range all {
		reports[i] = statusReport{Asked: one.broker, Snapshot: one.value}
		if one.err != nil {
			reports[i].Error = explain(one.err)
		}
	}
	return reports
}

func printStatus(out io.Writer, all []answer[*mesh.Snapshot], requests bool) error {
	first := true
	for _, one := range all {
		if one.err != nil {
			continue
		}
		if !first {
			if _, err := io.WriteString(out, "\n"); err != nil {
				return err
			}
		}
		first = false
		if err := printBroker(out, one.broker, one.value, requests); err != nil {
			return err
		}
	}
	return nil
}

// printTotals writes what is counted for the whole broker, or for what of it may be seen.
func printTotals(b *bytes.Buffer, s *mesh.Snapshot) {
	if s.Partial {
		fmt.Fprintf(b, "now:   %d %s, %d queued, %d running, %d in quarantine, of the services that may be seen\n",
			len(s.Workers), plural(len(s.Workers), "worker"), s.Queued, s.Running, len(s.Quarantine))
		return
	}
	fmt.Fprintf(b, "now:   %d %s, %d %s, %d queued (%d bytes), %d running, %d abandoned, %d in quarantine\n",
		len(s.Workers), plural(len(s.Workers), "worker"), len(s.Clients), plural(len(s.Clients), "client"),
		s.Queued, s.QueuedBytes, s.Running, s.Abandoned, len(s.Quarantine))
	n := &s.Counts
	fmt.Fprintf(b, "ever:  %d received: %d replied, %d failed, %d timed out, %d cancelled, %d quarantined\n",
		n.Received, n.Replied, n.Failed, n.TimedOut, n.Cancelled, n.Quarantined)
	fmt.Fprintf(b, "       %d overloaded, %d requeued, %d repeats, %d late, %d strays, %d invalid, %d unexpected\n",
		n.Overloaded, n.Requeued, n.Repeats, n.Late, n.Strays, n.Invalid, n.Unexpected)
}

func printBroker(out io.Writer, asked string, s *mesh.Snapshot, requests bool) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s at %s: %s for %s\n", s.Broker, asked, state(s.Draining, "draining"), ago(s.Uptime))
	printTotals(&b, s)
	services := table{"SERVICE", "WORKERS", "QUEUED", "RUNNING", "FINISHED", "FAILED", "STATE"}.begin()
	for _, v := range s.Services {
		services.row(v.Name, strconv.Itoa(v.Workers), strconv.Itoa(v.Queued), strconv.Itoa(v.Running),
			strconv.FormatUint(v.Finished, 10), strconv.FormatUint(v.Failed, 10), state(v.Paused, "paused"))
	}
	waiting := table{"REQUEST", "STATE", "METHOD", "CALLER", "WORKER", "ATTEMPTS", "AGE"}.begin()
	if requests {
		for _, r := range s.Requests {
			waiting.row(strconv.FormatUint(r.Request, 10), r.State, cmp.Or(r.Method, r.Service), cmp.Or(r.Caller, r.CallerAddr),
				cmp.Or(r.Worker, r.WorkerAddr), strconv.Itoa(r.Attempts), ago(r.Age))
		}
		for _, r := range s.Quarantine {
			waiting.row(strconv.FormatUint(r.Request, 10), "quarantined", cmp.Or(r.Method, r.Service), r.Caller, "", strconv.Itoa(r.Attempts), ago(r.Age))
		}
	}
	if services.n+waiting.n > 0 {
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(out, printable(b.String())); err != nil {
		return err
	}
	return printTables(out, services, waiting)
}
