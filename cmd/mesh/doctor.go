package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// examining are the flags of "mesh doctor".
type examining struct {
	asking
	listen time.Duration
	asJSON bool
}

// errTrouble is the error of a doctor who found something.
var errTrouble = errors.New("something is wrong, see above")

// newDoctor returns "mesh doctor".
func newDoctor(c console) *cobra.Command {
	e := &examining{asking: asking{console: c}}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong where brokers aren't found or don't answer",
		Long: "Send and hear beacons for a while on each network interface, ask each broker that is heard or named for a sign of life, and say\n" +
			"what is wrong and what to do about it: interfaces over which nothing comes back, beacons that are refused, brokers that don't\n" +
			"answer, and versions, clocks and keys that don't agree. It exits with 1 where something is wrong.\n\n" +
			"It announces nothing: what it sends is marked as a probe, which brokers, workers and clients ignore.",
		Example: "  mesh doctor --cluster-keyfile mesh.key\n  mesh doctor --broker tcp://192.0.2.7:5555 --json",
		Args:    arguments(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return e.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.DurationVar(&e.listen, "for", 3*time.Second, "how long to listen for beacons")
	f.BoolVar(&e.asJSON, "json", false, "print the report as JSON")
	e.flags(cmd)
	_ = f.MarkHidden("discover") // it does so unless nothing can be believed
	return cmd
}

// report is what the doctor found.
type report struct {
	Cluster    string            `json:"cluster,omitempty"` // empty: beacons weren't looked at
	Port       int               `json:"port,omitempty"`
	Version    string            `json:"version"` // of this command
	Interfaces []interfaceReport `json:"interfaces"`
	Brokers    []brokerReport    `json:"brokers"`
	Refused    []refusedReport   `json:"refused"`
	Troubles   []trouble         `json:"troubles"`

	serverKey string // that brokers must have; empty: none was given
	hasKeys   bool   // the doctor has CURVE keys
}

// interfaceReport is what went over one interface.
type interfaceReport struct {
	Name     string `json:"name"`
	Family   string `json:"family"`
	Sent     uint64 `json:"sent"`     // probes
	Returned int    `json:"returned"` // of these
	Heard    uint64 `json:"heard"`    // datagrams of any kind
	Error    string `json:"error,omitempty"`
}

// brokerReport is a broker that was heard, or named.
type brokerReport struct {
	Addr        string     `json:"addr"`
	Announced   bool       `json:"announced"` // by a beacon; what follows up to Clock is what that said
	ID          string     `json:"id,omitempty"`
	Incarnation string     `json:"incarnation,omitempty"`
	ServerKey   string     `json:"server_key,omitempty"`
	Paths       []string   `json:"paths,omitempty"` // interface and family
	Started     *time.Time `json:"started,omitempty"`
	ClockMS     *int64     `json:"clock_ms,omitempty"` // its clock minus ours, network included
	Answers     bool       `json:"answers"`
	Plain       bool       `json:"plain,omitempty"` // it speaks Majordomo alone; what follows is unknown
	Error       string     `json:"error,omitempty"`
	AnswersAs   string     `json:"answers_as,omitempty"` // its id, by itself
	Version     string     `json:"version,omitempty"`
	Draining    bool       `json:"draining,omitempty"`
	ConnectMS   float64    `json:"connect_ms,omitempty"` // until the first answer
	PingMS      float64    `json:"ping_ms,omitempty"`    // best of a few

	refusal error // why it doesn't answer
}

// refusedReport counts beacons that were refused for one reason.
type refusedReport struct {
	Why       string `json:"why"`
	From      string `json:"from"`
	Interface string `json:"interface,omitempty"`
	Broker    string `json:"broker,omitempty"`
	Count     int    `json:"count"`
	ClockMS   int64  `json:"clock_ms,omitempty"`
}

// trouble is something that is wrong.
type trouble struct {
	About   string `json:"about"`
	Problem string `json:"problem"`
	Advice  string `json:"advice"`
}

func (e *examining) run(ctx context.Context) error {
	if e.listen <= 0 {
		return usageError{errors.New("--for must be positive")}
	}
	e.discover = true // keys that beacons bring are as good as --server-key
	cfg, err := e.credentials()
	if err != nil {
		return err
	}
	r, err := e.examine(ctx, &cfg)
	if err != nil {
		return err
	}
	r.Troubles = diagnose(r)
	if e.asJSON {
		err = printJSON(e.out, r)
	} else {
		err = r.print(e.out)
	}
	if err == nil && len(r.Troubles) > 0 {
		err = errTrouble
	}
	return err
}

// examine finds out everything.
func (e *examining) examine(ctx context.Context, cfg *mesh.ClientConfig) (*report, error) {
	serverKey := e.pinned()
	r := &report{
		Version: mesh.Version, Interfaces: []interfaceReport{}, Brokers: []brokerReport{}, Refused: []refusedReport{},
		serverKey: serverKey, hasKeys: e.hasKeys(),
	}
	named := e.named()
	beacons, err := e.beacons.config(e.getenv, serverKey)
	var usage usageError
	switch {
	case err == nil:
		if _, err := mesh.NewBeacons(beacons); err != nil {
			return nil, usageError{err}
		}
		if err := listenFor(ctx, r, &beacons, e.listen); err != nil {
			return nil, err
		}
	case !errors.As(err, &usage) || len(named) == 0 || e.beacons.insecure:
		return nil, err
	}
	if err := e.addNamed(ctx, r, named, serverKey); err != nil {
		return nil, err
	}
	examineAll(ctx, r, cfg, e.timeout)
	return r, nil
}

// print writes the report for people.
func (r *report) print(out io.Writer) error {
	var b bytes.Buffer
	if r.Cluster != "" {
		fmt.Fprintf(&b, "Beacons of %q at UDP port %d\n", r.Cluster, r.Port)
		rows := make([]string, len(r.Interfaces))
		for i, n := range r.Interfaces {
			rows[i] = fmt.Sprintf("  %s\t%s\tsent %d, %d came back\theard %d\t%s", n.Name, n.Family, n.Sent, n.Returned, n.Heard, n.Error)
		}
		columns(&b, rows, "  no interface takes part")
	}
	b.WriteString("Brokers\n")
	rows := make([]string, len(r.Brokers))
	for i := range r.Brokers {
		rows[i] = r.Brokers[i].row()
	}
	columns(&b, rows, "  none")
	if len(r.Refused) > 0 {
		b.WriteString("Refused beacons\n")
		rows = make([]string, len(r.Refused))
		for i, f := range r.Refused {
			rows[i] = fmt.Sprintf("  %s\t%d times\tfrom %s\t%s\t%s", f.Why, f.Count, f.From, f.Interface, f.Broker)
		}
		columns(&b, rows, "")
	}
	for _, t := range r.Troubles {
		fmt.Fprintf(&b, "\n%s: %s.\n  → %s.\n", t.About, t.Problem, t.Advice)
	}
	if len(r.Troubles) == 0 {
		b.WriteString("\nNothing is wrong.\n")
	}
	_, err := io.WriteString(out, printable(b.String()))
	return err
}

// row is a broker's line in the report.
func (b *brokerReport) row() string {
	var facts []string
	switch {
	case !b.Answers:
		facts = append(facts, "doesn't answer")
	case b.Plain:
		facts = append(facts, "answers, speaks plain Majordomo")
	default:
		facts = append(facts, fmt.Sprintf("answers in %.1f ms, after %.1f ms to connect", b.PingMS, b.ConnectMS), "version "+b.Version)
	}
	if b.Draining {
		facts = append(facts, "draining")
	}
	if b.ClockMS != nil {
		facts = append(facts, fmt.Sprintf("clock %+d ms", *b.ClockMS))
	}
	if b.Announced {
		facts = append(facts, "heard on "+strings.Join(b.Paths, " and "))
	}
	name := b.ID
	if name == "" {
		name = b.AnswersAs
	}
	return "  " + name + "\t" + b.Addr + "\t" + strings.Join(facts, ", ")
}

// columns writes rows in columns, or what stands for none.
func columns(b *bytes.Buffer, rows []string, none string) {
	if len(rows) == 0 {
		b.WriteString(none + "\n")
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.TrimRight(row, "\t")) // a buffer takes everything
	}
	_ = w.Flush() // likewise
}
