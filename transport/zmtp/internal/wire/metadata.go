package wire

import (
	"encoding/binary"
	"math"
	"strconv"
)

const (
	// MaxIdentity is the largest identity (RFC 37, The Identity Property).
	MaxIdentity = 255
	// MaxProperties is the largest number of properties that ParseMetadata takes,
	// so that a peer can't make it build a long list.
	MaxProperties = 64
)

// The names of the properties that RFC 37 defines.
const (
	socketTypeName = "Socket-Type"
	identityName   = "Identity"
	resourceName   = "Resource"
)

// Metadata is what a peer says of itself at the end of the handshake: in READY
// with the mechanism NULL, in INITIATE and READY with CURVE (RFC 37, Connection
// Metadata).
type Metadata struct {
	// SocketType is the sender's type; empty if it didn't say.
	SocketType SocketType
	// Identity is the routing id that the sender would like at a ROUTER; empty if
	// it is to choose one. At most [MaxIdentity] bytes, of which the first isn't
	// zero.
	Identity []byte
	// Resource is what the sender wants to reach at the address; nil if it didn't
	// say.
	Resource []byte
	// Others are all further properties, as they came. An application's own names
	// begin with "X-".
	Others []Property
}

// Property is a name and a value. The case of the name doesn't count.
type Property struct{ Name, Value []byte }

// AppendTo appends the properties to dst and returns it. As libzmq does, it writes
// an empty Identity too if the socket type is one that has it. It panics on a name
// or a value that no peer would take, which only a mistake in the program can
// cause.
func (m *Metadata) AppendTo(dst []byte) []byte {
	if m.SocketType != "" {
		dst = AppendProperty(dst, socketTypeName, m.SocketType)
	}
	if len(m.Identity) > 0 || m.SocketType.hasIdentity() {
		if reason := badIdentity(m.Identity); reason != "" {
			panic("zmtp: metadata: " + reason)
		}
		dst = AppendProperty(dst, identityName, m.Identity)
	}
	if m.Resource != nil {
		dst = AppendProperty(dst, resourceName, m.Resource)
	}
	for _, p := range m.Others {
		dst = AppendProperty(dst, string(p.Name), p.Value)
	}
	return dst
}

// AppendProperty appends one property to dst and returns it. It panics if the name
// isn't 1 to 255 letters, digits or "-_.+", or the value has 2^31 bytes or more,
// which only a mistake in the program can cause.
func AppendProperty[V ~string | ~[]byte](dst []byte, name string, value V) []byte {
	if reason := badPropertyName([]byte(name)); reason != "" {
		panic("zmtp: metadata: " + reason)
	}
	if len(value) > math.MaxInt32 {
		panic("zmtp: metadata: a value of " + strconv.Itoa(len(value)) + " bytes")
	}
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// ParseMetadata reads properties from b, all of it. Names are known in any case.
// All slices are parts of b.
//
// A property that ends behind b, a name that is empty or of foreign characters, a
// property that comes twice, a bad identity and more than [MaxProperties]
// properties are a [*ParseError]. No property is required, and a socket type may be
// one that nobody knows: see [SocketType.Accepts].
func ParseMetadata(b []byte) (Metadata, error) {
	var m Metadata
	var sawType, sawIdentity, sawResource bool
	for count := 1; len(b) > 0; count++ {
		if count > MaxProperties {
			return Metadata{}, metadataError("more than " + strconv.Itoa(MaxProperties) + " properties")
		}
		p, rest, err := parseProperty(b)
		if err != nil {
			return Metadata{}, err
		}
		b = rest
		var again bool
		switch {
		case equalFold(p.Name, socketTypeName):
			again, sawType = sawType, true
			m.SocketType = socketTypeOf(p.Value)
		case equalFold(p.Name, identityName):
			again, sawIdentity = sawIdentity, true
			if reason := badIdentity(p.Value); reason != "" {
				return Metadata{}, metadataError(reason)
			}
			m.Identity = p.Value
		case equalFold(p.Name, resourceName):
			again, sawResource = sawResource, true
			m.Resource = p.Value
		default:
			_, again = m.Other(string(p.Name))
			m.Others = append(m.Others, p)
		}
		if again {
			return Metadata{}, metadataError("the property " + string(p.Name) + " comes twice")
		}
	}
	return m, nil
}

// Other returns the value of a property among Others. The case of the name doesn't
// count.
func (m *Metadata) Other(name string) (value []byte, ok bool) {
	for _, p := range m.Others {
		if equalFold(p.Name, name) {
			return p.Value, true
		}
	}
	return nil, false
}

// parseProperty reads the first property of b and returns what follows it.
func parseProperty(b []byte) (p Property, rest []byte, err error) {
	const sizeSize = 4
	n := int(b[0])
	b = b[1:]
	if n > len(b) {
		return Property{}, nil, metadataError("a name of " + strconv.Itoa(n) + " bytes, and " + strconv.Itoa(len(b)) + " are left")
	}
	p.Name, b = b[:n:n], b[n:]
	if reason := badPropertyName(p.Name); reason != "" {
		return Property{}, nil, metadataError(reason)
	}
	if len(b) < sizeSize {
		return Property{}, nil, metadataError("the property " + string(p.Name) + " ends before its value")
	}
	size := binary.BigEndian.Uint32(b)
	b = b[sizeSize:]
	if uint64(size) > uint64(len(b)) {
		return Property{}, nil, metadataError("the property " + string(p.Name) + " has " + strconv.FormatUint(uint64(size), 10) +
			" bytes, and " + strconv.Itoa(len(b)) + " are left")
	}
	p.Value = b[:size:size]
	return p, b[size:], nil
}

// badPropertyName says what is wrong with a name, or nothing.
func badPropertyName(name []byte) string {
	if len(name) == 0 {
		return "a property without a name"
	}
	if len(name) > 255 {
		return "a name of " + strconv.Itoa(len(name)) + " bytes"
	}
	for _, c := range name {
		if !isAlpha(c) && !isDigit(c) && !isMark(c) {
			return "a property's name with the byte " + hexByte(c) + "; want letters, digits and -_.+"
		}
	}
	return ""
}

// badIdentity says what is wrong with an identity, or nothing.
func badIdentity(id []byte) string {
	switch {
	case len(id) > MaxIdentity:
		return "an identity of " + strconv.Itoa(len(id)) + " bytes, at most " + strconv.Itoa(MaxIdentity) + " allowed"
	case len(id) > 0 && id[0] == 0:
		return "an identity that begins with a zero byte, which is reserved"
	}
	return ""
}

// equalFold compares names of properties, which are ASCII.
func equalFold(name []byte, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i, c := range name {
		if c != other[i] && (c|0x20 != other[i]|0x20 || !isAlpha(c)) {
			return false
		}
	}
	return true
}

func metadataError(reason string) error { return &ParseError{"metadata", reason} }
