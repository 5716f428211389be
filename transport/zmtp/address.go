package zmtp

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/mdpmesh/mesh/transport"
)

// address is a parsed one: what package net wants of it.
type address struct {
	network string // "tcp" or "unix"
	host    string // "host:port", or a path
}

const (
	schemeTCP = "tcp://"
	schemeIPC = "ipc://"
	wildcard  = "*"
	// maxPath is the longest path of a Unix socket that every system takes.
	maxPath = 103
)

// parseAddress parses "tcp://host:port" or "ipc://path". Listening addresses may
// have a wildcard for the host, the port or the path.
func parseAddress(addr string, listen bool) (address, error) {
	if rest, ok := strings.CutPrefix(addr, schemeTCP); ok {
		return parseTCP(rest, listen)
	}
	if path, ok := strings.CutPrefix(addr, schemeIPC); ok {
		switch {
		case path == "":
			return address{}, fmt.Errorf("%w: the path is empty", transport.ErrAddress)
		case path == wildcard && !listen:
			return address{}, fmt.Errorf("%w: a wildcard can't be dialled", transport.ErrAddress)
		case len(path) > maxPath:
			return address{}, fmt.Errorf("%w: the path has %d bytes, more than %d", transport.ErrAddress, len(path), maxPath)
		case strings.ContainsRune(path, 0):
			return address{}, fmt.Errorf("%w: a NUL in the path", transport.ErrAddress)
		}
		return address{"unix", path}, nil
	}
	return address{}, fmt.Errorf("%w: want tcp://host:port or ipc://path", transport.ErrAddress)
}

func parseTCP(rest string, listen bool) (address, error) {
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return address{}, fmt.Errorf("%w: want tcp://host:port, an IPv6 address in brackets", transport.ErrAddress)
	}
	if port == wildcard {
		port = "0"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return address{}, fmt.Errorf("%w: the port %q is no number from 0 to 65535, nor *", transport.ErrAddress, port)
	}
	if host == wildcard {
		host = ""
	}
	switch {
	case listen:
	case host == "":
		return address{}, fmt.Errorf("%w: no host to dial", transport.ErrAddress)
	case n == 0:
		return address{}, fmt.Errorf("%w: no port to dial", transport.ErrAddress)
	}
	if strings.ContainsAny(host, "/ \t\r\n\x00") {
		return address{}, fmt.Errorf("%w: %q is no host", transport.ErrAddress, host)
	}
	return address{"tcp", net.JoinHostPort(host, port)}, nil
}
