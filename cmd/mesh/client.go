package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	brokers   []string
	serverKey string
	keyfile   string
	timeout   time.Duration
	verbose   bool
}

func (a *asking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&a.brokers, "broker", nil, "address of a broker, several for failover (default $MESH_BROKER, or "+defaultBroker+")")
	f.StringVar(&a.serverKey, "server-key", "", "the broker's public CURVE key, 40 characters (default $MESH_SERVER_KEY)")
	f.StringVar(&a.keyfile, "curve-keyfile", "", "certificate with this side's CURVE keys, as keygen makes it (default $MESH_CURVE_KEYFILE)")
	f.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait in all")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say what happens to the connection")
}

// client returns a client of the brokers. Whoever asked for it closes it.
func (a *asking) client() (*mesh.Client, error) {
	if a.timeout <= 0 {
		return nil, usageError{errors.New("--timeout must be positive")}
	}
	serverKey := cmp.Or(a.serverKey, a.getenv("MESH_SERVER_KEY"))
	keys, err := readKeys(cmp.Or(a.keyfile, a.getenv("MESH_CURVE_KEYFILE")))
	if err != nil {
		return nil, err
	}
	if serverKey != "" && keys == nil {
		return nil, usageError{errors.New("a server key needs --curve-keyfile; make one with: mesh keygen")}
	}
	brokers := a.brokers
	if len(brokers) == 0 {
		brokers = []string{cmp.Or(a.getenv("MESH_BROKER"), defaultBroker)}
	}
	cfg := mesh.ClientConfig{Transport: zmtp.New(zmtp.Config{Keys: keys}), Name: "mesh"}
	for _, addr := range brokers {
		cfg.Brokers = append(cfg.Brokers, transport.Endpoint{Addr: addr, ServerKey: serverKey})
	}
	if a.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(a.err, nil))
	}
	return mesh.NewClient(cfg)
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

// ask has do ask a broker.
func (a *asking) ask(ctx context.Context, do func(context.Context, *mesh.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return errors.Join(do(ctx, c), c.Close())
}

// describe returns an error as people see it: with the code of a failed call, and
// what is wrong with each parameter.
func describe(err error) string {
	var e *mesh.Error
	if !errors.As(err, &e) {
		return "mesh: " + err.Error()
	}
	text := fmt.Sprintf("mesh: %s (%d): %s", e.Code, int(e.Code), e.Message)
	for _, f := range mesh.Faults(err) {
		path := f.Path
		if path == "" {
			path = "the parameters"
		}
		text += "\n  " + path + ": " + f.Message
	}
	if len(e.Data) > 0 && e.Code != mesh.CodeInvalidParams {
		text += "\n  data: " + string(e.Data)
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf("\n  try again in %v", e.RetryAfter)
	}
	return text
}

// printJSON prints a value of JSON as people read it.
func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
