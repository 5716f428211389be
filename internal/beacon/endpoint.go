package beacon

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Path is a way on which beacons go: an interface, with one of the two versions of IP.
type Path struct {
	Index    int    // of the interface; 0 where the system doesn't tell
	Name     string // of the interface
	Loopback bool
	IPv6     bool
}

// compare orders paths: loopback first, as it is the shortest, then by interface.
func (p Path) compare(other Path) int {
	return cmp.Or(truth(other.Loopback)-truth(p.Loopback), cmp.Compare(p.Index, other.Index), truth(p.IPv6)-truth(other.IPv6))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Family returns "IPv4" or "IPv6".
func (p Path) Family() string {
	if p.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// Announceable reports whether an address means something to others at all.
func Announceable(addr string) bool { return strings.HasPrefix(addr, scheme) }

// Announced returns what a broker that listens at addrs says of it on a path, whose
// interface has the address own. A wildcard host becomes that address, so that the MAC
// holds for it: a receiver that took the sender's address instead could be sent
// elsewhere by whoever repeats the datagram. Loopback addresses are for loopback alone.
// What isn't tcp:// means nothing to others. There are at most MaxEndpoints.
func Announced(addrs []string, on Path, own netip.Addr) []string {
	var all []string
	for _, addr := range addrs {
		if e := announced(addr, on, own); e != "" && len(all) < MaxEndpoints {
			all = append(all, e)
		}
	}
	return all
}

func announced(addr string, on Path, own netip.Addr) string {
	rest, ok := strings.CutPrefix(addr, scheme)
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || host == "*" || err == nil && ip.IsUnspecified():
		if !own.IsValid() || err == nil && ip.Is4() && on.IPv6 {
			return ""
		}
		host = own.WithZone("").String()
	case local(host) && !on.Loopback:
		return ""
	case err == nil && ip.Zone() != "":
		if ip.Zone() != on.Name && ip.Zone() != strconv.Itoa(on.Index) {
			return "" // another link's
		}
		host = ip.WithZone("").String()
	}
	endpoint := scheme + net.JoinHostPort(host, port)
	if _, _, err := splitEndpoint(endpoint); err != nil {
		return ""
	}
	return endpoint
}

// usable returns the first endpoint that can be dialled by who heard it on a path, or
// "". Loopback addresses are the receiver's own machine, so they count on loopback
// only; to link-local ones the zone is added.
func usable(endpoints []string, on Path) string {
	for _, endpoint := range endpoints {
		host, port, err := splitEndpoint(endpoint)
		if err != nil || local(host) && !on.Loopback {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && ip.IsLinkLocalUnicast() && on.Name != "" {
			return scheme + net.JoinHostPort(ip.WithZone(on.Name).String(), strconv.Itoa(int(port)))
		}
		return endpoint
	}
	return ""
}

// local reports whether a host is the machine itself.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
