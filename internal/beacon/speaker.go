package beacon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Speaker says where a broker is.
type Speaker struct {
	Network
	// Beacon is what is said. Sent, Sequence, Endpoints and Leaving are filled in.
	Beacon
	// Addrs are where the broker listens; see Announced. A probe needs none.
	Addrs []string
	// Key makes the MAC; nil: there is none.
	Key []byte
	// Interval is the time between two beacons.
	Interval time.Duration
	// Note, if not nil, hears how a path failed, each time for another reason.
	Note func(on Path, err error)

	mu      sync.Mutex // guards what follows
	traffic map[Path]*Traffic
	sent    uint64 // on paths that are gone
}

// Run speaks at once and at each interval, until ctx ends. Then it says that the broker
// leaves, unless it only probes, and returns ctx's error. It fails where there is
// nothing that could ever be said, or no socket to say it with. It may be called once.
func (s *Speaker) Run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	sockets, err := s.open(ctx, s.speaking)
	if err != nil {
		return err
	}
	defer func() {
		for _, out := range sockets {
			_ = out.Close() // nothing is under way
		}
	}()
	nics, err := s.scan()
	if err != nil {
		return fmt.Errorf("beacon: interfaces: %w", err)
	}
	scanned := time.Now()
	every := time.NewTicker(s.Interval)
	defer every.Stop()
	for {
		if time.Since(scanned) >= s.Rescan {
			if again, err := s.scan(); err == nil { // otherwise those that were there
				nics = again
				s.forget(nics)
			}
			scanned = time.Now()
		}
		s.round(sockets, nics)
		select {
		case <-ctx.Done():
			if s.Leaving = !s.Probe; s.Leaving {
				s.round(sockets, nics)
			}
			return ctx.Err()
		case <-every.C:
		}
	}
}

// check finds what would fail on every interface.
func (s *Speaker) check() error {
	b := s.Beacon
	b.Sent, b.Leaving = b.Started, true
	_, err := b.Append(nil, s.Key)
	return err
}

// round says the same on every path.
func (s *Speaker) round(sockets []socket, nics []nic) {
	s.Sequence++
	s.Sent = time.Now()
	for _, i := range nics {
		for _, out := range sockets {
			if i.carries(out.six()) {
				s.say(out, &i)
			}
		}
	}
}

func (s *Speaker) say(out socket, i *nic) {
	on := i.path(out.six())
	b := s.Beacon
	b.Endpoints = Announced(s.Addrs, on, i.own(out.six()))
	if len(b.Endpoints) == 0 && !b.Probe {
		return // the broker can't be reached that way
	}
	datagram, err := b.Append(nil, s.Key)
	if err == nil {
		err = out.write(&i.Interface, datagram)
	}
	s.wrote(on, err)
}

func (s *Speaker) wrote(on Path, err error) {
	s.mu.Lock()
	if s.traffic == nil {
		s.traffic = make(map[Path]*Traffic)
	}
	t := at(s.traffic, on)
	fresh := err != nil && (t.Err == nil || t.Err.Error() != err.Error())
	t.Err = err
	if err == nil {
		t.Sent++
	}
	s.mu.Unlock()
	if fresh && s.Note != nil {
		s.Note(on, err)
	}
}

// forget drops what is known of paths over interfaces that went: where containers come
// and go it would grow for ever.
func (s *Speaker) forget(nics []nic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for on, t := range s.traffic {
		if !slices.ContainsFunc(nics, func(i nic) bool { return i.path(on.IPv6) == on }) {
			s.sent += t.Sent
			delete(s.traffic, on)
		}
	}
}

// Datagrams returns how many were sent, also on paths that are gone.
func (s *Speaker) Datagrams() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	for _, t := range s.traffic {
		sent += t.Sent
	}
	return sent
}

// Traffic returns what was sent on each path that is there.
func (s *Speaker) Traffic() []Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return trafficOf(s.traffic)
}
