package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
)

// maxParams bounds what is read of standard input: as much as a broker takes.
const maxParams = 16 << 20

// calling are the flags of "mesh call".
type calling struct {
	asking
	key        string
	idempotent bool
	notify     bool
	compact    bool
	streams    bool // no flag: the method replies with many values
}

// newCall returns "mesh call".
func newCall(c console) *cobra.Command {
	a := &calling{asking: asking{console: c}}
	a.interceptors = []mesh.Interceptor{a.watch}
	cmd := &cobra.Command{
		Use:   "call METHOD [PARAMS | -]",
		Short: "Call a method and print its reply as JSON",
		Long: "Call a method by its full name, such as tea.brew, and print its reply as JSON. PARAMS is a JSON object or array; - reads it\n" +
			"from standard input. A method that replies with many values prints each on a line of its own, as it comes. Nothing is printed\n" +
			"for a reply of null.",
		Example: "  mesh call tea.brew '{\"kind\":\"green\",\"sugar\":1}'\n  echo '{\"kind\":\"black\"}' | mesh call tea.brew -",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := readParams(args[1:], c.in)
			if err != nil {
				return err
			}
			return a.ask(cmd.Context(), func(ctx context.Context, c *mesh.Client) error { return a.call(ctx, c, args[0], params) })
		},
		ValidArgsFunction: a.completeMethods,
	}
	f := cmd.Flags()
	f.StringVar(&a.key, "key", "", "key of the call: another call with the same key and parameters gets the same outcome")
	f.BoolVar(&a.idempotent, "idempotent", false, "the method may run more than once, so the call may be tried again")
	f.BoolVar(&a.notify, "notify", false, "send a notification: nobody hears how it ends")
	f.BoolVar(&a.compact, "compact", false, "print the reply on one line")
	a.flags(cmd)
	return cmd
}

// call makes the call and prints what comes.
func (a *calling) call(ctx context.Context, c *mesh.Client, method string, params json.RawMessage) error {
	var options []mesh.CallOption
	if a.key != "" {
		options = append(options, mesh.Key(a.key))
	}
	if a.idempotent {
		options = append(options, mesh.Idempotent())
	}
	switch {
	case a.notify:
		return c.Notify(ctx, method, params, options...)
	case a.key != "": // outcomes of streams aren't kept, so it must not ask for one
		value, err := c.CallRaw(ctx, method, params, options...)
		if err != nil || string(value) == "null" {
			return err
		}
		return printValue(a.out, value, a.compact)
	}
	for value, err := range c.StreamRaw(ctx, method, params, options...) {
		if err != nil {
			return err
		}
		if err := printValue(a.out, value, a.compact || a.streams); err != nil {
			return err
		}
	}
	return nil
}

// watch is an interceptor that finds out whether the method streams: only such a
// method's values come in parts.
func (a *calling) watch(next mesh.Invoker) mesh.Invoker {
	return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
		if part := in.Part; part != nil {
			in.Part = func(value json.RawMessage) error {
				a.streams = true
				return part(value)
			}
		}
		return next(ctx, in)
	}
}

// readParams returns the parameters that the arguments name; nil: none.
func readParams(args []string, in io.Reader) (json.RawMessage, error) {
	if len(args) == 0 {
		return nil, nil
	}
	raw := []byte(args[0])
	if args[0] == "-" {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(in, maxParams+1)); err != nil {
			return nil, fmt.Errorf("parameters from standard input: %w", err)
		}
		if len(raw) > maxParams {
			return nil, fmt.Errorf("parameters from standard input: more than %d bytes", maxParams)
		}
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, nil
	}
	var v any
	var syntax *json.SyntaxError
	err := json.Unmarshal(raw, &v)
	switch {
	case errors.As(err, &syntax):
		return nil, usageError{fmt.Errorf("the parameters are no JSON: %w (at byte %d)", err, syntax.Offset)}
	case err != nil:
		return nil, usageError{fmt.Errorf("the parameters are no JSON: %w", err)}
	case raw[0] != '{' && raw[0] != '[':
		return nil, usageError{errors.New("the parameters must be a JSON object or array")}
	}
	return raw, nil
}

// printValue prints a value as it came, with line breaks for people or without.
func printValue(out io.Writer, value json.RawMessage, compact bool) error {
	var b bytes.Buffer
	var err error
	if compact {
		err = json.Compact(&b, value)
	} else {
		err = json.Indent(&b, value, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("the reply is no JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err = out.Write(b.Bytes())
	return err
}

// printJSON prints v.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
