package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mdpmesh/mesh/transport"
)

// The schemes of addresses.
const (
	TCP = "tcp://"
	IPC = "ipc://"
)

const (
	wildcard = "*"
	// maxPath is the longest path of a Unix socket that every system takes.
	maxPath = 103
)

// Address is a parsed one.
type Address struct {
	Network string // "tcp" or "unix", as package net has it
	Host    string // without brackets; empty: any interface. With "unix" a path.
	Port    uint16 // zero: a free one
}

// String returns the address as package net takes it.
func (a Address) String() string {
	if a.Network == "unix" {
		return a.Host
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Parse parses "tcp://host:port" or "ipc://path". An address to listen at may have
// the wildcard "*" for the host, the port or the path; the path's stays as it is.
// What is wrong wraps [transport.ErrAddress].
func Parse(addr string, listen bool) (Address, error) {
	if rest, ok := strings.CutPrefix(addr, TCP); ok {
		return parseTCP(rest, listen)
	}
	path, ok := strings.CutPrefix(addr, IPC)
	switch {
	case !ok:
		return Address{}, fmt.Errorf("%w: want tcp://host:port or ipc://path", transport.ErrAddress)
	case path == "":
		return Address{}, fmt.Errorf("%w: the path is empty", transport.ErrAddress)
	case path == wildcard && !listen:
		return Address{}, fmt.Errorf("%w: a wildcard can't be dialled", transport.ErrAddress)
	case len(path) > maxPath:
		return Address{}, fmt.Errorf("%w: the path has %d bytes, more than %d", transport.ErrAddress, len(path), maxPath)
	case strings.ContainsRune(path, 0):
		return Address{}, fmt.Errorf("%w: a NUL in the path", transport.ErrAddress)
	}
	return Address{Network: "unix", Host: path}, nil
}

func parseTCP(rest string, listen bool) (Address, error) {
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Address{}, fmt.Errorf("%w: want tcp://host:port, an IPv6 address in brackets", transport.ErrAddress)
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
		return Address{}, fmt.Errorf("%w: the port %q is no number from 0 to 65535, nor *", transport.ErrAddress, port)
	case strings.ContainsAny(host, "/ \t\r\n\x00"):
		return Address{}, fmt.Errorf("%w: %q is no host", transport.ErrAddress, host)
	case !listen && host == "":
		return Address{}, fmt.Errorf("%w: no host to dial", transport.ErrAddress)
	case !listen && n == 0:
		return Address{}, fmt.Errorf("%w: no port to dial", transport.ErrAddress)
	}
	return Address{"tcp", host, uint16(n)}, nil
}

// Remote returns the host from which a connection came, and the address of its other
// end; both are empty for one over ipc, whose other end has neither. Hosts are told
// apart by their IP address, those of IPv6 by the network of 64 bits that each has to
// itself (RFC 4291, 2.5.1): it may take any address in that.
func Remote(opened net.Conn) (host, addr string) {
	tcp, ok := opened.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return "", ""
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is4() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return ip.String(), TCP + tcp.String()
	}
	return netip.PrefixFrom(ip.WithZone(""), hostBits).Masked().String(), TCP + tcp.String()
}

// hostBits is how long the prefix of an IPv6 network is that one host may have.
const hostBits = 64
