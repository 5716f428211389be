package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
	"github.com/mdpmesh/mesh/transport/zmtp"
)

const curveFile = "curve.key"

// makeCurveKeys makes the one pair of keys that broker, worker and client have.
func makeCurveKeys(_ context.Context, dir string) error {
	keys, err := curve.Generate(rand.Reader)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, curveFile), []byte(keys.Secret.Z85()), 0o600)
}

// curveNetwork is zmtpNetwork with CURVE on every hop.
var curveNetwork network = func(s setting) (transport.Transport, string, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, curveFile))
	if err != nil {
		return nil, "", err
	}
	secret, err := curve.ParseSecretKey(string(text))
	if err != nil {
		return nil, "", err
	}
	keys := &curve.KeyPair{Public: secret.Public(), Secret: secret}
	return zmtp.New(zmtp.Config{
		Keys:         keys,
		Authenticate: func(key curve.Key) (string, bool) { return "bench", key == keys.Public },
	}), keys.Public.String(), nil
}
