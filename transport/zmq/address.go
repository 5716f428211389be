//go:build cgo && unix

package zmq

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mdpmesh/mesh/transport"
)

// address is a parsed one: what package net wants of it.
type address struct {
	network string // "tcp" or "unix"
	host    string // a path with "unix"
	port    uint16
}

const (
	schemeTCP = "tcp://"
	schemeIPC = "ipc://"
	wildcard  = "*"
	// maxPath is the longest path of a Unix socket that every system takes.
	maxPath = 103
)

// String returns the address as package net takes it.
func (a address) String() string {
	if a.network == "unix" {
		return a.host
	}
	return net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
}

// parseAddress parses "tcp://host:port" or "ipc://path". Listening addresses may
// have a wildcard for the host, the port or the path.
func parseAddress(addr string, listen bool) (address, error) {
	if rest, ok := strings.CutPrefix(addr, schemeTCP); ok {
		return parseTCP(rest, listen)
	}
	path, ok := strings.CutPrefix(addr, schemeIPC)
	switch {
	case !ok:
		return address{}, fmt.Errorf("%w: want tcp://host:port or ipc://path", transport.ErrAddress)
	case path == "":
		return address{}, fmt.Errorf("%w: the path is empty", transport.ErrAddress)
	case path == wildcard && !listen:
		return address{}, fmt.Errorf("%w: a wildcard can't be dialled", transport.ErrAddress)
	case len(path) > maxPath:
		return address{}, fmt.Errorf("%w: the path has %d bytes, more than %d", transport.ErrAddress, len(path), maxPath)
	case strings.ContainsRune(path, 0):
		return address{}, fmt.Errorf("%w: a NUL in the path", transport.ErrAddress)
	}
	return address{network: "unix", host: path}, nil
}

func parseTCP(rest string, listen bool) (address, error) {
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return address{}, fmt.Errorf("%w: want tcp://host:port, an IPv6 address in brackets", transport.ErrAddress)
	}
	if port == wildcard {
		port = "0"
	}
	if host == wildcard {
		host = ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return address{}, fmt.Errorf("%w: the port %q is no number from 0 to 65535, nor *", transport.ErrAddress, port)
	case strings.ContainsAny(host, "/ \t\r\n\x00"):
		return address{}, fmt.Errorf("%w: %q is no host", transport.ErrAddress, host)
	case !listen && host == "":
		return address{}, fmt.Errorf("%w: no host to dial", transport.ErrAddress)
	case !listen && n == 0:
		return address{}, fmt.Errorf("%w: no port to dial", transport.ErrAddress)
	}
	return address{"tcp", host, uint16(n)}, nil
}

// endpoint is an address in the form that libzmq takes.
type endpoint struct {
	uri string
	v6  bool
}

// endpoints looks the address up and returns what it stands for, in the order in
// which it is to be tried.
func (a address) endpoints(ctx context.Context) ([]endpoint, error) {
	if a.network == "unix" {
		return []endpoint{{uri: schemeIPC + a.host}}, nil
	}
	found, err := lookup(ctx, a.host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", transport.ErrRefused, err)
	}
	all := make([]endpoint, len(found))
	for i, ip := range found {
		ip = ip.Unmap()
		all[i] = endpoint{schemeTCP + netip.AddrPortFrom(ip, a.port).String(), ip.Is6()}
	}
	return all, nil
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
