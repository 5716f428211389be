package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	natsSubject      = "echo.raw"
	natsTypedSubject = "echo.typed"
	natsTimeout      = 30 * time.Second // as mesh's default
)

// startNATS starts a server with default options and no log.
func startNATS(ctx context.Context, o server.Options) (*server.Server, error) {
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(&o)
	if err != nil {
		return nil, err
	}
	s.Start()
	context.AfterFunc(ctx, s.Shutdown)
	if !s.ReadyForConnections(startLimit) {
		return nil, errors.New("nats-server isn't ready")
	}
	return s, nil
}

func natsBroker(ctx context.Context, _ setting) (string, error) {
	s, err := startNATS(ctx, server.Options{})
	if err != nil {
		return "", err
	}
	return s.ClientURL(), nil
}

func natsTLSBroker(ctx context.Context, s setting) (string, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, certificateFile), filepath.Join(s.Dir, keyFile))
	if err != nil {
		return "", err
	}
	srv, err := startNATS(ctx, server.Options{
		TLS: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		return "", err
	}
	return srv.ClientURL(), nil
}

func natsConnect(ctx context.Context, url string, options ...nats.Option) (*nats.Conn, error) {
	c, err := nats.Connect(url, options...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, c.Close)
	return c, nil
}

// natsEcho subscribes connections that echo. Several share the requests as a
// queue group; one alone does without, as that is a little faster.
func natsEcho(ctx context.Context, url string, n int, options ...nats.Option) error {
	echo := func(m *nats.Msg) { _ = m.Respond(m.Data) }
	for range n {
		c, err := natsConnect(ctx, url, options...)
		if err != nil {
			return err
		}
		if n == 1 {
			_, err = c.Subscribe(natsSubject, echo)
		} else {
			_, err = c.QueueSubscribe(natsSubject, "workers", echo)
		}
		if err := errors.Join(err, c.Flush()); err != nil {
			return err
		}
	}
	return nil
}

func natsWorker(ctx context.Context, s setting) (string, error) {
	return "", natsEcho(ctx, s.Address, s.Workers)
}

func natsTLSWorker(ctx context.Context, s setting) (string, error) {
	return "", natsEcho(ctx, s.Address, s.Workers, nats.RootCAs(filepath.Join(s.Dir, certificateFile)))
}

// natsTypedWorker serves with the micro package, as NATS's own services do.
func natsTypedWorker(ctx context.Context, s setting) (string, error) {
	echo := func(r micro.Request) {
		var m message
		if err := json.Unmarshal(r.Data(), &m); err != nil {
			_ = r.Error("400", err.Error(), nil)
			return
		}
		_ = r.RespondJSON(m)
	}
	for range s.Workers {
		c, err := natsConnect(ctx, s.Address)
		if err != nil {
			return "", err
		}
		service, err := micro.AddService(c, micro.Config{Name: "echo", Version: "1.0.0"})
		if err != nil {
			return "", err
		}
		err = service.AddEndpoint("typed", micro.HandlerFunc(echo), micro.WithEndpointSubject(natsTypedSubject))
		if err := errors.Join(err, c.Flush()); err != nil {
			return "", err
		}
	}
	return "", nil
}

func natsClients(ctx context.Context, s setting, kind func(*nats.Conn) connection, options ...nats.Option) ([]connection, error) {
	out := make([]connection, s.Clients)
	for i := range out {
		c, err := natsConnect(ctx, s.Address, options...)
		if err != nil {
			return nil, err
		}
		out[i] = kind(c)
	}
	return out, nil
}

func natsClient(ctx context.Context, s setting) ([]connection, error) {
	return natsClients(ctx, s, natsRawConnection)
}

func natsTLSClient(ctx context.Context, s setting) ([]connection, error) {
	return natsClients(ctx, s, natsRawConnection, nats.RootCAs(filepath.Join(s.Dir, certificateFile)))
}

func natsTypedClient(ctx context.Context, s setting) ([]connection, error) {
	return natsClients(ctx, s, natsTypedConnection)
}

func natsRawConnection(c *nats.Conn) connection {
	return func(size int) func() error {
		data := payload(size)
		return func() error {
			reply, err := c.Request(natsSubject, data, natsTimeout)
			if err != nil {
				return err
			}
			return checkSize(len(reply.Data), size)
		}
	}
}

func natsTypedConnection(c *nats.Conn) connection {
	return func(size int) func() error {
		m := newMessage(size)
		return func() error {
			data, err := json.Marshal(m)
			if err != nil {
				return err
			}
			reply, err := c.Request(natsTypedSubject, data, natsTimeout)
			if err != nil {
				return err
			}
			var result message
			if err := json.Unmarshal(reply.Data, &result); err != nil {
				return err
			}
			return checkSize(len(result.Text), len(m.Text))
		}
	}
}

// natsAlone runs everything in one process, without sockets.
func natsAlone(ctx context.Context, s setting) ([]connection, error) {
	srv, err := startNATS(ctx, server.Options{DontListen: true})
	if err != nil {
		return nil, err
	}
	if err := natsEcho(ctx, "", s.Workers, nats.InProcessServer(srv)); err != nil {
		return nil, err
	}
	return natsClients(ctx, s, natsRawConnection, nats.InProcessServer(srv))
}

const (
	certificateFile = "certificate.pem"
	keyFile         = "key.pem"
)

// makeCertificate makes a certificate for 127.0.0.1 that vouches for itself.
func makeCertificate(_ context.Context, dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "mesh bench"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for file, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: certificate},
		keyFile:         {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
