package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newServices returns "mesh services".
func newServices(c console) *cobra.Command {
	a := &asking{console: c}
	w := new(watching)
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services that have workers",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return w.run(c, func(ctx context.Context, c console) error {
				return a.ask(ctx, func(ctx context.Context, client *mesh.Client) error {
					all, err := client.Services(ctx)
					switch {
					case err != nil:
						return err
					case asJSON:
						return printJSON(c.out, all)
					}
					return printServices(c.out, all)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with their contracts")
	w.flags(cmd)
	a.flags(cmd)
	return cmd
}

func printServices(out io.Writer, all []mesh.ServiceInfo) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "No service has a worker.")
		return err
	}
	var table, b bytes.Buffer
	table.WriteString("SERVICE\tWORKERS\tMETHODS\n")
	for _, s := range all {
		row := []string{s.Name, strconv.Itoa(s.Workers)}
		if len(s.Methods) > 0 {
			names := make([]string, len(s.Methods))
			for i, m := range s.Methods {
				names[i] = m.Name
			}
			row = append(row, strings.Join(names, " "))
		}
		table.WriteString(strings.Join(row, "\t") + "\n")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if _, err := table.WriteTo(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, printable(b.String()))
	return err
}

// newDescribe returns "mesh describe".
func newDescribe(c console) *cobra.Command {
	a := &asking{console: c}
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "describe SERVICE",
		Short:   "Show a service's methods with their documentation and schemas",
		Example: "  mesh describe tea",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, client *mesh.Client) error {
				s, err := client.Describe(ctx, args[0])
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(c.out, s)
				}
				return printService(c.out, s)
			})
		},
		ValidArgsFunction: a.completeServices,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	a.flags(cmd)
	return cmd
}

func printService(out io.Writer, s *mesh.ServiceInfo) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %d %s\n", s.Name, s.Workers, plural(s.Workers, "worker"))
	if s.Doc != "" {
		fmt.Fprintf(&b, "%s\n", s.Doc)
	}
	if len(s.Methods) == 0 {
		b.WriteString("\nIts workers told nothing of its methods.\n")
	}
	for _, m := range s.Methods {
		fmt.Fprintf(&b, "\n%s.%s%s\n", s.Name, m.Name, traits(&m))
		if m.Doc != "" {
			fmt.Fprintf(&b, "  %s\n", m.Doc)
		}
		for _, part := range []struct {
			name   string
			schema json.RawMessage
		}{{"params", m.Params}, {"result", m.Result}} {
			if part.schema == nil {
				continue
			}
			fmt.Fprintf(&b, "  %s: ", part.name)
			if err := json.Indent(&b, part.schema, "  ", "  "); err != nil {
				return err
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(out, printable(b.String()))
	return err
}

// traits says in brackets what is special about a method.
func traits(m *mesh.MethodInfo) string {
	var all []string
	if m.Idempotent {
		all = append(all, "idempotent")
	}
	if m.Attempts > 0 {
		all = append(all, fmt.Sprintf("at most %d %s", m.Attempts, plural(m.Attempts, "attempt")))
	}
	if m.Stream {
		all = append(all, "streams")
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}
