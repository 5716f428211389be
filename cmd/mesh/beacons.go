package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/beacon"
)

// beaconing are the flags of the commands that send or hear beacons.
type beaconing struct {
	cluster    string
	keyfile    string
	port       int
	interfaces []string
	insecure   bool
}

// defaultCluster is the cluster where neither --cluster nor MESH_CLUSTER says which.
const defaultCluster = "mesh"

func (b *beaconing) flags(f *pflag.FlagSet) {
	f.StringVar(&b.cluster, "cluster", "", "name of the mesh in beacons (default $MESH_CLUSTER, or "+defaultCluster+")")
	f.StringVar(&b.keyfile, "cluster-keyfile", "", "file with the cluster's key, as keygen --cluster makes it (default $MESH_CLUSTER_KEYFILE)")
	f.IntVar(&b.port, "beacon-port", beacon.DefaultPort, "UDP port of beacons")
	f.StringSliceVar(&b.interfaces, "beacon-interface", nil, "network interface to use; may be given several times (default each that takes multicast, and loopback)")
	f.BoolVar(&b.insecure, "beacon-insecure", false, "believe beacons without a proof; anybody on the network can pose as a broker then")
}

// given reports that a flag says something of beacons.
func (b *beaconing) given() bool {
	return b.cluster != "" || b.keyfile != "" || b.port != 0 && b.port != beacon.DefaultPort || len(b.interfaces) > 0 || b.insecure
}

// config makes of the flags what beacons need. pins are the server keys that count where
// there are any.
func (b *beaconing) config(getenv func(string) string, pins ...string) (mesh.BeaconConfig, error) {
	cfg := mesh.BeaconConfig{
		Cluster: cmp.Or(b.cluster, getenv("MESH_CLUSTER"), defaultCluster),
		Port:    b.port, Interfaces: b.interfaces, Insecure: b.insecure,
	}
	for _, pin := range pins {
		if pin != "" && !b.insecure {
			cfg.Pins = append(cfg.Pins, pin)
		}
	}
	path := b.keyfile
	if path == "" && !b.insecure {
		path = getenv("MESH_CLUSTER_KEYFILE")
	}
	switch {
	case path != "" && b.insecure:
		return cfg, usageError{errors.New("--cluster-keyfile and --beacon-insecure exclude each other")}
	case path == "" && len(cfg.Pins) == 0 && !b.insecure:
		return cfg, usageError{errors.New("beacons need --cluster-keyfile, so that nobody can pose as a broker (mesh keygen --cluster makes one), " +
			"or a server key, or --beacon-insecure")}
	case path == "":
		return cfg, nil
	}
	var err error
	cfg.Keys, err = mesh.ReadClusterKeys(path)
	return cfg, err
}

// clusterKeygen writes a new cluster key to a file, readable for its owner alone.
func clusterKeygen(c console, path string) error {
	key := make([]byte, beacon.MinKey)
	_, _ = rand.Read(key)                                                 // it never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- whoever typed the command chose the file
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and is not overwritten", path)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# Key of a mesh's cluster. Whoever has it can pose as a broker.\n%x\n", key)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	_, _ = fmt.Fprintf(c.err, "wrote %s\n", path)
	return nil
}
