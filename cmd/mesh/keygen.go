package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh/transport/curve"
)

// newKeygen returns "mesh keygen".
func newKeygen() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a pair of CURVE keys and print the public one",
		Long: "Make a pair of CURVE keys. FILE gets the public certificate, to be handed out, and FILE_secret the one with both keys,\n" +
			"readable for you alone. They have the form of CZMQ's tools. Files that exist are never overwritten.",
		Example: "  mesh keygen broker.cert --name broker",
		Args:    exactly(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "mesh.cert"
			if len(args) > 0 {
				path = args[0]
			}
			keys, err := curve.Generate(rand.Reader)
			if err != nil {
				return err
			}
			cert := curve.Certificate{Public: keys.Public, Secret: keys.Secret}
			if name != "" {
				cert.Metadata = append(cert.Metadata, curve.Field{Name: "name", Value: name})
			}
			if err := cert.WriteFiles(path); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s and %s_secret\n", path, path)
			_, err = fmt.Fprintln(cmd.OutOrStdout(), cert.Public)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "whose keys they are, written into the files for people")
	return cmd
}
