package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/transport"
)

// DNSConfig says what a [DNS] looks up. Name is required.
type DNSConfig struct {
	// Name is a host with a port, "brokers.mesh.svc:5555", of which every address is
	// a broker; or with SRV the whole name of a SRV record, such as
	// "_mesh._tcp.example.com", of which every target is one.
	Name string
	// SRV looks up SRV records.
	SRV bool
	// Network says which addresses of a host count: "ip4", "ip6", or "ip" for both.
	// If empty, those of IPv4, and where there are none those of IPv6, so that a
	// broker that has both isn't taken for two. SRV targets are dialled by name.
	Network string
	// ServerKey is the public CURVE key in Z85 of all these brokers. If empty, they
	// are reached without CURVE.
	ServerKey string
	// Interval is the time between two look-ups. If zero, 5 s.
	Interval time.Duration
	// Timeout bounds a look-up. If zero, 5 s.
	Timeout time.Duration
	// Resolver looks up. If nil, net.DefaultResolver.
	Resolver Resolver
	// Logger hears when the resolver begins to fail, and when it serves again. If
	// nil, nobody does.
	Logger *slog.Logger
}

// Resolver looks up names as [net.Resolver] does. A name that doesn't exist is a
// [net.DNSError] with IsNotFound.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

var _ Resolver = (*net.Resolver)(nil)

// DNS is the discovery of brokers that have a name in the DNS, such as those of a
// Kubernetes headless service. It looks the name up again and again. While the
// resolver fails, the last answer holds; that there is no such name is an answer, and
// means no brokers.
type DNS struct {
	cfg        DNSConfig
	logger     *slog.Logger
	host, port string // unless SRV
}

var _ Discovery = (*DNS)(nil)

// NewDNS returns a discovery by DNS, or what is wrong with its config.
func NewDNS(cfg DNSConfig) (*DNS, error) {
	d := &DNS{cfg: cfg, logger: orDiscard(cfg.Logger)}
	switch {
	case cfg.Interval < 0:
		return nil, errors.New("mesh: DNSConfig.Interval is negative")
	case cfg.Timeout < 0:
		return nil, errors.New("mesh: DNSConfig.Timeout is negative")
	case !slices.Contains([]string{"", "ip", "ip4", "ip6"}, cfg.Network):
		return nil, errors.New("mesh: DNSConfig.Network is none of ip, ip4 and ip6")
	case cfg.Name == "":
		return nil, errors.New("mesh: DNSConfig.Name is required")
	}
	if !cfg.SRV {
		var err error
		if d.host, d.port, err = net.SplitHostPort(cfg.Name); err != nil || d.host == "" {
			return nil, fmt.Errorf("mesh: DNSConfig.Name: %q isn't host:port", cfg.Name)
		}
		if n, err := strconv.ParseUint(d.port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("mesh: DNSConfig.Name: the port of %q isn't 1 to 65535", cfg.Name)
		}
	}
	d.cfg.Interval = cmp.Or(cfg.Interval, 5*time.Second)
	d.cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	if cfg.Resolver == nil {
		d.cfg.Resolver = net.DefaultResolver
	}
	return d, nil
}

// Watch looks the brokers up until ctx ends, and returns its error.
func (d *DNS) Watch(ctx context.Context, found func(brokers []transport.Endpoint)) error {
	var last []transport.Endpoint
	var said, failing bool
	every := time.NewTicker(d.cfg.Interval)
	defer every.Stop()
	for ctx.Err() == nil {
		brokers, err := d.lookUp(ctx)
		if ctx.Err() != nil {
			break
		}
		d.report(err, failing)
		if failing = err != nil; !failing && (!said || !slices.Equal(brokers, last)) {
			said, last = true, brokers
			found(slices.Clone(brokers))
		}
		select {
		case <-ctx.Done():
		case <-every.C:
		}
	}
	return ctx.Err()
}

func (d *DNS) report(err error, failing bool) {
	switch {
	case err != nil && !failing:
		d.logger.Warn("looking up brokers fails, the last answer holds", "name", d.cfg.Name, "error", err)
	case err == nil && failing:
		d.logger.Info("looking up brokers works again", "name", d.cfg.Name)
	}
}

// lookUp asks once. Answers come in any order, so they are sorted.
func (d *DNS) lookUp(ctx context.Context) ([]transport.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	hosts, err := d.hosts(ctx)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	brokers := make([]transport.Endpoint, len(hosts))
	for i, host := range hosts {
		brokers[i] = transport.Endpoint{Addr: "tcp://" + host, ServerKey: d.cfg.ServerKey}
	}
	return brokers, nil
}

// hosts returns host:port of each broker.
func (d *DNS) hosts(ctx context.Context) ([]string, error) {
	if d.cfg.SRV {
		return d.targets(ctx)
	}
	addrs, err := d.cfg.Resolver.LookupNetIP(ctx, cmp.Or(d.cfg.Network, "ip"), d.host)
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap() // the resolver may write IPv4 as IPv6
	}
	if d.cfg.Network == "" && slices.ContainsFunc(addrs, netip.Addr.Is4) {
		addrs = slices.DeleteFunc(addrs, netip.Addr.Is6)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var hosts []string
	for _, a := range slices.Compact(addrs) {
		hosts = append(hosts, net.JoinHostPort(a.String(), d.port))
	}
	return hosts, nil
}

// targets returns those of the SRV records, by priority (RFC 2782). Sessions share the
// load out by what brokers do, so weights mean nothing here.
func (d *DNS) targets(ctx context.Context) ([]string, error) {
	_, records, err := d.cfg.Resolver.LookupSRV(ctx, "", "", d.cfg.Name)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	var hosts []string
	for _, r := range records {
		target := strings.TrimSuffix(r.Target, ".")
		if target == "" {
			continue // "there is no such service here"
		}
		if host := net.JoinHostPort(target, strconv.Itoa(int(r.Port))); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, nil
}
