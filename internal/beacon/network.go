package beacon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// What holds where nobody says otherwise.
const (
	DefaultPort       = 17670
	DefaultInterval   = time.Second
	DefaultRescan     = 2 * time.Second
	DefaultWindow     = 5 * time.Minute
	DefaultMaxBrokers = 1024
)

// DefaultGroups returns the groups where nobody says otherwise. Both are for use by
// anybody: of IPv4 in an organization (RFC 2365), of IPv6 on a link (RFC 4291, not
// permanently assigned).
func DefaultGroups() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("239.255.109.101"), netip.MustParseAddr("ff12::6d65:7368")}
}

// Network says where beacons go.
type Network struct {
	// Port is the UDP port.
	Port int
	// Groups are the multicast groups, one of IPv4, one of IPv6, or both.
	Groups []netip.Addr
	// TTL is how many networks a beacon may cross, the first included.
	TTL int
	// Interfaces names those to use; empty: each that is up and takes multicast,
	// and loopback.
	Interfaces []string
	// Rescan is how often the interfaces are looked at again.
	Rescan time.Duration
}

// Check says what is wrong.
func (n *Network) Check() error {
	var four, six int
	for _, g := range n.Groups {
		switch {
		case !g.IsMulticast() || g.Zone() != "":
			return fmt.Errorf("group %v: not a multicast address", g)
		case g.Is4():
			four++
		default:
			six++
		}
	}
	switch {
	case n.Port < 1 || n.Port > 65535:
		return errors.New("port must be 1 to 65535")
	case four+six == 0 || four > 1 || six > 1:
		return errors.New("groups: want one of IPv4, one of IPv6, or both")
	case n.TTL < 1 || n.TTL > 255:
		return errors.New("TTL must be 1 to 255")
	}
	return nil
}

// nic is an interface as it was found.
type nic struct {
	net.Interface
	own4, own6 netip.Addr // its addresses; invalid: none
}

// scan returns the interfaces to use, loopback first.
func (n *Network) scan() ([]nic, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var found []nic
	for _, i := range all {
		if !n.wants(&i) {
			continue
		}
		own4, own6 := addressesOf(&i)
		found = append(found, nic{i, own4, own6})
	}
	slices.SortFunc(found, func(a, b nic) int { return a.path(false).compare(b.path(false)) })
	return found, nil
}

func (n *Network) wants(i *net.Interface) bool {
	if i.Flags&net.FlagUp == 0 {
		return false
	}
	if len(n.Interfaces) > 0 {
		return slices.Contains(n.Interfaces, i.Name)
	}
	return i.Flags&(net.FlagMulticast|net.FlagLoopback) != 0
}

// addressesOf returns an address of each version by which others reach the interface.
// Of IPv6, one that holds beyond the link comes before one that doesn't.
func addressesOf(i *net.Interface) (own4, own6 netip.Addr) {
	addrs, err := i.Addrs()
	if err != nil {
		return own4, own6 // it is gone again
	}
	for _, a := range addrs {
		prefix, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(prefix.IP)
		ip = ip.Unmap()
		switch {
		case ip.Is4() && !own4.IsValid():
			own4 = ip
		case ip.Is6() && (!own6.IsValid() || own6.IsLinkLocalUnicast() && !ip.IsLinkLocalUnicast()):
			own6 = ip
		}
	}
	return own4, own6
}

func (i *nic) path(six bool) Path {
	return Path{Index: i.Index, Name: i.Name, Loopback: i.Flags&net.FlagLoopback != 0, IPv6: six}
}

// own returns the interface's address of a version.
func (i *nic) own(six bool) netip.Addr {
	if six {
		return i.own6
	}
	return i.own4
}

// carries reports whether beacons of a version go over the interface. Within one
// machine IPv4 does for all, since systems have no route for IPv6 multicast there.
func (i *nic) carries(six bool) bool {
	return i.own(six).IsValid() && (!six || i.Flags&net.FlagLoopback == 0)
}

// Traffic is what went over one path.
type Traffic struct {
	Path
	Sent  uint64
	Heard uint64
	Err   error // why nothing is sent or heard there, or the last time wasn't; nil: all is well
}

// trafficOf returns the traffic by path, in order.
func trafficOf(byPath map[Path]*Traffic) []Traffic {
	all := make([]Traffic, 0, len(byPath))
	for _, t := range byPath {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b Traffic) int { return cmp.Or(a.compare(b.Path), cmp.Compare(a.Name, b.Name)) })
	return all
}

// at returns the entry of a path.
func at(byPath map[Path]*Traffic, on Path) *Traffic {
	t := byPath[on]
	if t == nil {
		t = &Traffic{Path: on}
		byPath[on] = t
	}
	return t
}

// open opens a socket for each group, by fn. One that fails doesn't keep the others
// from serving; all do.
func (n *Network) open(ctx context.Context, fn func(context.Context, netip.Addr) (socket, error)) ([]socket, error) {
	if err := n.Check(); err != nil {
		return nil, fmt.Errorf("beacon: %w", err)
	}
	var all []socket
	var failed []error
	for _, group := range n.Groups {
		s, err := fn(ctx, group)
		if err != nil {
			failed = append(failed, fmt.Errorf("beacon: %w", err))
			continue
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, errors.Join(failed...)
	}
	return all, nil
}
