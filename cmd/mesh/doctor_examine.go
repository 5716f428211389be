package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/beacon"
	"github.com/mdpmesh/mesh/transport"
)

const (
	// probeEvery is the time between two probes on an interface.
	probeEvery = 500 * time.Millisecond
	// lastProbe is the time between the last probe and the end of listening, or less.
	lastProbe = 200 * time.Millisecond
	// pings is how often a broker that answers is asked, to see its best.
	pings = 3
	// maxRefused bounds the refusals that are told apart.
	maxRefused = 100
	// askTimeout bounds the time for one broker, besides --timeout.
	askTimeout = 5 * time.Second
	// asked at a time.
	maxAsked = 16
)

func (a *asking) pinned() string { return cmp.Or(a.serverKey, a.getenv("MESH_SERVER_KEY")) }

func (a *asking) hasKeys() bool { return a.keyfile != "" || a.getenv("MESH_CURVE_KEYFILE") != "" }

// named returns the addresses that somebody named.
func (a *asking) named() []string {
	if env := a.getenv("MESH_BROKER"); len(a.brokers) == 0 && env != "" {
		return strings.Split(env, ",")
	}
	return a.brokers
}

// stethoscope hears beacons, and probes that come back.
type stethoscope struct {
	id string // of the probes

	mu       sync.Mutex // guards what follows
	returned map[beacon.Path]int
	refused  map[refusedReport]*refusedReport // by what they have in common
	ahead    map[string]time.Duration         // a broker's clock before ours, by its id
}

func (s *stethoscope) hear(a beacon.Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ahead := a.Beacon.Sent.Sub(a.At.Round(0))
	switch a.Verdict {
	case beacon.Accepted:
		// The one that was under way for the shortest time tells most.
		if best, heard := s.ahead[a.Beacon.Broker]; !heard || ahead > best {
			s.ahead[a.Beacon.Broker] = ahead
		}
	case beacon.Probed:
		if a.Beacon.Broker == s.id {
			s.returned[a.Path]++
		}
	default:
		host := a.From.String()
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		key := refusedReport{Why: a.Verdict.String(), From: host, Interface: a.Name, Broker: a.Beacon.Broker}
		r := s.refused[key]
		if r == nil && len(s.refused) < maxRefused {
			r = new(key)
			s.refused[key] = r
		}
		if r != nil {
			r.Count++
			if a.Verdict == beacon.Expired || a.Verdict == beacon.Early {
				r.ClockMS = ahead.Milliseconds()
			}
		}
	}
}

// listenFor sends probes and hears what comes, for a while.
func listenFor(ctx context.Context, r *report, cfg *mesh.BeaconConfig, d time.Duration) error {
	r.Cluster, r.Port = cfg.Cluster, cfg.Port
	network := beacon.Network{Port: cfg.Port, Groups: beacon.DefaultGroups(), TTL: 1, Interfaces: cfg.Interfaces, Rescan: beacon.DefaultRescan}
	rules := beacon.Rules{Cluster: cfg.Cluster, Keys: cfg.Keys, Window: beacon.DefaultWindow, MaxBrokers: beacon.DefaultMaxBrokers}
	for _, pin := range cfg.Pins {
		key, err := beacon.ParseKey(pin)
		if err != nil {
			return err // never: NewBeacons has read them
		}
		rules.Pins = append(rules.Pins, key)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	s := &stethoscope{
		id:       "doctor-" + hex.EncodeToString(random[:]),
		returned: make(map[beacon.Path]int), refused: make(map[refusedReport]*refusedReport), ahead: make(map[string]time.Duration),
	}
	var mu sync.Mutex // guards brokers
	brokers := make(map[string]beacon.Broker)
	listener := &beacon.Listener{
		Network: network, Counts: new(beacon.Counts), Note: s.hear,
		Changed: func(all []beacon.Broker) {
			mu.Lock()
			defer mu.Unlock()
			for _, b := range all {
				brokers[b.ID] = b
			}
		},
	}
	speaker := &beacon.Speaker{
		Network: network, Interval: probeEvery,
		Beacon: beacon.Beacon{Cluster: cfg.Cluster, Broker: s.id, Incarnation: s.id, Started: time.Now(), Expiry: time.Second, Probe: true},
	}
	if len(cfg.Keys) > 0 {
		speaker.Key = cfg.Keys[0]
	}
	table := beacon.NewTable(rules)
	ready := make(chan struct{})
	listener.Ready = func() { close(ready) }
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	g, bounded := errgroup.WithContext(bounded)
	g.Go(func() error { return listener.Run(bounded, table) })
	g.Go(func() error {
		select {
		case <-ready: // what is sent before doesn't come back
		case <-bounded.Done():
			return bounded.Err()
		}
		speaking, quiet := context.WithTimeout(bounded, d-min(d/4, lastProbe)) // nor what is sent at the very end
		defer quiet()
		return cmp.Or(bounded.Err(), probed(speaker.Run(speaking)))
	})
	if err := g.Wait(); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	for _, b := range table.Brokers() {
		brokers[b.ID] = b // as it was at the end
	}
	r.addTraffic(listener.Traffic(), speaker.Traffic(), s.returned)
	r.addBrokers(brokers, s.ahead)
	r.addRefused(s.refused)
	return nil
}

// probed returns why no probes were sent, nil where their time is over.
func probed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// addTraffic puts together what was sent and heard, by interface.
func (r *report) addTraffic(heard, sent []beacon.Traffic, returned map[beacon.Path]int) {
	add := func(t *beacon.Traffic) {
		i := slices.IndexFunc(r.Interfaces, func(n interfaceReport) bool { return n.Name == t.Name && n.Family == t.Family() })
		if i < 0 {
			i = len(r.Interfaces)
			r.Interfaces = append(r.Interfaces, interfaceReport{Name: t.Name, Family: t.Family(), Returned: returned[t.Path]})
		}
		n := &r.Interfaces[i]
		n.Sent += t.Sent
		n.Heard += t.Heard
		if t.Err != nil && n.Error == "" {
			n.Error = t.Err.Error()
		}
	}
	for i := range heard {
		add(&heard[i])
	}
	for i := range sent {
		add(&sent[i])
	}
}

func (r *report) addBrokers(all map[string]beacon.Broker, ahead map[string]time.Duration) {
	for id, b := range all {
		started, clock := b.Last.Started.UTC(), ahead[id].Milliseconds()
		report := brokerReport{
			Addr: b.Addr, Announced: true, ID: id, Incarnation: b.Last.Incarnation, ServerKey: b.ServerKey,
			Started: &started, ClockMS: &clock,
		}
		for _, p := range b.Paths {
			report.Paths = append(report.Paths, p.Name+" "+p.Family())
		}
		r.Brokers = append(r.Brokers, report)
	}
	slices.SortFunc(r.Brokers, func(a, b brokerReport) int { return strings.Compare(a.ID, b.ID) })
}

func (r *report) addRefused(all map[refusedReport]*refusedReport) {
	for _, f := range all {
		r.Refused = append(r.Refused, *f)
	}
	slices.SortFunc(r.Refused, func(a, b refusedReport) int {
		return cmp.Or(strings.Compare(a.Why, b.Why), strings.Compare(a.From, b.From), strings.Compare(a.Interface, b.Interface), strings.Compare(a.Broker, b.Broker))
	})
}

// addNamed adds the brokers that the addresses lead to and that weren't heard. One that
// leads nowhere is a broker that doesn't answer.
func (e *examining) addNamed(ctx context.Context, r *report, named []string, serverKey string) error {
	if e.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.timeout)
		defer cancel()
	}
	for _, addr := range named {
		one := asking{console: e.console}
		s, err := one.searchFor([]string{addr}, serverKey)
		if err != nil {
			return err
		}
		found, err := s.find(ctx, true)
		if err != nil {
			r.Brokers = append(r.Brokers, brokerReport{Addr: addr, Error: err.Error(), refusal: err})
		}
		for _, b := range found {
			if !slices.ContainsFunc(r.Brokers, func(known brokerReport) bool { return known.Addr == b.Addr }) {
				r.Brokers = append(r.Brokers, brokerReport{Addr: b.Addr, ServerKey: b.ServerKey})
			}
		}
	}
	return nil
}

// examineAll asks every broker for a sign of life.
func examineAll(ctx context.Context, r *report, cfg *mesh.ClientConfig, timeout time.Duration) {
	if timeout <= 0 || timeout > askTimeout {
		timeout = askTimeout
	}
	var g errgroup.Group
	g.SetLimit(maxAsked)
	for i := range r.Brokers {
		b := &r.Brokers[i]
		if b.refusal != nil {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			if b.refusal = b.ask(ctx, *cfg); b.refusal != nil {
				b.Error = strings.TrimPrefix(explain(b.refusal), "mesh: ")
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in the report
}

// ask asks one broker over a connection of its own.
func (b *brokerReport) ask(ctx context.Context, cfg mesh.ClientConfig) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	cfg.Brokers = []transport.Endpoint{{Addr: b.Addr, ServerKey: b.ServerKey}}
	cfg.Transport = &reaching{Transport: cfg.Transport, brokers: cfg.Brokers, giveUp: giveUp}
	c, err := mesh.NewClient(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it always returns nil
	for n := range 1 + pings {
		begun := time.Now()
		info, err := c.Ping(ctx)
		took := float64(time.Since(begun).Microseconds()) / 1000
		switch {
		case errors.Is(err, mesh.ErrNoMethod):
			b.Answers, b.Plain = true, true
			return nil
		case err != nil && context.Cause(ctx) != nil:
			return cmp.Or(unreachable(context.Cause(ctx)), err)
		case err != nil:
			return err
		case n == 0:
			b.Answers, b.ConnectMS = true, took
			b.AnswersAs, b.Version, b.Draining = info.ID, info.Version, info.Draining
		case n == 1 || took < b.PingMS:
			b.PingMS = took
		}
	}
	return nil
}

// unreachable returns why a broker can't be reached, where that is the cause.
func unreachable(cause error) error {
	if e, ok := errors.AsType[unreachableError](cause); ok {
		return e.error
	}
	return nil
}
