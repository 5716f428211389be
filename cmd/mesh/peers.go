package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// peersReport is what is printed of a broker's peers as JSON.
type peersReport struct {
	Asked       string              `json:"asked"` // the address
	Error       string              `json:"error,omitempty"`
	Broker      string              `json:"broker,omitempty"`
	Incarnation string              `json:"incarnation,omitempty"`
	Version     string              `json:"version,omitempty"`
	Host        string              `json:"host,omitempty"`
	PID         int                 `json:"pid,omitempty"`
	Addrs       []string            `json:"addrs,omitempty"`
	Uptime      time.Duration       `json:"uptime_ns,omitempty"`
	Draining    bool                `json:"draining,omitempty"`
	Workers     []mesh.WorkerStatus `json:"workers,omitempty"`
	Clients     []mesh.ClientStatus `json:"clients,omitempty"`
}

// newPeers returns "mesh peers".
func newPeers(c console) *cobra.Command {
	a := &asking{console: c}
	w := new(watching)
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List brokers, and the workers and clients at each",
		Long: "List the brokers, and the workers and clients that are connected to each: who and where they are, since when, when they were\n" +
			"last heard, and how many requests they have or wait for. The command itself is a client, too.",
		Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return w.run(c, func(ctx context.Context, c console) error {
				all, err := askAll(ctx, a, statusOf)
				if err != nil {
					return err
				}
				if asJSON {
					reports := make([]peersReport, len(all))
					for i, one := range all {
						reports[i] = peersReportOf(one)
					}
					err = printJSON(c.out, reports)
				} else {
					err = printPeers(c.out, all)
				}
				return cmp.Or(err, complain(c, all))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, durations in nanoseconds")
	w.flags(cmd)
	a.flagsOfAll(cmd)
	return cmd
}

func statusOf(ctx context.Context, c *mesh.Client) (*mesh.Snapshot, error) { return c.Status(ctx) }

func peersReportOf(one answer[*mesh.Snapshot]) peersReport {
	r := peersReport{Asked: one.broker}
	if one.err != nil {
		r.Error = explain(one.err)
		return r
	}
	s := one.value
	r.Broker, r.Incarnation, r.Version, r.Host, r.PID, r.Addrs = s.Broker, s.Incarnation, s.Version, s.Host, s.PID, s.Addrs
	r.Uptime, r.Draining, r.Workers, r.Clients = s.Uptime, s.Draining, s.Workers, s.Clients
	return r
}

func printPeers(out io.Writer, all []answer[*mesh.Snapshot]) error {
	brokers := table{"BROKER", "ADDRESS", "HOST", "PID", "VERSION", "SINCE", "STATE"}.begin()
	workers := table{"WORKER", "BROKER", "NAME", "ADDRESS", "HOST", "PID", "VERSION", "SINCE", "HEARD", "RUNNING", "CAPACITY", "STATE", "SERVICES"}.begin()
	clients := table{"CLIENT", "BROKER", "NAME", "ADDRESS", "HOST", "PID", "VERSION", "SINCE", "HEARD", "WAITING"}.begin()
	for _, one := range all {
		if one.err != nil {
			continue
		}
		s := one.value
		brokers.row(s.Broker, strings.Join(s.Addrs, " "), s.Host, number(s.PID), s.Version, ago(s.Uptime), state(s.Draining, "draining"))
		for _, w := range s.Workers {
			workers.row(w.Instance, s.Broker, w.Name, w.Addr, w.Host, number(w.PID), w.Version, ago(w.Since), ago(w.Silent),
				strconv.Itoa(w.Running), strconv.Itoa(w.Capacity), state(w.Draining, "draining"), strings.Join(w.Services, " "))
		}
		for _, v := range s.Clients {
			clients.row(v.Instance, s.Broker, v.Name, v.Addr, v.Host, number(v.PID), v.Version, ago(v.Since), ago(v.Silent), strconv.Itoa(v.Waiting))
		}
	}
	return printTables(out, brokers, workers, clients)
}

// table is the head of a table.
type table []string

// rows are a table's lines.
type rows struct {
	text bytes.Buffer
	n    int // but for the head
}

func (t table) begin() *rows {
	r := new(rows)
	r.text.WriteString(strings.Join(t, "\t") + "\n")
	return r
}

// row adds a line. A cell that is empty is shown as a dash, and one of a peer's texts
// can't begin another.
func (r *rows) row(cells ...string) {
	r.n++
	for i, cell := range cells {
		cells[i] = cmp.Or(strings.NewReplacer("\t", " ", "\n", " ").Replace(cell), "-")
	}
	r.text.WriteString(strings.Join(cells, "\t") + "\n")
}

// printTables prints those tables that have rows, with a line between them.
func printTables(out io.Writer, all ...*rows) error {
	var b bytes.Buffer
	for _, r := range all {
		if r.n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		if _, err := r.text.WriteTo(w); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, printable(b.String()))
	return err
}

// number shows a number that is known where it isn't 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// ago shows a duration as people need it: to a tenth of a second below a minute, and
// to the second above.
func ago(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// state shows a state that not all are in.
func state(is bool, name string) string {
	if is {
		return name
	}
	return "serving"
}
