package beacon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// socket is a UDP socket for one group, of IPv4 or IPv6.
type socket interface {
	// six reports whether it is one of IPv6.
	six() bool
	join(i *net.Interface) error
	leave(i *net.Interface) error
	// write sends a datagram to the group over an interface.
	write(i *net.Interface, datagram []byte) error
	// read takes a datagram. It says over which interface it came, 0 where the
	// system doesn't tell, and whether it was sent to the group.
	read(buffer []byte) (arrival, error)
	Close() error
}

// arrival says how a datagram came.
type arrival struct {
	n       int // bytes
	index   int // of the interface; 0: unknown
	toGroup bool
	from    net.Addr
}

// hearing opens a socket that hears a group on a port, as several processes of a
// machine may: package net lets them share the port of a multicast address.
func (n *Network) hearing(ctx context.Context, group netip.Addr) (socket, error) {
	return n.socket(ctx, group, netip.AddrPortFrom(group, uint16(n.Port)).String())
}

// speaking opens a socket that sends to a group.
func (n *Network) speaking(ctx context.Context, group netip.Addr) (socket, error) {
	return n.socket(ctx, group, ":0")
}

func (n *Network) socket(ctx context.Context, group netip.Addr, addr string) (socket, error) {
	var lc net.ListenConfig
	to := net.UDPAddr{IP: group.AsSlice(), Port: n.Port}
	if group.Is4() {
		c, err := lc.ListenPacket(ctx, "udp4", addr)
		if err != nil {
			return nil, err
		}
		s := &socket4{ipv4.NewPacketConn(c), to}
		_ = s.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true) // some systems don't tell
		return s, closeAfter(s, s.SetMulticastTTL(n.TTL), s.SetMulticastLoopback(true))
	}
	c, err := lc.ListenPacket(ctx, "udp6", addr)
	if err != nil {
		return nil, err
	}
	s := &socket6{ipv6.NewPacketConn(c), to}
	_ = s.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true) // some systems don't tell
	return s, closeAfter(s, s.SetMulticastHopLimit(n.TTL), s.SetMulticastLoopback(true))
}

// closeAfter closes a socket where one of the errors is one.
func closeAfter(s socket, errs ...error) error {
	err := errors.Join(errs...)
	if err != nil {
		_ = s.Close() // nobody has used it
	}
	return err
}

type socket4 struct {
	*ipv4.PacketConn
	to net.UDPAddr
}

func (*socket4) six() bool { return false }

func (s *socket4) join(i *net.Interface) error  { return s.JoinGroup(i, &s.to) }
func (s *socket4) leave(i *net.Interface) error { return s.LeaveGroup(i, &s.to) }

func (s *socket4) write(i *net.Interface, datagram []byte) error {
	if err := s.SetMulticastInterface(i); err != nil {
		return err
	}
	_, err := s.WriteTo(datagram, nil, &s.to)
	return err
}

func (s *socket4) read(buffer []byte) (arrival, error) {
	n, beside, from, err := s.ReadFrom(buffer)
	if err != nil || beside == nil {
		return arrival{n: n, toGroup: true, from: from}, err
	}
	return arrival{n, beside.IfIndex, beside.Dst.Equal(s.to.IP), from}, nil
}

type socket6 struct {
	*ipv6.PacketConn
	to net.UDPAddr
}

func (*socket6) six() bool { return true }

func (s *socket6) join(i *net.Interface) error  { return s.JoinGroup(i, &s.to) }
func (s *socket6) leave(i *net.Interface) error { return s.LeaveGroup(i, &s.to) }

func (s *socket6) write(i *net.Interface, datagram []byte) error {
	if err := s.SetMulticastInterface(i); err != nil {
		return err
	}
	to := s.to
	to.Zone = strconv.Itoa(i.Index)
	_, err := s.WriteTo(datagram, nil, &to)
	return err
}

func (s *socket6) read(buffer []byte) (arrival, error) {
	n, beside, from, err := s.ReadFrom(buffer)
	if err != nil || beside == nil {
		return arrival{n: n, toGroup: true, from: from}, err
	}
	return arrival{n, beside.IfIndex, beside.Dst.Equal(s.to.IP), from}, nil
}
