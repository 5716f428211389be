package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
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
	announce  bool
	beacons   beaconing
	heartbeat mesh.Heartbeat
	drain     time.Duration
	logJSON   bool
}

// reloadEvery is how often the file of keys and rights is looked at.
const reloadEvery = time.Second

// gcPercent is GOGC for a broker, unless the environment sets it.
const gcPercent = 400

// newBroker returns "mesh broker".
func newBroker(c console) *cobra.Command {
	s := &serving{console: c}
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker until SIGTERM or SIGINT",
		Long: "Run a broker. It prints each address that it listens at, one a line, and logs to standard error.\n\n" +
			"On SIGTERM or SIGINT it drains: what is running gets its reply, new requests are sent elsewhere, and it exits with 0.\n" +
			"A second signal, or the end of --drain-timeout, cuts what is left; it exits with 1 then.",
		Example: "  mesh broker --listen tcp://127.0.0.1:5555 --listen ipc:///run/mesh.sock\n" +
			"  mesh broker --listen 'tcp://*:5555' --curve-keyfile broker.cert_secret --authorize peers.toml\n" +
			"  mesh broker --listen 'tcp://*:5555' --announce --cluster-keyfile mesh.key",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.listen, "listen", []string{defaultBroker}, "address to listen at, tcp://host:port or ipc://path; may be given several times")
	f.StringVar(&s.id, "id", "", "name of the broker (default a random one)")
	f.StringVar(&s.keyfile, "curve-keyfile", "", "file with the broker's CURVE keys, as keygen makes it; needs --authorize")
	f.StringVar(&s.authorize, "authorize", "", "file of peers' keys and rights, read again when it changes; needs --curve-keyfile")
	f.BoolVar(&s.operate, "allow-operate", false, "let every peer pause, drain and disconnect; with --authorize the rules say who may")
	f.BoolVar(&s.announce, "announce", false, "announce the broker by beacons, UDP multicast once a second, so that others find it with --discover")
	s.beacons.flags(f)
	f.DurationVar(&s.heartbeat.Interval, "heartbeat", 2500*time.Millisecond, "interval between two signs of life")
	f.IntVar(&s.heartbeat.Liveness, "liveness", 3, "intervals of silence that end a connection")
	f.DurationVar(&s.drain, "drain-timeout", 30*time.Second, "how long draining may take")
	f.BoolVar(&s.logJSON, "log-json", false, "log as JSON")
	return cmd
}

// check says what is wrong with the flags.
func (s *serving) check() error {
	var text string
	switch {
	case len(s.listen) == 0:
		text = "--listen needs an address"
	case (s.keyfile == "") != (s.authorize == ""):
		text = "--curve-keyfile and --authorize go together: keys say who a peer is, rules what it may do"
	case s.operate && s.authorize != "":
		text = "--allow-operate and --authorize exclude each other: the rules say who may operate"
	case !s.announce && s.beacons.given():
		text = "--cluster, --cluster-keyfile and the --beacon flags need --announce"
	case s.heartbeat.Interval < 2*time.Millisecond:
		text = "--heartbeat must be at least 2ms"
	case s.heartbeat.Liveness < 1:
		text = "--liveness must be at least 1"
	case s.drain <= 0:
		text = "--drain-timeout must be positive"
	default:
		return nil
	}
	return usageError{errors.New(text)}
}

func (s *serving) run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// Little lives for long here, and much passes through: by Go's own setting
		// a broker under load collects garbage dozens of times a second.
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	// Signals count from here on: whoever started the command may send one at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	logger := slog.New(slog.NewTextHandler(s.err, nil))
	if s.logJSON {
		logger = slog.New(slog.NewJSONHandler(s.err, nil))
	}
	sockets := zmtp.Config{Logger: logger}
	cfg := mesh.BrokerConfig{ID: s.id, Heartbeat: s.heartbeat, AllowOperate: s.operate, Logger: logger}
	rules, err := s.secure(&sockets, &cfg)
	if err != nil {
		return err
	}
	if err := s.present(&sockets, &cfg); err != nil {
		return err
	}
	broker, err := mesh.NewBroker(cfg)
	if err != nil {
		return err
	}
	listeners, err := s.listenAll(ctx, zmtp.New(sockets))
	if err != nil {
		return err
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if rules != nil {
		watching.Go(func() { watch(ctx, rules, logger) })
	}
	for _, l := range listeners {
		_, _ = fmt.Fprintln(s.out, l.Addr()) // a broker whose output nobody reads serves all the same
	}
	served := make(chan error, 1)
	go func() { served <- broker.Serve(ctx, listeners...) }()
	select {
	case err := <-served:
		return err
	case sig := <-signals:
		logger.Info("draining", "signal", sig.String(), "timeout", s.drain)
	}
	err = s.stop(broker, signals)
	if ended := <-served; !errors.Is(ended, mesh.ErrClosed) { // as it is where the signal came before Serve
		err = cmp.Or(err, ended)
	}
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

// stop drains the broker, and cuts what is left at a second signal.
func (s *serving) stop(broker *mesh.Broker, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- broker.Shutdown(ctx) }()
	var err error
	select {
	case err = <-stopped:
	case sig := <-signals:
		cancel()
		if err = <-stopped; err != nil {
			return fmt.Errorf("cut by a second signal (%v) while draining", sig)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cut, as draining took longer than %v", s.drain)
	}
	return err
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

// secure sets what the flags say of keys and rights. It returns the rules, nil where
// there are none.
func (s *serving) secure(sockets *zmtp.Config, cfg *mesh.BrokerConfig) (*keyring.Keyring, error) {
	if s.keyfile == "" {
		return nil, nil //nolint:nilnil // see above
	}
	keys, err := readKeys(s.keyfile)
	if err != nil {
		return nil, err
	}
	rules, err := keyring.Load(s.authorize)
	if err != nil {
		return nil, err
	}
	sockets.Keys, sockets.Authenticate = keys, rules.Authenticate
	cfg.Authorizer = rules
	return rules, nil
}

// present sets what the flags say of announcing the broker. Where there is no cluster
// key, its own server key is what those who hear it know it by.
func (s *serving) present(sockets *zmtp.Config, cfg *mesh.BrokerConfig) error {
	if !s.announce {
		return nil
	}
	if sockets.Keys != nil {
		cfg.ServerKey = sockets.Keys.Public.String()
	}
	beacons, err := s.beacons.config(s.getenv, cfg.ServerKey)
	if err != nil {
		return err
	}
	beacons.Logger = cfg.Logger
	announcer, err := mesh.NewBeacons(beacons)
	if err != nil {
		return usageError{err}
	}
	cfg.Announce = announcer
	return nil
}

// watch has the rules read again whenever their file changes, until ctx ends.
func watch(ctx context.Context, rules *keyring.Keyring, logger *slog.Logger) {
	_ = rules.Watch(ctx, reloadEvery, func(err error) { // it ends with ctx only
		if err != nil {
			logger.Error("rules not read again, the old ones hold", "error", err)
			return
		}
		logger.Info("rules read again")
	})
}
