package beacon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mdpmesh/mesh/transport/curve"
)

// Limits of what a beacon holds.
const (
	MaxSize      = 512 // bytes of a datagram
	MaxName      = 64  // bytes of the names of cluster, broker and incarnation
	MaxEndpoints = 4
	// MinKey is the least length of a cluster key in bytes.
	MinKey = 32
	// MaxExpiry bounds how long a beacon counts.
	MaxExpiry = time.Minute
)

// Key is a public CURVE key.
type Key = curve.Key

// ParseKey reads a key in Z85.
func ParseKey(text string) (Key, error) { return curve.ParseKey(text) }

// Beacon is what a broker says of itself.
type Beacon struct {
	Cluster     string // the mesh that the broker belongs to
	Broker      string // its id
	Incarnation string // of this run of it
	// Started is when this run began, by the broker's clock. Together with the
	// incarnation it tells a new run from a replay of an old one.
	Started time.Time
	// Sent is the broker's clock at this beacon. Both have milliseconds.
	Sent time.Time
	// Sequence grows from beacon to beacon of a run. The datagrams that leave over
	// several interfaces at one time share it.
	Sequence uint64
	// Expiry is how long the beacon counts from when it is heard. It has
	// milliseconds.
	Expiry time.Duration
	// Leaving says that the broker takes nothing new. It is a hint: what was heard
	// before ends, a connection that works goes on.
	Leaving bool
	// Probe marks a datagram that only tries the network. It says nothing.
	Probe bool
	// Signed reports that the datagram has a MAC. Decode sets it, and doesn't look
	// whether the MAC is right; Append goes by its key.
	Signed bool
	// ServerKey is the broker's public CURVE key; zero: it has none.
	ServerKey Key
	// Endpoints are where the broker listens: tcp://host:port, the one that it
	// would like best first. A link-local IPv6 address has no zone, as that means
	// something to the receiver only.
	Endpoints []string
}

// Errors of Decode and Append, wrapped with details.
var (
	// ErrMalformed is the error of what is no beacon, or can't become one.
	ErrMalformed = errors.New("beacon: malformed")
	// ErrVersion is the error of a beacon in another version of the format.
	ErrVersion = errors.New("beacon: other version")
	// ErrTooLarge is the error of what doesn't fit in MaxSize.
	ErrTooLarge = errors.New("beacon: too large")
)

// The layout (docs/protocol.md "Discovery").
const (
	magic   = "MSHB"
	version = 1

	flagLeaving = 0x01
	flagProbe   = 0x02
	flagKey     = 0x04
	flagSigned  = 0x08
	flagsKnown  = flagLeaving | flagProbe | flagKey | flagSigned

	fixed   = 34 // bytes in front of the names
	macSize = sha256.Size
)

// Append appends the beacon as a datagram, with a MAC if there is a key. It fails
// where Decode would not take what it makes.
func (b *Beacon) Append(dst, key []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, version, b.flags(key))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.Expiry/time.Millisecond))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.Started.UnixMilli()))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.Sent.UnixMilli()))
	dst = binary.BigEndian.AppendUint64(dst, b.Sequence)
	for _, name := range [...]string{b.Cluster, b.Broker, b.Incarnation} {
		dst = append(append(dst, byte(len(name))), name...)
	}
	if b.ServerKey != (Key{}) {
		dst = append(dst, b.ServerKey[:]...)
	}
	dst = append(dst, byte(len(b.Endpoints)))
	for _, e := range b.Endpoints {
		dst = append(append(dst, byte(len(e))), e...)
	}
	if key != nil {
		dst = appendMAC(dst, dst[start:], key)
	}
	if n := len(dst) - start; n > MaxSize {
		return dst[:start], fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, n, MaxSize)
	}
	return dst, nil
}

func (b *Beacon) flags(key []byte) (flags byte) {
	if b.Leaving {
		flags |= flagLeaving
	}
	if b.Probe {
		flags |= flagProbe
	}
	if b.ServerKey != (Key{}) {
		flags |= flagKey
	}
	if key != nil {
		flags |= flagSigned
	}
	return flags
}

// Decode reads a datagram. It proves nothing about who sent it.
func Decode(datagram []byte) (Beacon, error) {
	if len(datagram) > MaxSize {
		return Beacon{}, fmt.Errorf("%w: %d bytes or more", ErrTooLarge, len(datagram))
	}
	if len(datagram) <= len(magic) || string(datagram[:len(magic)]) != magic {
		return Beacon{}, fmt.Errorf("%w: it doesn't begin with %s", ErrMalformed, magic)
	}
	if v := datagram[len(magic)]; v != version {
		return Beacon{}, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	if len(datagram) < fixed {
		return Beacon{}, fmt.Errorf("%w: cut off", ErrMalformed)
	}
	flags := datagram[5]
	if flags&^flagsKnown != 0 {
		return Beacon{}, fmt.Errorf("%w: unknown flags %#x", ErrMalformed, flags)
	}
	b := Beacon{
		Leaving: flags&flagLeaving != 0, Probe: flags&flagProbe != 0, Signed: flags&flagSigned != 0,
		Expiry:   time.Duration(binary.BigEndian.Uint32(datagram[6:])) * time.Millisecond,
		Started:  time.UnixMilli(int64(binary.BigEndian.Uint64(datagram[10:]))),
		Sent:     time.UnixMilli(int64(binary.BigEndian.Uint64(datagram[18:]))),
		Sequence: binary.BigEndian.Uint64(datagram[26:]),
	}
	r := reader{rest: datagram[fixed:]}
	b.Cluster, b.Broker, b.Incarnation = r.text(), r.text(), r.text()
	if flags&flagKey != 0 {
		copy(b.ServerKey[:], r.take(curve.KeySize))
	}
	for range r.count() {
		b.Endpoints = append(b.Endpoints, r.text())
	}
	if b.Signed {
		r.take(macSize)
	}
	switch {
	case r.short:
		return Beacon{}, fmt.Errorf("%w: cut off", ErrMalformed)
	case len(r.rest) > 0:
		return Beacon{}, fmt.Errorf("%w: %d bytes behind it", ErrMalformed, len(r.rest))
	case flags&flagKey != 0 && b.ServerKey == (Key{}):
		return Beacon{}, fmt.Errorf("%w: the server key is zero", ErrMalformed)
	}
	if err := b.check(); err != nil {
		return Beacon{}, err
	}
	return b, nil
}

// Verify reports whether the MAC of a signed datagram, one that Decode takes, was made
// with the key.
func Verify(datagram, key []byte) bool {
	body := datagram[:len(datagram)-macSize]
	return hmac.Equal(datagram[len(body):], appendMAC(nil, body, key))
}

func appendMAC(dst, body, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(body) // it never fails
	return mac.Sum(dst)
}

// reader reads a datagram from its front. Where that has too little, it says so once
// at the end.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) count() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) text() string { return string(r.take(r.count())) }

// check says what is wrong with the contents of a beacon.
func (b *Beacon) check() error {
	for _, n := range [...]struct{ what, name string }{{"cluster", b.Cluster}, {"broker", b.Broker}, {"incarnation", b.Incarnation}} {
		if err := CheckName(n.name); err != nil {
			return fmt.Errorf("%w: name of the %s: %w", ErrMalformed, n.what, err)
		}
	}
	switch {
	case b.Expiry < time.Millisecond || b.Expiry > MaxExpiry:
		return fmt.Errorf("%w: expiry of %v, want 1ms to %v", ErrMalformed, b.Expiry, MaxExpiry)
	case outOfRange(b.Started) || outOfRange(b.Sent):
		return fmt.Errorf("%w: a time before 1970", ErrMalformed)
	case len(b.Endpoints) > MaxEndpoints:
		return fmt.Errorf("%w: %d endpoints, more than %d", ErrMalformed, len(b.Endpoints), MaxEndpoints)
	case len(b.Endpoints) == 0 && !b.Leaving && !b.Probe:
		return fmt.Errorf("%w: no endpoint", ErrMalformed)
	}
	for _, e := range b.Endpoints {
		if _, _, err := splitEndpoint(e); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return nil
}

// outOfRange reports whether a time is none that a clock shows. The bounds keep
// differences of two of them within a duration.
func outOfRange(at time.Time) bool {
	ms := at.UnixMilli()
	return ms < 0 || ms > math.MaxInt64/int64(time.Millisecond)
}

// CheckName says what is wrong with the name of a cluster or a broker.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty")
	case len(name) > MaxName:
		return fmt.Errorf("%d bytes, more than %d", len(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("it isn't printable")
	}
	return nil
}

const scheme = "tcp://"

// splitEndpoint reads an endpoint of a beacon: a host that can be dialled, and a port.
func splitEndpoint(endpoint string) (host string, port uint16, err error) {
	rest, ok := strings.CutPrefix(endpoint, scheme)
	if !ok {
		return "", 0, errors.New("an endpoint that isn't tcp://")
	}
	host, digits, err := net.SplitHostPort(rest)
	if err != nil {
		return "", 0, errors.New("an endpoint that isn't tcp://host:port")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("an endpoint whose port isn't 1 to 65535")
	}
	if len(endpoint) > math.MaxUint8 || scheme+net.JoinHostPort(host, strconv.FormatUint(n, 10)) != endpoint {
		return "", 0, errors.New("an endpoint that isn't in its plain form")
	}
	if !goodHost(host) {
		return "", 0, errors.New("an endpoint whose host can't be dialled")
	}
	return host, uint16(n), nil
}

// goodHost takes addresses of one machine, without a zone, and host names.
func goodHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast()
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
