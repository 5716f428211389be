package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/beacon"
	"github.com/mdpmesh/mesh/transport"
)

// Addresses that say where to look for brokers.
const (
	schemeDNS = "dns://" // host:port: every address of the host
	schemeSRV = "srv://" // name: every target of the SRV record
)

// patience is how long one way to find brokers may take where there are others, and
// name servers in any case.
const patience = 3 * time.Second

// search is how brokers are looked for: in several ways at once.
type search []way

// way is one of them.
type way struct {
	mesh.Discovery
	sought string                  // what is looked for, for people
	waits  bool                    // what isn't there may still come: nobody asks a name server for that
	stats  func() mesh.BeaconStats // of beacons; nil: they are none
}

// searchFor returns how the brokers of the addresses are found, and with --discover
// those that announce themselves.
func (a *asking) searchFor(addrs []string, serverKey string) (search, error) {
	var all search
	for _, addr := range addrs {
		d, err := discoveryOf(addr, serverKey)
		if err != nil {
			return nil, err
		}
		all = append(all, way{Discovery: d, sought: addr})
	}
	if !a.discover {
		return all, nil
	}
	cfg, err := a.beacons.config(a.getenv, serverKey)
	if err != nil {
		return nil, err
	}
	b, err := mesh.NewBeacons(cfg)
	if err != nil {
		return nil, usageError{err}
	}
	sought := fmt.Sprintf("beacons of %q at UDP port %d", cfg.Cluster, cfg.Port)
	return append(all, way{Discovery: b, sought: sought, waits: true, stats: b.Stats}), nil
}

// discoveryOf returns where the brokers of one address are.
func discoveryOf(addr, serverKey string) (mesh.Discovery, error) {
	cfg := mesh.DNSConfig{ServerKey: serverKey}
	var ok bool
	if cfg.Name, ok = strings.CutPrefix(addr, schemeDNS); !ok {
		if cfg.Name, cfg.SRV = strings.CutPrefix(addr, schemeSRV); !cfg.SRV {
			return mesh.Static(transport.Endpoint{Addr: addr, ServerKey: serverKey}), nil
		}
	}
	d, err := mesh.NewDNS(cfg)
	if err != nil {
		return nil, usageError{fmt.Errorf("--broker %s: %w", addr, err)}
	}
	return d, nil
}

// find returns the brokers that are found, in the order of the ways: those that are
// found at first, or all.
func (s search) find(ctx context.Context, all bool) ([]transport.Endpoint, error) {
	found := make([][]transport.Endpoint, len(s))
	errs := make([]error, len(s))
	var g sync.WaitGroup
	for i, w := range s {
		g.Go(func() {
			ctx := ctx
			if !w.waits || len(s) > 1 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, patience)
				defer cancel()
			}
			found[i], errs[i] = w.find(ctx, all)
		})
	}
	g.Wait()
	var brokers []transport.Endpoint
	for _, b := range slices.Concat(found...) {
		if !slices.Contains(brokers, b) {
			brokers = append(brokers, b)
		}
	}
	if len(brokers) > 0 {
		return brokers, nil
	}
	return nil, s.failed(ctx, errs)
}

// hearing is how long it takes until every broker that announces itself was heard,
// unless a beacon was lost.
const hearing = beacon.DefaultInterval + 200*time.Millisecond

// find returns the first brokers that are found, or all; none where there are none.
func (w *way) find(ctx context.Context, all bool) (brokers []transport.Endpoint, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := false
	err = w.Watch(ctx, func(found []transport.Endpoint) {
		if len(found) == 0 && w.waits || answered && !all {
			return
		}
		brokers = slices.Clone(found)
		switch {
		case !w.waits || !all:
			cancel()
		case !answered:
			time.AfterFunc(hearing, cancel)
		}
		answered = true
	})
	if answered || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return brokers, err
}

// refusedBeacons says which beacons were heard and not believed, for reasons that whoever
// looks for a broker can do something about.
func refusedBeacons(s mesh.BeaconStats) string {
	var text strings.Builder
	for _, r := range []struct {
		n   uint64
		why string
	}{
		{s.Unpinned, "have another server key than the one that was given"},
		{s.WrongMAC, "were made with another cluster key, or with none"},
		{s.Expired + s.Early, "are of another time by this machine's clock"},
	} {
		if r.n > 0 {
			fmt.Fprintf(&text, "; refused beacons that %s (%d)", r.why, r.n)
		}
	}
	return text.String()
}

// failed says why nobody was found.
func (s search) failed(ctx context.Context, errs []error) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	sought := make([]string, len(s))
	hint := ""
	for i, w := range s {
		sought[i] = w.sought
		if w.waits {
			hint = "; mesh doctor says more"
		}
		if w.stats != nil {
			hint = refusedBeacons(w.stats()) + hint
		}
	}
	text := "no broker was found; looked for " + strings.Join(sought, ", ") + hint
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return errors.New(text)
}
