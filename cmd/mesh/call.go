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

// newCall returns "mesh call".
func newCall(c console) *cobra.Command {
	a := &asking{console: c}
	var key string
	var idempotent, notify, compact bool
	cmd := &cobra.Command{
		Use:   "call METHOD [PARAMS | -]",
		Short: "Call a method and print its reply as JSON",
		Long: "Call a method by its full name, such as tea.brew. PARAMS is a JSON object or array; - reads it from standard input.\n" +
			"A method that replies with many values prints each on a line of its own.",
		Example: "  mesh call tea.brew '{\"kind\":\"green\",\"sugar\":1}'\n  echo '{\"kind\":\"black\"}' | mesh call tea.brew -",
		Args:    exactly(1, 2),
	}
	cmd.Flags().StringVar(&key, "key", "", "key of the call: the same call with the same key doesn't run twice")
	cmd.Flags().BoolVar(&idempotent, "idempotent", false, "the method may run more than once")
	cmd.Flags().BoolVar(&notify, "notify", false, "send a notification: nobody waits for a reply")
	cmd.Flags().BoolVar(&compact, "compact", false, "print the reply as it came")
	a.flags(cmd)
	cmd.ValidArgsFunction = a.completeMethods
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		params, err := readParams(args[1:], c.in)
		if err != nil {
			return err
		}
		options := []mesh.CallOption{mesh.Timeout(a.timeout)}
		if key != "" {
			options = append(options, mesh.Key(key))
		}
		if idempotent {
			options = append(options, mesh.Idempotent())
		}
		return a.ask(cmd.Context(), func(ctx context.Context, c *mesh.Client) error {
			if notify {
				return c.Notify(ctx, args[0], params, options...)
			}
			for value, err := range c.StreamRaw(ctx, args[0], params, options...) {
				if err != nil {
					return err
				}
				if err := printReply(cmd.OutOrStdout(), value, compact); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
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
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return nil, nil
	}
	if !json.Valid(raw) {
		return nil, usageError{errors.New("the parameters are no JSON: " + jsonFault(raw))}
	}
	return raw, nil
}

// jsonFault says where a text stops being JSON.
func jsonFault(raw []byte) string {
	var v any
	err := json.Unmarshal(raw, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v (at byte %d)", err, syntax.Offset)
	}
	return fmt.Sprint(err)
}

// printReply prints one value.
func printReply(out io.Writer, value json.RawMessage, compact bool) error {
	var b bytes.Buffer
	if compact {
		b.Write(value)
	} else if err := json.Indent(&b, value, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := out.Write(b.Bytes())
	return err
}
