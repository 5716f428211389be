package main

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh/transport/curve"
)

// newKeygen returns "mesh keygen".
func newKeygen(c console) *cobra.Command {
	var name string
	var cluster bool
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a pair of CURVE keys and print the public one",
		Long: "Make a pair of CURVE keys and print the public one. FILE (mesh.cert if there is none) gets the public certificate, to be\n" +
			"handed out, and FILE_secret the one with both keys, readable for you alone. They have the form of CZMQ's tools. Files that\n" +
			"exist are never overwritten.\n\n" +
			"With --cluster it makes the secret key of a cluster instead, with which brokers sign their beacons, and prints nothing. FILE is\n" +
			"mesh.key then if there is none. It belongs on every machine that announces a broker or looks for one.",
		Example: "  mesh keygen broker.cert --name broker\n  mesh keygen --cluster mesh.key",
		Args:    arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := "mesh.cert"
			if cluster {
				path = "mesh.key"
			}
			if len(args) > 0 {
				path = args[0]
			}
			switch {
			case cluster && name != "":
				return usageError{errors.New("--name is for CURVE keys, not for those of a cluster")}
			case cluster:
				return clusterKeygen(c, path)
			}
			return keygen(c, path, name)
		},
	}
	cmd.Flags().BoolVar(&cluster, "cluster", false, "make the secret key of a cluster's beacons")
	cmd.Flags().StringVar(&name, "name", "", "whose keys they are; it is written into the files, for people")
	return cmd
}

func keygen(c console, path, name string) error {
	keys, err := curve.Generate(rand.Reader)
	if err != nil {
		return err
	}
	cert := curve.Certificate{Public: keys.Public, Secret: keys.Secret}
	if name != "" {
		cert.Metadata = []curve.Field{{Name: "name", Value: name}}
	}
	if err := cert.WriteFiles(path); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.err, "wrote %s and %s_secret\n", path, path)
	_, err = fmt.Fprintln(c.out, cert.Public)
	return err
}
