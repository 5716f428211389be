//go:build cgo && unix

package zmq

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/internal/sockets"
)

// endpoint is an address in the form that libzmq takes.
type endpoint struct {
	uri string
	v6  bool
}

// endpoints looks an address up and returns what it stands for, in the order in
// which it is to be tried.
func endpoints(ctx context.Context, a sockets.Address) ([]endpoint, error) {
	if a.Network == "unix" {
		return []endpoint{{uri: sockets.IPC + a.Host}}, nil
	}
	found, err := lookup(ctx, a.Host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", transport.ErrRefused, err)
	}
	all := make([]endpoint, len(found))
	for i, ip := range found {
		ip = ip.Unmap()
		all[i] = endpoint{sockets.TCP + netip.AddrPortFrom(ip, a.Port).String(), ip.Is6()}
	}
	return all, nil
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
