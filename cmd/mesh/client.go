package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

// defaultBroker is asked where neither --broker nor MESH_BROKER says which.
const defaultBroker = "tcp://127.0.0.1:5555"

// asking are the flags of the commands that ask a broker.
type asking struct {
	console
	brokers      []string
	discover     bool
	beacons      beaconing
	serverKey    string
	keyfile      string
	timeout      time.Duration
	verbose      bool
	interceptors []mesh.Interceptor // no flag
}

func (a *asking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&a.brokers, "broker", nil,
		"address of the broker, tcp://, ipc://, dns://host:port for every address of a host, srv://name for every target of an SRV record; "+
			"of several, with commas between them, one that can be reached (default $MESH_BROKER, or "+defaultBroker+")")
	f.BoolVar(&a.discover, "discover", false, "look for brokers that announce themselves by beacons")
	a.beacons.flags(f)
	f.StringVar(&a.serverKey, "server-key", "", "the broker's public CURVE key, 40 characters (default $MESH_SERVER_KEY)")
	f.StringVar(&a.keyfile, "curve-keyfile", "", "file with your own CURVE keys, as keygen makes it (default $MESH_CURVE_KEYFILE)")
	f.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait in all; 0: as long as it takes")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log what is wrong with the connection")
}

// ask has do ask a broker.
func (a *asking) ask(ctx context.Context, do func(context.Context, *mesh.Client) error) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	cfg, err := a.config(ctx, false)
	if err != nil {
		return err
	}
	return askWith(ctx, cfg, do)
}

// bounded bounds what a command does by --timeout.
func (a *asking) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout > 0 {
		return context.WithTimeout(ctx, a.timeout)
	}
	return context.WithCancel(ctx)
}

// askWith has do ask a broker with a config that was made of the flags.
func askWith(ctx context.Context, cfg mesh.ClientConfig, do func(context.Context, *mesh.Client) error) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	cfg.Transport = &reaching{Transport: cfg.Transport, brokers: cfg.Brokers, giveUp: giveUp}
	c, err := mesh.NewClient(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it always returns nil
	return do(ctx, c)
}

// config makes of the flags what a client needs, and finds brokers: the first, or all.
func (a *asking) config(ctx context.Context, all bool) (mesh.ClientConfig, error) {
	if !a.discover && a.beacons.given() {
		return mesh.ClientConfig{}, usageError{errors.New("--cluster, --cluster-keyfile and the --beacon flags need --discover")}
	}
	cfg, err := a.credentials()
	if err == nil {
		cfg.Brokers, err = a.find(ctx, all)
	}
	if err == nil {
		err = a.fits(cfg.Brokers)
	}
	return cfg, err
}

// fits says what is wrong where none of the brokers can be spoken to, as these have
// CURVE keys and the asker has none, or the other way round. What was typed was looked
// at before; this is of brokers that announce themselves.
func (a *asking) fits(brokers []transport.Endpoint) error {
	for _, b := range brokers {
		if (b.ServerKey != "") == a.hasKeys() {
			return nil
		}
	}
	if a.hasKeys() {
		return fmt.Errorf("%s has no CURVE keys, or doesn't announce them: --curve-keyfile needs --server-key then", brokers[0].Addr)
	}
	return fmt.Errorf("%s has CURVE keys: name the file with your own by --curve-keyfile", brokers[0].Addr)
}

// credentials makes of the flags what a client needs but for brokers.
func (a *asking) credentials() (mesh.ClientConfig, error) {
	cfg := mesh.ClientConfig{Name: "mesh", Timeout: -1, Interceptors: a.interceptors}
	if a.timeout < 0 {
		return cfg, usageError{errors.New("--timeout must not be negative")}
	}
	serverKey := cmp.Or(a.serverKey, a.getenv("MESH_SERVER_KEY"))
	keyfile := cmp.Or(a.keyfile, a.getenv("MESH_CURVE_KEYFILE"))
	switch {
	case serverKey != "" && keyfile == "":
		return cfg, usageError{errors.New("--server-key needs --curve-keyfile; mesh keygen makes one")}
	case serverKey == "" && keyfile != "" && !a.discover:
		return cfg, usageError{errors.New("--curve-keyfile needs --server-key, the broker's public key")}
	case serverKey != "":
		if _, err := curve.ParseKey(serverKey); err != nil {
			return cfg, usageError{fmt.Errorf("--server-key: %w", err)}
		}
	}
	keys, err := readKeys(keyfile)
	if err != nil {
		return cfg, err
	}
	cfg.Transport = zmtp.New(zmtp.Config{Keys: keys})
	if a.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(a.err, nil))
	}
	return cfg, nil
}

// find returns where the brokers are that the flags speak of.
func (a *asking) find(ctx context.Context, all bool) ([]transport.Endpoint, error) {
	addrs := a.brokers
	if len(addrs) == 0 && !a.discover {
		addrs = strings.Split(cmp.Or(a.getenv("MESH_BROKER"), defaultBroker), ",")
	}
	s, err := a.searchFor(addrs, cmp.Or(a.serverKey, a.getenv("MESH_SERVER_KEY")))
	if err != nil {
		return nil, err
	}
	return s.find(ctx, all)
}

// readKeys reads a certificate with both keys; no path is no keys.
func readKeys(path string) (*curve.KeyPair, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no keys is what the zero value of a config means
	}
	cert, err := curve.ReadCertificate(path)
	if err != nil {
		return nil, err
	}
	if !cert.HasSecret() {
		return nil, fmt.Errorf("%s has no secret key; name the file that ends in _secret", path)
	}
	return &curve.KeyPair{Public: cert.Public, Secret: cert.Secret}, nil
}
