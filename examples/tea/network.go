package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// overNetwork is one side of the tea room in a process of its own.
func overNetwork(side string, args []string) error {
	var l lookout
	flags := flag.NewFlagSet("tea "+side, flag.ExitOnError)
	l.flags(flags)
	_ = flags.Parse(args) // it exits where that fails
	brokers, err := l.brokers()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch side {
	case "worker":
		return worker(ctx, brokers)
	case "client":
		return client(ctx, brokers)
	}
	return fmt.Errorf("tea %s: there is a worker and a client", side)
}

// lookout is what the flags say of where brokers are: at addresses, or where their
// beacons say.
type lookout struct {
	addrs      string
	discover   bool
	cluster    string
	keyfile    string
	interfaces string
	port       int
}

func (l *lookout) flags(f *flag.FlagSet) {
	f.StringVar(&l.addrs, "broker", "tcp://127.0.0.1:5555", "`addresses` of the brokers, with commas between them")
	f.BoolVar(&l.discover, "discover", false, "look for brokers that announce themselves, in place of addresses")
	f.StringVar(&l.cluster, "cluster", cmp.Or(os.Getenv("MESH_CLUSTER"), "mesh"), "`name` of the mesh in beacons")
	f.StringVar(&l.keyfile, "cluster-keyfile", os.Getenv("MESH_CLUSTER_KEYFILE"), "`file` with the cluster's key")
	f.StringVar(&l.interfaces, "beacon-interface", "", "network `interfaces` to hear beacons on, with commas between them (default all)")
	f.IntVar(&l.port, "beacon-port", 0, "UDP `port` of beacons (default 17670)")
}

// brokers returns where the brokers are.
func (l *lookout) brokers() (mesh.Discovery, error) {
	if !l.discover {
		var all []transport.Endpoint
		for addr := range strings.SplitSeq(l.addrs, ",") {
			all = append(all, transport.Endpoint{Addr: addr})
		}
		return mesh.Static(all...), nil
	}
	if l.keyfile == "" {
		return nil, errors.New("tea: --discover needs --cluster-keyfile, so that nobody else can pose as a broker")
	}
	keys, err := mesh.ReadClusterKeys(l.keyfile)
	if err != nil {
		return nil, err
	}
	cfg := mesh.BeaconConfig{Cluster: l.cluster, Keys: keys, Port: l.port}
	if l.interfaces != "" {
		cfg.Interfaces = strings.Split(l.interfaces, ",")
	}
	return mesh.NewBeacons(cfg)
}

// worker is the room. It serves until ctx ends, and then finishes what it has.
func worker(ctx context.Context, brokers mesh.Discovery) error {
	w, err := mesh.NewWorker(mesh.WorkerConfig{
		Transport: zmtp.New(zmtp.Config{}), Discovery: brokers,
		Errors: codes(), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, room())
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- w.Run(context.Background()) }()
	select {
	case <-w.Ready():
		log.Print("The tea room is open.")
	case <-ctx.Done():
	}
	<-ctx.Done()
	return errors.Join(w.Shutdown(context.Background()), <-ran)
}

// client is the guests.
func client(ctx context.Context, brokers mesh.Discovery) error {
	return visit(ctx, func(cfg mesh.ClientConfig) (*mesh.Client, error) {
		cfg.Transport, cfg.Discovery = zmtp.New(zmtp.Config{}), brokers
		return mesh.NewClient(cfg)
	})
}
