package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// newServices returns "mesh services".
func newServices(c console) *cobra.Command {
	a := &asking{console: c}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services that have workers",
		Args:  exactly(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *mesh.Client) error {
				all, err := c.Services(ctx)
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(cmd, all)
				}
				return printServices(cmd.OutOrStdout(), all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with their contracts")
	a.flags(cmd)
	return cmd
}

func printServices(out io.Writer, all []mesh.ServiceInfo) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "No service has a worker.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tWORKERS\tMETHODS\t")
	for _, s := range all {
		methods := make([]string, len(s.Methods))
		for i, m := range s.Methods {
			methods[i] = m.Name
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t\n", s.Name, s.Workers, strings.Join(methods, " "))
	}
	return w.Flush()
}

// newDescribe returns "mesh describe".
func newDescribe(c console) *cobra.Command {
	a := &asking{console: c}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "describe SERVICE",
		Short: "Show a service's methods with their documents and schemas",
		Args:  exactly(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *mesh.Client) error {
				s, err := c.Describe(ctx, args[0])
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(cmd, s)
				}
				return printService(cmd.OutOrStdout(), s)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	a.flags(cmd)
	cmd.ValidArgsFunction = a.completeServices
	return cmd
}

func printService(out io.Writer, s *mesh.ServiceInfo) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %d worker(s)\n", s.Name, s.Workers)
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
	_, err := out.Write(b.Bytes())
	return err
}

// traits says in brackets what is special about a method.
func traits(m *mesh.MethodInfo) string {
	var all []string
	if m.Idempotent {
		all = append(all, "idempotent")
	}
	if m.Stream {
		all = append(all, "streams")
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}
