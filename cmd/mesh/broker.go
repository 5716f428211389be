package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/keyring"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// serving are the flags of "mesh broker".
type serving struct {
	console
	listen    []string
	id        string
	keyfile   string
	authorize string
	operate   bool
	heartbeat mesh.Heartbeat
	drain     time.Duration
	logJSON   bool
}

// reloadEvery is how often the file of keys and rules is looked at.
const reloadEvery = 2 * time.Second

// newBroker returns "mesh broker".
func newBroker(c console) *cobra.Command {
	s := &serving{console: c}
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker until SIGTERM or SIGINT",
		Long: "Run a broker. On SIGTERM or SIGINT it drains: what is running gets its reply, new requests are sent elsewhere, and\n" +
			"it exits with 0. A second signal, or the end of --drain-timeout, cuts what is left.",
		Example: "  mesh broker --listen tcp://127.0.0.1:5555 --listen ipc:///run/mesh.sock\n" +
			"  mesh broker --listen tcp://*:5555 --curve-keyfile broker.cert_secret --authorize peers.toml",
		Args: exactly(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.listen, "listen", []string{defaultBroker}, "address to listen at, tcp://host:port or ipc://path; may be given several times")
	f.StringVar(&s.id, "id", "", "name of the broker (default: a random one)")
	f.StringVar(&s.keyfile, "curve-keyfile", "", "certificate with the broker's CURVE keys, as keygen makes it; needs --authorize")
	f.StringVar(&s.authorize, "authorize", "", "file of peers' keys and rights; it is read again when it changes")
	f.BoolVar(&s.operate, "allow-operate", false, "let every peer pause, drain and disconnect, where there is no --authorize")
	f.DurationVar(&s.heartbeat.Interval, "heartbeat", 2500*time.Millisecond, "interval between two signs of life")
	f.IntVar(&s.heartbeat.Liveness, "liveness", 3, "intervals of silence that end a connection")
	f.DurationVar(&s.drain, "drain-timeout", 30*time.Second, "how long draining may take")
	f.BoolVar(&s.logJSON, "log-json", false, "log as JSON")
	return cmd
}

func (s *serving) run(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(s.err, nil))
	if s.logJSON {
		logger = slog.New(slog.NewJSONHandler(s.err, nil))
	}
	// Signals count from here on: whoever started the command may send one at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	net := zmtp.Config{Logger: logger}
	cfg := mesh.BrokerConfig{ID: s.id, Heartbeat: s.heartbeat, AllowOperate: s.operate, Logger: logger}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.secure(ctx, &net, &cfg, logger); err != nil {
		return err
	}
	broker, err := mesh.NewBroker(cfg)
	if err != nil {
		return err
	}
	listeners, err := s.listenAll(ctx, zmtp.New(net))
	if err != nil {
		return err
	}
	for _, l := range listeners {
		logger.Info("listening", "addr", l.Addr())
		fmt.Fprintln(s.out, l.Addr()) // for whoever gave a wildcard
	}
	served := make(chan error, 1)
	go func() { served <- broker.Serve(ctx, listeners...) }()
	select {
	case err := <-served:
		return err
	case sig := <-signals:
		logger.Info("draining", "signal", sig.String(), "timeout", s.drain)
	}
	return s.stop(broker, signals, served, logger)
}

// stop drains the broker, and cuts what is left at a second signal.
func (s *serving) stop(broker *mesh.Broker, signals <-chan os.Signal, served <-chan error, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- broker.Shutdown(ctx) }()
	var err error
	select {
	case err = <-stopped:
	case <-signals:
		cancel()
		err = <-stopped
	}
	<-served
	if err != nil {
		return fmt.Errorf("the broker was cut: %w", err)
	}
	logger.Info("stopped")
	return nil
}

func (s *serving) listenAll(ctx context.Context, t transport.Transport) ([]transport.Listener, error) {
	var all []transport.Listener
	for _, addr := range s.listen {
		l, err := t.Listen(ctx, addr)
		if err != nil {
			for _, opened := range all {
				_ = opened.Close() // nobody has used it
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// secure sets what the flags say of keys and rights.
func (s *serving) secure(ctx context.Context, net *zmtp.Config, cfg *mesh.BrokerConfig, logger *slog.Logger) error {
	if (s.keyfile == "") != (s.authorize == "") {
		return usageError{errors.New("--curve-keyfile and --authorize go together: keys say who somebody is, rules what she may do")}
	}
	if s.keyfile == "" {
		return nil
	}
	keys, err := readKeys(s.keyfile)
	if err != nil {
		return err
	}
	ring, err := keyring.Load(s.authorize)
	if err != nil {
		return err
	}
	net.Keys, net.Authenticate = keys, ring.Authenticate
	cfg.Authorizer = ring
	go func() {
		err := ring.Watch(ctx, reloadEvery, func(err error) {
			if err != nil {
				logger.Error("rules not read again, the old ones hold", "error", err)
				return
			}
			logger.Info("rules read again")
		})
		if ctx.Err() == nil {
			logger.Error("rules aren't watched any more", "error", cmp.Or(err, errors.New("no reason given")))
		}
	}()
	logger.Info("CURVE", "public key", keys.Public.String())
	return nil
}
