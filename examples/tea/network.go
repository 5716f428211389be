package main

import (
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
	flags := flag.NewFlagSet("tea "+side, flag.ExitOnError)
	broker := flags.String("broker", "tcp://127.0.0.1:5555", "`addresses` of the brokers, with commas between them")
	_ = flags.Parse(args) // it exits where that fails
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch side {
	case "worker":
		return worker(ctx, *broker)
	case "client":
		return client(ctx, *broker)
	}
	return fmt.Errorf("tea %s: there is a worker and a client", side)
}

// endpoints are the brokers at these addresses.
func endpoints(addrs string) (all []transport.Endpoint) {
	for addr := range strings.SplitSeq(addrs, ",") {
		all = append(all, transport.Endpoint{Addr: addr})
	}
	return all
}

// worker is the room. It serves until ctx ends, and then finishes what it has.
func worker(ctx context.Context, brokers string) error {
	w, err := mesh.NewWorker(mesh.WorkerConfig{
		Transport: zmtp.New(zmtp.Config{}), Brokers: endpoints(brokers),
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
func client(ctx context.Context, brokers string) error {
	return visit(ctx, func(cfg mesh.ClientConfig) (*mesh.Client, error) {
		cfg.Transport, cfg.Brokers = zmtp.New(zmtp.Config{}), endpoints(brokers)
		return mesh.NewClient(cfg)
	})
}
